"""The command line: ``gdcore demo``."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status: 0, 2 for a mistake of the caller's, 130 after Ctrl-C."""
    import gdcore

    parser = argparse.ArgumentParser(
        prog="gdcore", description="Linear models, trained by gradient descent whose gradients were derived by hand."
    )
    parser.add_argument("--version", action="version", version=f"gdcore {gdcore.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    demo = commands.add_parser(
        "demo",
        help="train on real data and show every step",
        description="Trains on NIST's Norris calibration data and compares with the certified coefficients, then shows "
        "what the Celsius to Fahrenheit lesson really learns. Needs no argument and no other package.",
    )
    demo.add_argument("--plot", metavar="FILE", help="draw data, line and loss curve to FILE (.png, .svg or .pdf)")
    options = parser.parse_args(arguments)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal without UTF-8 still gets the figures
    try:
        from gdcore import demo as demonstration

        demonstration.run(plot=options.plot)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # who reads our output has seen enough
        return 0
    except (ImportError, OSError, ValueError) as error:
        print(f"gdcore: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0
