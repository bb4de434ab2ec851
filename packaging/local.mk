# What an installation or a test needs beside the programs.

EXTRA_DIST += \
	README.md nginx %D%/packages %D%/quickstart %D%/sample-project

# What shells know of jobqctl. bash looks for a file that has the command's name.
EXTRA_DIST += %D%/completion/jobqctl.bash
dist_zshcompletion_DATA = %D%/completion/_jobqctl
nodist_bashcompletion_DATA = %D%/completion/jobqctl
CLEANFILES += %D%/completion/jobqctl
%D%/completion/jobqctl: %D%/completion/jobqctl.bash
	$(AM_V_GEN)$(MKDIR_P) $(@D) && cp $(top_srcdir)/packaging/completion/jobqctl.bash $@
