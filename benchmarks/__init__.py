"""Benchmarks of gdcore, run from the repository root: ``python -m benchmarks throughput``.

Each benchmark is a module of this package, named in `BENCHMARKS`. It has

    add_arguments(parser)   its command line
    run(args)               measures, prints, and with ``--json FILE`` writes a document (see `measure.document`)
    TABLES                  name → function(document) → list of tables, for ``python -m benchmarks table``
"""

from importlib import import_module
from types import ModuleType

BENCHMARKS = ("throughput", "training", "epochs", "solvers", "files", "cluster", "paths")


def load(name: str) -> ModuleType:
    """The module of one benchmark."""
    return import_module(f"benchmarks.{name}")
