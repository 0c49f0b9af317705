"""The optimizers: how weights follow their gradient. Names, formulas and defaults are PyTorch's.

An optimizer holds no learning rate, which is `fit`'s, and no state, which is the run's: it can be used again. The formulas
stand in the two backends.
"""

from __future__ import annotations

from typing import Any

from gdcore.checks import number, yes_or_no


class Optimizer:
    """What the optimizers have in common: parameters by name, and how many rows of state they keep."""

    slots = 0
    lr: float | None = None
    """PyTorch's default learning rate, where it does not depend on the data: what ``lr="auto"`` takes."""

    def __init__(self, **parameters: Any) -> None:
        self.parameters = parameters

    @property
    def rule(self) -> tuple[str, dict[str, Any]]:
        """What the backends take."""
        return type(self).__name__.lower(), self.parameters

    @property
    def initial(self) -> float:
        """What the state begins with."""
        return 0.0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Optimizer) and self.rule == other.rule

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.parameters.items())})"


class SGD(Optimizer):
    """w ← w − lr·g; with momentum μ: buf ← μ·buf + g, w ← w − lr·buf, with Nesterov's w ← w − lr·(g + μ·buf).

    Parameters
    ----------
    momentum : float
        μ ≥ 0.
    nesterov : bool
        Needs a momentum above 0.

    >>> SGD(momentum=0.9)
    SGD(momentum=0.9, nesterov=False)
    """

    def __init__(self, momentum: float = 0.0, nesterov: bool = False) -> None:
        momentum, nesterov = number(momentum, "momentum"), yes_or_no(nesterov, "nesterov")
        if nesterov and momentum == 0:
            raise ValueError("nesterov needs a momentum above 0, found momentum 0")
        super().__init__(momentum=momentum, nesterov=nesterov)
        self.slots = 1 if momentum else 0


class Adagrad(Optimizer):
    """sum ← sum + g²; w ← w − lr/(1 + (t − 1)·lr_decay)·g/(√sum + eps) in step t.

    >>> Adagrad()
    Adagrad(lr_decay=0.0, initial_accumulator_value=0.0, eps=1e-10)
    """

    slots = 1
    lr = 1e-2

    def __init__(self, lr_decay: float = 0.0, initial_accumulator_value: float = 0.0, eps: float = 1e-10) -> None:
        super().__init__(
            lr_decay=number(lr_decay, "lr_decay"),
            initial_accumulator_value=number(initial_accumulator_value, "initial_accumulator_value"),
            eps=number(eps, "eps"),
        )

    @property
    def initial(self) -> float:
        return float(self.parameters["initial_accumulator_value"])


class RMSprop(Optimizer):
    """v ← α·v + (1 − α)·g²; w ← w − lr·g/(√v + eps); centered takes the variance of g instead of v; with momentum a buffer
    of g/(√v + eps).

    >>> RMSprop(centered=True)
    RMSprop(alpha=0.99, eps=1e-08, momentum=0.0, centered=True)
    """

    slots = 3
    lr = 1e-2

    def __init__(self, alpha: float = 0.99, eps: float = 1e-8, momentum: float = 0.0, centered: bool = False) -> None:
        super().__init__(
            alpha=number(alpha, "alpha", below=1),
            eps=number(eps, "eps"),
            momentum=number(momentum, "momentum"),
            centered=yes_or_no(centered, "centered"),
        )


class Adam(Optimizer):
    """m ← m + (1 − β₁)(g − m), v ← β₂·v + (1 − β₂)g²; w ← w − lr/(1 − β₁ᵗ)·m/(√v/√(1 − β₂ᵗ) + eps) in step t.

    >>> Adam(betas=(0.9, 0.99))
    Adam(betas=(0.9, 0.99), eps=1e-08)
    """

    slots = 2
    lr = 1e-3

    def __init__(self, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> None:
        super().__init__(betas=_betas(betas), eps=number(eps, "eps"))


class AdamW(Optimizer):
    """`Adam` after w ← w·(1 − lr·weight_decay); as in PyTorch the decay takes every parameter, the bias included.

    >>> AdamW()
    AdamW(betas=(0.9, 0.999), eps=1e-08, weight_decay=0.01)
    """

    slots = 2
    lr = 1e-3

    def __init__(self, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 1e-2) -> None:
        super().__init__(betas=_betas(betas), eps=number(eps, "eps"), weight_decay=number(weight_decay, "weight_decay"))


class Nesterov(Optimizer):
    """Nesterov's acceleration with restart, for linear models and full batches.

    x' = w − lr·H⁻¹g, w ← x' + k/(k + 3)·(x' − x), H the metric that ``precondition`` names (none: the identity). Where the
    step goes uphill, g·(x' − x) > 0, k starts from 0 again (O'Donoghue and Candès 2015).

    >>> Nesterov()
    Nesterov()
    """

    slots = 1


class Newton(Optimizer):
    """Newton's method, for linear models, full batches and lr="auto", which picks it by itself (`gdcore.solvers.newton`).

    w ← w − H⁻¹g with H the Hessian at w; a step that does not lower the objective is shortened.

    >>> Newton()
    Newton()
    """

    slots = 1


OPTIMIZERS: dict[str, type[Optimizer]] = {kind.__name__.lower(): kind for kind in (SGD, Adagrad, RMSprop, Adam, AdamW)}
"""Those that go with everything; `Nesterov` and `Newton`, for linear models and all rows at once, are found by ``get`` too."""


def get(optimizer: Any) -> Optimizer:
    """The optimizer of that name, with default parameters, or the optimizer itself; None is plain `SGD`.

    >>> get("adam")
    Adam(betas=(0.9, 0.999), eps=1e-08)
    >>> get("adamax")
    Traceback (most recent call last):
    ValueError: optimizer 'adamax' is unknown; there is 'sgd', 'adagrad', 'rmsprop', 'adam', 'adamw', 'nesterov', 'newton'
    """
    if optimizer is None:
        return SGD()
    return optimizer if isinstance(optimizer, Optimizer) else made(optimizer, {})


def made(name: Any, parameters: dict[str, Any]) -> Optimizer:
    """The optimizer of that `Optimizer.rule`.

    >>> made("sgd", {"momentum": 0.9}) == SGD(momentum=0.9)
    True
    """
    names = OPTIMIZERS | {"nesterov": Nesterov, "newton": Newton}
    if not isinstance(name, str) or name.lower() not in names:
        raise ValueError(f"optimizer {name!r} is unknown; there is {', '.join(map(repr, names))}")
    return names[name.lower()](**parameters)


def _betas(betas: tuple[float, float]) -> tuple[float, float]:
    if not (isinstance(betas, (tuple, list)) and len(betas) == 2):
        raise ValueError(f"betas must be two numbers, found {betas!r}")
    return number(betas[0], "betas[0]", below=1), number(betas[1], "betas[1]", below=1)
