"""The command line: the only place that knows flags.  What is imported here is what ``gdcore --help`` needs, and no more."""

from gdcore.cli.parser import main as main
