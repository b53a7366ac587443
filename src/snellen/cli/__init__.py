"""The command line: one small file for each command. Data goes to stdout, talk to stderr."""
