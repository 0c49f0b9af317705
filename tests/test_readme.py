"""What the README says of the registries is what they hold."""

from pathlib import Path

import pytest

from gdcore.losses import LOSSES
from gdcore.optimizers import OPTIMIZERS

README = Path(__file__).parent.parent / "README.md"
pytestmark = pytest.mark.skipif(not README.exists(), reason="README.md does not lie beside tests/")


@pytest.mark.parametrize("name", LOSSES)
def test_the_losses_and_their_formulas_are_listed(name):
    loss = LOSSES[name]()
    row = f"| `{name}` | {loss.formula} | {loss.derivative} |".replace("|x|", "x")
    assert row.replace("|r|", "\\|r\\|") in README.read_text()


def test_the_optimizers_are_listed():
    listed = "Optimizers: " + ", ".join(f"`{kind.__name__}`" for kind in OPTIMIZERS.values())
    assert listed in README.read_text()
