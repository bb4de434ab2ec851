# What an installation or a test needs beside the programs.

EXTRA_DIST += \
	README.md nginx %D%/packages %D%/quickstart \
	%D%/monitoring %D%/sample-project
