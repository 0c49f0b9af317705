"""The optimizers: how weights follow their gradient. Names, formulas and defaults are PyTorch's.

An optimizer holds no learning rate, which is `fit`'s, and no state, which is the run's: it can be used again. Each has a file
with its formula; the kernel has them a second time, in ``optimizers.pxi``. Learning rates that change are in `schedules`.
"""

from __future__ import annotations

from typing import Any

from gdcore.checks import either, must_be
from gdcore.optimizers.adagrad import Adagrad
from gdcore.optimizers.adam import Adam
from gdcore.optimizers.adamw import AdamW
from gdcore.optimizers.base import Optimizer
from gdcore.optimizers.nesterov import Nesterov
from gdcore.optimizers.newton import Newton
from gdcore.optimizers.rmsprop import RMSprop
from gdcore.optimizers.sgd import SGD

__all__ = ["OPTIMIZERS", "SGD", "Adagrad", "Adam", "AdamW", "Nesterov", "Newton", "Optimizer", "RMSprop", "get", "made"]

OPTIMIZERS: dict[str, type[Optimizer]] = {kind.__name__.lower(): kind for kind in (SGD, Adagrad, RMSprop, Adam, AdamW)}
"""Those that go with everything; `Nesterov` and `Newton`, for linear models and all rows at once, are found by ``get`` too."""


def get(optimizer: str | Optimizer | None) -> Optimizer:
    """The optimizer of that name, with default parameters, or the optimizer itself; None is plain `SGD`.

    >>> get("adam")
    Adam(betas=(0.9, 0.999), eps=1e-08)
    >>> get("adamax")
    Traceback (most recent call last):
    ValueError: optimizer must be 'sgd', 'adagrad', 'rmsprop', 'adam', 'adamw', 'nesterov' or 'newton', found 'adamax'
    """
    if optimizer is None:
        return SGD()
    return optimizer if isinstance(optimizer, Optimizer) else made(optimizer, {})


def made(name: str, parameters: dict[str, Any]) -> Optimizer:
    """The optimizer of that `Optimizer.rule`.

    >>> made("sgd", {"momentum": 0.9}) == SGD(momentum=0.9)
    True
    """
    names = OPTIMIZERS | {"nesterov": Nesterov, "newton": Newton}
    if not isinstance(name, str) or name.lower() not in names:
        raise ValueError(must_be("optimizer", either(names), repr(name)))
    return names[name.lower()](**parameters)
