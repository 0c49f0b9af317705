"""The losses: one registry that fit, the tests and the documentation iterate over; each has a file with all its formulas.

A loss is the mean over rows of a per-row loss ℓ, summed over the k outputs; with sample weights s it is Σ sᵢℓᵢ / Σ sᵢ. One
normalisation, used everywhere: for `mse`, loss = ‖Y − Ŷ‖²/n and ∇W = −2·Xᵀ(Y − Ŷ)/n exactly, for every k. The loop needs
∂ℓ/∂ŷ alone, for ŷ = x·w + b gives ∇W = Xᵀ·∂ℓ/∂Ŷ / n and ∇b = Σ ∂ℓ/∂ŷ / n, whatever the loss.

The kernel has the formulas a second time, in ``losses.pxi``, and the tests hold both beside each other. Nothing here knows of
rows, models or how they are trained.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, TypeVar

from gdcore.checks import either, must_be
from gdcore.losses.base import Loss
from gdcore.losses.gamma import Gamma
from gdcore.losses.huber import Huber
from gdcore.losses.logistic import Logistic
from gdcore.losses.mae import Mae
from gdcore.losses.mse import Mse
from gdcore.losses.poisson import Poisson
from gdcore.losses.quantile import Quantile
from gdcore.losses.softmax import Softmax
from gdcore.losses.tweedie import Tweedie
from gdcore.messages import Message, Option, said

if TYPE_CHECKING:
    from collections.abc import Callable

L = TypeVar("L", bound=Loss)

__all__ = [
    "COMPILED", "LOSSES", "PARAMETERS", "Gamma", "Huber", "Logistic", "Loss", "Mae", "Mse", "Poisson", "Quantile", "Softmax",
    "Tweedie", "gamma", "get", "huber", "logistic", "mae", "mse", "poisson", "quantile", "register", "softmax", "tweedie",
]  # fmt: skip

# As they are called and spelled; what Python itself calls so are the files, whose names these hide.
mse, mae, huber, quantile, logistic, softmax = Mse, Mae, Huber, Quantile, Logistic, Softmax
poisson, gamma, tweedie = Poisson, Gamma, Tweedie

LOSSES: dict[str, Callable[..., Loss]] = {}
"""By name."""
PARAMETERS: dict[str, str] = {}
"""What the parameter is called of the losses that have one."""


def register(kind: type[L]) -> type[L]:
    """Makes a class of losses known by its name, in `get` and in files of models; a decorator for a loss of your own.

    Raises
    ------
    TypeError
        It is no subclass of `Loss`.
    ValueError
        gdcore itself has a loss of that name, or the class takes more than one parameter, which a name has no room for.
    """
    if not isinstance(kind, type) or not issubclass(kind, Loss):
        raise TypeError(must_be("kind", "a subclass of gdcore.losses.Loss", repr(kind)))
    own = [name for name, told in inspect.signature(kind).parameters.items() if told.kind is not told.VAR_KEYWORD]
    if kind.name in COMPILED:
        raise ValueError(f"gdcore has a loss {kind.name!r}: give yours another name")
    if len(own) > 1:
        raise ValueError(f"a loss with a name has at most one parameter, found {', '.join(own)}")
    LOSSES[kind.name] = kind
    PARAMETERS.update({kind.name: own[0]} if own else {})
    return kind


COMPILED: frozenset[str] = frozenset()
for _kind in (Mse, Mae, Huber, Quantile, Poisson, Gamma, Tweedie, Logistic, Softmax):
    register(_kind)
COMPILED = frozenset(LOSSES)
"""The names of those that the kernel knows."""


def get(loss: str | Loss, **parameters: float | None) -> Loss:
    """A loss from any of its spellings: ``"quantile:0.9"``, ``quantile(tau=0.9)``, or ``"quantile"`` and tau=0.9 beside it.

    Every function that takes a loss reads it here. A name alone stands for the loss with its default parameter.

    Raises
    ------
    ValueError
        It is no loss, or it has no such parameter, or two values are given for one parameter.
    TypeError
        The parameter beside it is no number.

    Examples
    --------
    >>> get("huber:2.0") == get(huber(delta=2.0)) == get("huber", delta=2.0)
    True
    >>> get("rmse")
    Traceback (most recent call last):
    ValueError: loss must be 'mse', 'mae', 'huber', 'quantile', 'poisson', 'gamma', 'tweedie', 'logistic' or 'softmax', with \
a parameter 'huber:1.0', 'quantile:0.5' and 'tweedie:1.5', found 'rmse'
    """
    if isinstance(loss, Loss):
        name, shown = loss.name, loss.spelling
        value: float | None = loss.parameter
    else:
        (name, value), shown = _read(loss), loss
    for keyword, told in parameters.items():
        if told is None:
            continue
        if PARAMETERS.get(name) != keyword:
            owners = [other for other, own in PARAMETERS.items() if own == keyword]
            of = ", ".join(map(repr, owners))
            raise ValueError(Message(Option("loss"), f" {shown!r} has no {keyword}, which is a parameter of {of}"))
        if value is not None and told != value:
            twice = f" {shown!r} and {keyword}={told!r} are two values for one parameter: give one of them"
            raise ValueError(Message(Option("loss"), twice))
        value = told
    if isinstance(loss, Loss):
        return loss
    try:
        return LOSSES[name]() if value is None else LOSSES[name](value)
    except ValueError as error:
        raise ValueError(Message(Option("loss"), f" {shown!r}: ", said(error))) from None


def _read(spelling: str) -> tuple[str, float | None]:
    """Name and parameter of a text, None where it has none."""
    name, colon, text = spelling.partition(":") if isinstance(spelling, str) else (None, "", "")
    if name not in LOSSES:
        raise ValueError(must_be("loss", f"{either(LOSSES)}, with a parameter {_with_parameters()}", repr(spelling)))
    if not colon:
        return name, None
    if name not in PARAMETERS:
        none = f" {spelling!r}: {name} has no parameter; what has one is written as {_with_parameters()}"
        raise ValueError(Message(Option("loss"), none))
    try:
        return name, float(text)
    except ValueError:
        example = LOSSES[name]().spelling
        wanted = f" {spelling!r}: after the colon a number is wanted, as in {example!r}"
        raise ValueError(Message(Option("loss"), wanted)) from None


def _with_parameters() -> str:
    *others, last = (repr(LOSSES[name]().spelling) for name in PARAMETERS)
    return f"{', '.join(others)} and {last}"
