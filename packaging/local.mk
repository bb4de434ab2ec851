# What an installation or a test needs beside the programs.
