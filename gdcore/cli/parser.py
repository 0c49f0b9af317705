"""The command line is read, its command run, and what goes wrong told. Imported here is what ``gdcore --help`` needs."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from gdcore.cli.options import parser
from gdcore.cli.terminal import harmless

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status: 0, 2 for a mistake of the caller's, 1 for one of ours, 130 after Ctrl-C."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal without UTF-8 still gets the figures
    try:
        try:
            return _run(arguments)
        finally:
            if sys.stdout is not None:  # as where the shell has closed it
                sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()  # who reads it has seen enough
        return 0
    except KeyboardInterrupt as interrupt:
        if str(interrupt):
            print(harmless(f"gdcore: {interrupt}"), file=sys.stderr)
        return 130
    except Exception as error:
        from gdcore.cli.commands import explain
        from gdcore.run import DivergenceError

        if not isinstance(error, (ImportError, OSError, ValueError, MemoryError, DivergenceError)):
            raise  # not the caller's mistake but ours: Python tells where, and exits with 1
        if isinstance(error, OSError):
            _discard_output()  # it may be the one that cannot be written
        return explain(error)


def _run(arguments: Sequence[str] | None) -> int:
    top = parser()
    options = top.parse_args(arguments)
    if options.command is None:
        top.error("a command is missing: train, predict, inspect, explore or demo")
    if options.command == "demo":
        from gdcore import demo

        demo.run(plot=options.plot)
        return 0
    from gdcore.cli import commands

    return commands.run(options)


def _discard_output() -> None:
    """So that Python does not try again, at its end, to write what it has left."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        return  # no file of the system's is behind it, and so nothing that could fail
