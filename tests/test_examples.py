"""Every example in the documentation runs and prints what it says: the docstrings' and README.md's."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import gdcore
import gdcore.backends

README = Path(__file__).parent.parent / "README.md"


def module_names():
    """All of gdcore's modules, but the script that runs the command, and the kernel's variants: one source, loaded once."""
    names = [module.name for module in pkgutil.walk_packages(gdcore.__path__, "gdcore.")]
    return [
        "gdcore",
        *(name for name in names if name != "gdcore.__main__" and not name.startswith("gdcore.backends.kernel_")),
    ]


def test_all_modules_are_found():
    wanted = {"gdcore", "gdcore.train", "gdcore.run", "gdcore.models", "gdcore.rows", "gdcore.losses", "gdcore.threads", "gdcore.plots", "gdcore.cli", "gdcore.demo", "gdcore.backends", "gdcore.backends.reference", "gdcore.backends.kernel"}  # fmt: skip
    assert wanted <= set(module_names())


@pytest.mark.parametrize("name", module_names())
def test_examples_of_a_module(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    importlib.import_module(name)
    outcome = doctest.testmod(importlib.sys.modules[name])
    assert outcome.failed == 0
    assert list(tmp_path.iterdir()) == []


def test_there_are_examples_where_newcomers_look():
    finder = doctest.DocTestFinder(exclude_empty=True)
    shown = [gdcore.fit, gdcore.train, gdcore.Linear]
    counts = [sum(len(test.examples) for test in finder.find(thing)) for thing in shown]
    assert min(counts) >= 1, dict(zip([thing.__name__ for thing in shown], counts, strict=True))
    runner = doctest.DocTestRunner(verbose=False)
    for thing in shown:
        for test in finder.find(thing):
            runner.run(test)
    assert runner.summarize(verbose=False).failed == 0
    assert runner.summarize(verbose=False).attempted >= 8


def python_blocks(text):
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(not README.exists(), reason="README.md is not beside the tests")
def test_examples_of_the_readme(tmp_path, monkeypatch):
    # The blocks are read from top to bottom, in one session.
    monkeypatch.chdir(tmp_path)
    blocks = python_blocks(README.read_text(encoding="utf-8"))
    assert blocks, "README.md shows no example in a block that begins with ```python"
    variables = {}
    runner = doctest.DocTestRunner(verbose=False)
    for number, block in enumerate(blocks, 1):
        test = doctest.DocTestParser().get_doctest(block, variables, f"README.md, block {number}", str(README), None)
        assert test.examples, f"block {number} has no line that begins with >>>: {block}"
        test.globs = variables
        runner.run(test, clear_globs=False)
    outcome = runner.summarize(verbose=False)
    assert outcome.failed == 0
    assert outcome.attempted > 0
