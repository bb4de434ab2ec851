# What an installation or a test needs beside the programs.

EXTRA_DIST += \
	README.md nginx %D%/jobq.conf %D%/logrotate %D%/packages %D%/quickstart \
	%D%/sample-project %D%/systemd

dist_man_MANS = %D%/man/jobqctl.1 %D%/man/jobq.conf.5 %D%/man/jobqd.8 \
	%D%/man/jobq-api.8 %D%/man/jobq-hook.8
