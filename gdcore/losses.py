"""The losses: one registry that fit, the tests and the documentation iterate over.

The formulas themselves stand in the two backends; here is what else is known of each.
"""

from __future__ import annotations

from typing import NamedTuple


class Loss(NamedTuple):
    """A loss: the mean over rows of a per-row loss, summed over the outputs.

    With sample weights s it is Σ sᵢℓᵢ / Σ sᵢ, so that for ``mse`` loss = ‖Y − Ŷ‖²/n and ∇W = −2·Xᵀ(Y − Ŷ)/n exactly,
    for any number of outputs.
    """

    name: str
    formula: str
    """Per row, of r = ŷ − y."""
    derivative: str
    """∂ℓ/∂ŷ."""
    curvature: float | None
    """A bound on ∂²ℓ/∂ŷ², or None where there is none."""


LOSSES = {loss.name: loss for loss in [Loss("mse", "Σ r²", "2r", 2.0)]}


def get(name: str) -> Loss:
    """The loss of that name.

    >>> get("mse").derivative
    '2r'
    >>> get("rmse")
    Traceback (most recent call last):
    ValueError: loss 'rmse' is unknown; there is 'mse'
    """
    if not isinstance(name, str) or name not in LOSSES:
        raise ValueError(f"loss {name!r} is unknown; there is {', '.join(map(repr, LOSSES))}")
    return LOSSES[name]
