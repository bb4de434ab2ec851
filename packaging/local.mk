# What an installation or a test needs beside the programs.

EXTRA_DIST += \
	README.md nginx %D%/logrotate %D%/packages %D%/quickstart %D%/sample-project
