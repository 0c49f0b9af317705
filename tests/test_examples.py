"""Every example in the documentation runs and prints what it says: the docstrings', README.md's and those of docs/."""

import doctest
import importlib
import pkgutil
import re
import sys
from pathlib import Path

import pytest

import gdcore
import gdcore.backends
from gdcore import losses

README = Path(__file__).parent.parent / "README.md"
DOCS = README.parent / "docs"


def module_names():
    """All of gdcore's modules, but the script that runs the command, and the kernel's variants: one source, loaded once."""
    names = [module.name for module in pkgutil.walk_packages(gdcore.__path__, "gdcore.")]
    return [
        "gdcore",
        *(name for name in names if name != "gdcore.__main__" and not name.startswith("gdcore.backends.kernel_")),
    ]


def test_all_modules_are_found():
    wanted = ["train", "run", "models", "rows", "losses", "threads", "plots", "cli", "demo"]
    wanted += ["backends", "backends.reference", "backends.kernel"]
    assert {"gdcore", *(f"gdcore.{name}" for name in wanted)} <= set(module_names())


@pytest.mark.parametrize("name", module_names())
def test_examples_of_a_module(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    importlib.import_module(name)
    outcome = doctest.testmod(sys.modules[name])  # gdcore.train names the function, sys.modules has the module
    assert outcome.failed == 0
    assert list(tmp_path.iterdir()) == []


def test_there_are_examples_where_newcomers_look():
    counts = {}
    for thing in (gdcore.fit, gdcore.train, gdcore.Linear):
        counts[thing.__name__] = sum(len(test.examples) for test in doctest.DocTestFinder().find(thing))
    assert min(counts.values()) >= 2, counts


def python_blocks(text):
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


PAGES = [README, *(page for page in sorted(DOCS.rglob("*.md")) if python_blocks(page.read_text(encoding="utf-8")))]


@pytest.mark.skipif(not README.exists(), reason="README.md is not beside the tests")
def test_most_pages_show_examples():
    assert len(PAGES) >= 20


@pytest.mark.skipif(not README.exists(), reason="README.md is not beside the tests")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_of_a_page(page, tmp_path, monkeypatch):
    # The blocks are read from top to bottom, in one session.
    monkeypatch.chdir(tmp_path)
    for registry in ("LOSSES", "PARAMETERS"):  # what a page registers is forgotten after it
        monkeypatch.setattr(losses, registry, dict(getattr(losses, registry)))
    blocks = python_blocks(page.read_text(encoding="utf-8"))
    assert blocks, f"{page.name} shows no example in a block that begins with ```python"
    variables = {"__name__": "__main__", "DATA": Path(__file__).parent / "data"}
    runner = doctest.DocTestRunner(verbose=False)
    for number, block in enumerate(blocks, 1):
        test = doctest.DocTestParser().get_doctest(block, variables, f"{page.name}, block {number}", str(page), None)
        assert test.examples, f"block {number} has no line that begins with >>>: {block}"
        test.globs = variables
        runner.run(test, clear_globs=False)
    outcome = runner.summarize(verbose=False)
    assert outcome.failed == 0
    assert outcome.attempted > 0
