"""What the pages say of the registries is what these hold, and the README leads to every page."""

import re
from pathlib import Path

import pytest

import gdcore
from gdcore.losses import LOSSES
from gdcore.optimizers import OPTIMIZERS

README = Path(__file__).parent.parent / "README.md"
DOCS = README.parent / "docs"
LOSS_PAGE = DOCS / "use" / "losses.md"
pytestmark = pytest.mark.skipif(not DOCS.exists(), reason="README.md and docs/ do not lie beside tests/")


@pytest.mark.parametrize("name", LOSSES)
def test_the_losses_and_their_formulas_are_listed(name):
    loss = LOSSES[name]()
    row = f"| `{name}` | {loss.formula} | {loss.derivative} |".replace("|x|", "x")
    assert row.replace("|r|", "\\|r\\|") in LOSS_PAGE.read_text()


def test_the_optimizers_are_listed():
    listed = "Optimizers: " + ", ".join(f"`{kind.__name__}`" for kind in OPTIMIZERS.values())
    assert listed in LOSS_PAGE.read_text()


def test_the_readme_is_read_on_one_sitting():
    assert len(README.read_text().splitlines()) <= 150


def pages():
    return [README, *sorted(DOCS.rglob("*.md"))]


def test_links_between_pages_lead_somewhere():
    broken = [
        f"{page.name}: {link}"
        for page in pages()
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
        if "://" not in link and not (page.parent / link).exists()
    ]
    assert not broken


def test_every_page_is_found_from_the_readme():
    """By links, and by the lists of pages that indexes have."""
    found, left = {README}, [README]
    while left:
        page = left.pop()
        text = page.read_text()
        names = re.findall(r"\]\(([^)#\s]+\.md)[^)]*\)", text)
        for tree in re.findall(r"```{toctree}\n(.*?)```", text, re.DOTALL):
            names += [f"{line}.md" for line in tree.splitlines() if line and not line.startswith(":")]
        for other in {(page.parent / name).resolve() for name in names} - found:
            if other.exists():
                found.add(other)
                left.append(other)
    assert {page.resolve() for page in pages()} - {page.resolve() for page in found} <= {(DOCS / "index.md").resolve()}


def test_the_reference_has_every_public_name():
    """Those of ``gdcore.__all__``, but modules, whose names stand there one by one."""
    text = (DOCS / "reference" / "index.md").read_text()
    listed = set(re.findall(r"^   ([\w.]+)$", text, re.MULTILINE))
    modules = {"losses", "optimizers", "plots", "schedules", "scores"}
    assert set(gdcore.__all__) - modules <= listed
    assert {kind.__name__ for kind in LOSSES.values()} <= listed
