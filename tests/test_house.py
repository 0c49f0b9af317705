"""The house: which folder may import from which, that nothing goes in circles, and that no file grows past reading."""

import ast
import re
from pathlib import Path

import pytest

import gdcore

ROOT = Path(gdcore.__file__).parent

# From the bottom to the top: a folder, or a module beside the folders, may import from those before it in this list, and from
# itself. Imports inside functions and for type checkers count as any others.
FLOORS = [
    "_types", "data", "messages", "checks", "notices", "plain", "schema", "container", "threads", "penalty",
    "losses", "optimizers",
    "backends",
    "rows",
    "history",
    "drawing", "surface", "animation",
    "run",
    "models",
    "scores",
    "facts",
    "covariance",
    "descent",
    "solvers",
    "training",
    "train",
    "quantiles",
    "report",
    "paths",
    "distributed",
    "estimators",
    "store",
    "demo",
    "lessons",
    "cli",
    "__main__",
]  # fmt: skip


def modules():
    """The names of gdcore's modules, and where they lie."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(("gdcore", *(parts[:-1] if parts[-1] == "__init__" else parts)))] = path
    return found


def imports(name, path, known):
    """The modules of gdcore that a module imports, wherever the statement stands; of a package only what is taken from it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and not node.level:
            inside = {f"{node.module}.{alias.name}" for alias in node.names} & known.keys()
            found |= inside if len(inside) == len(node.names) else inside | ({node.module} & known.keys())
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & known.keys()
    return found - {name, "gdcore"}


def graph():
    known = modules()
    return {name: imports(name, path, known) for name, path in known.items()}


def is_shim(path):
    """A path that stays for those who import it: imports, and nothing else."""
    body = ast.parse(path.read_text()).body
    return all(isinstance(node, (ast.Expr, ast.ImportFrom, ast.Assign)) for node in body)


def floor(name):
    return FLOORS.index(name.split(".")[1])


HOUSE = graph()
OUTSIDE = {"gdcore"} | {f"gdcore.{path.stem}" for path in ROOT.glob("*.py") if is_shim(path) and path.stem not in FLOORS}


def test_every_module_has_a_floor():
    assert {name.split(".")[1] for name in HOUSE.keys() - OUTSIDE} == set(FLOORS)


@pytest.mark.parametrize("name", sorted(HOUSE.keys() - OUTSIDE))
def test_imports_point_down(name):
    up = {other for other in HOUSE[name] if other in OUTSIDE or floor(other) > floor(name)}
    assert not up, f"{name} imports from above: {sorted(up)}"


# Of the floor "rows", what its folders may import beside themselves; in the others every file may know every other.
WITHIN = {
    "gdcore.rows.files": {"arrow", "dates", "written"},  # what a model makes of columns is not known there
    "gdcore.rows.dask": {"arrays", "moments", "tables"},
}


@pytest.mark.parametrize("folder", WITHIN)
def test_folders_within_a_floor_know_no_more_than_they_need(folder):
    own = {name: others for name, others in HOUSE.items() if name.startswith(folder)}
    known = {other.split(".")[2] for others in own.values() for other in others if is_beside(other, folder)}
    assert len(own) > 3
    assert known == WITHIN[folder]


def is_beside(other, folder):
    return other.startswith("gdcore.rows.") and not other.startswith(folder)


def test_nothing_goes_in_circles():
    left = {name: set(others) for name, others in HOUSE.items()}
    while free := {name for name, others in left.items() if not others & left.keys()}:
        left = {name: others for name, others in left.items() if name not in free}
    assert not left, "these import each other, or from such: " + ", ".join(sorted(left))


def test_only_the_command_line_knows_flags():
    sources = [path for path in ROOT.rglob("*.p*") if path.suffix in (".py", ".pyx", ".pxi") and path.parent != ROOT / "cli"]
    found = [
        f"{path.relative_to(ROOT)}, line {number}: {line.strip()}"
        for path in sources
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"(?<![\w-])--[a-z]", line)
    ]
    assert len(sources) > 100
    assert not found, "\n".join(["elsewhere gdcore.messages.Option names an argument:", *found])


def test_files_are_read_at_one_sitting():
    long = {name for name, path in modules().items() if len(path.read_text().splitlines()) > 400}
    assert not long


CORE = (
    "losses/mse.py", "losses/base.py", "backends/reference.py", "train.py", "training/drive.py", "solvers/stream.py",
    "backends/losses.pxi", "backends/optimizers.pxi", "backends/kernel.pyx",
)  # fmt: skip
"""What CONTRIBUTING.md names first, in its order."""


@pytest.mark.skipif(not (ROOT / CORE[-1]).exists(), reason="the kernel's source is not where gdcore is installed")
def test_the_core_is_read_in_an_afternoon():
    assert sum(len((ROOT / name).read_text().splitlines()) for name in CORE) < 4000
