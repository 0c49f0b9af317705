"""The command line: one subcommand for each benchmark, and `table`, which renders their results."""

import argparse
import sys

from benchmarks import BENCHMARKS, load, tables


def main() -> int:
    """Parses the command line and runs the subcommand; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Benchmarks of gdcore.")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    commands = {name: load(name) for name in BENCHMARKS} | {"table": tables}
    for name, module in commands.items():
        summary = (module.__doc__ or "").splitlines()[0]
        subparser = subparsers.add_parser(name, help=summary, description=summary)
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run)
    args = parser.parse_args()
    return args.run(args) or 0


if __name__ == "__main__":
    sys.exit(main())
