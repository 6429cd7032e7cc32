"""One file for each command, one folder for each group of commands; see lmzip.cli."""
