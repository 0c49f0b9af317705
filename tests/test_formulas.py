"""Both backends follow the formulas of losses, moments and optimizers, in extended precision."""

import pytest
from formulas import CHECKS


@pytest.mark.parametrize("check", CHECKS)
def test_a_backend_follows_the_formulas(backend, check):
    CHECKS[check](backend)
