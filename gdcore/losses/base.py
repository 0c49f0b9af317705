"""What a loss is: its formula, forward beside backward, and what is known of it, in one class."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gdcore.checks import must_be, must_have_shape
from gdcore.losses.duals import Dual, Mix, within
from gdcore.losses.targets import check_targets

if TYPE_CHECKING:
    from collections.abc import Callable

    from gdcore._types import Array, ArrayLike, Floats

_EPS = float(np.finfo(np.float64).eps)
_ROOM = 8  # times ε of the terms of an excess: what their sum is rounded by


class Loss:
    """A convex loss ℓ(ŷ; y) of one row, with its parameters. It cannot be changed; equal ones are equal and hash alike.

    A loss of your own is a subclass with `value_slope`, which is all that plain gradient descent needs. What else it tells
    is what more can be done with it:

    - a bound on its `curvature`: `gdcore.spectrum`, the largest learning rate, and descent in the metric of the data;
    - its second derivative, `second`: Newton's method;
    - its convex conjugate, `conjugate`: a proof of how far the best weights are, ``run.gap``.

    Formulas work on arrays: predictions ``raw`` (n, k), one row a sample and one column an output, and targets ``Y`` (n, k),
    or (n, 1) classes, float32 or float64. ``docs/extend/add-a-loss.md`` adds one step by step.

    >>> class HalfSquare(Loss):
    ...     def value_slope(self, raw, Y):
    ...         r = raw - Y
    ...         return r * r / 2, r
    >>> HalfSquare().at(3.0, y=1.0)
    (2.0, 2.0)
    """

    name: ClassVar[str] = "loss"
    """What it is called; by default the class's name in small letters."""
    targets: ClassVar[str] = "real"
    """What Y holds: "real" numbers, "nonnegative" or "positive" ones, "binary" (0 or 1), or "classes" (0 … k − 1), of whose
    outputs only differences matter."""
    shares: ClassVar[bool] = False
    """Whether "binary" targets that train may also be shares of rows of class 1, between 0 and 1."""
    has_link: ClassVar[bool] = False
    """Whether the mean of y is another function of ŷ than ŷ itself, `mean`, and numbers are predicted all the same."""
    formula: ClassVar[str] = ""
    """ℓ of r = ŷ − y, per row."""
    derivative: ClassVar[str] = ""
    """∂ℓ/∂ŷ."""
    curvature: ClassVar[float | None] = None
    """A bound on ∂²ℓ/∂ŷ², or None where there is none."""
    kinked: ClassVar[bool] = False
    """Whether ∂ℓ/∂ŷ jumps: then there is no curvature bound either, but for other reasons than where ∂²ℓ/∂ŷ² only grows."""
    nonnegative: ClassVar[bool] = False
    """Whether ℓ is never below 0: then the loss itself bounds what is left to gain."""
    flat: ClassVar[bool] = False
    """Whether slopes are the same however far the target is: such a loss knows nothing of how far that is."""
    undecided: ClassVar[float] = 0.0
    """Of classes: where ℓ is below it, a row is on the side of its class. If all rows can be so, larger weights are always
    better, and there are no best ones. 0 where best weights exist even then."""
    degree: ClassVar[int] = 0
    """p with ℓ(c·ŷ; c·y) = cᵖ·ℓ(ŷ; y), where `rescaled` to targets c times as large; 0 where targets cannot be scaled."""
    mixes: ClassVar[bool] = False
    """Whether `mixture` and `mixed` are known."""
    compiled: ClassVar[bool] = False
    """Whether the kernel has the formula, under this name; a class says so for itself: ``class Mse(Loss, compiled=True)``."""

    def __init_subclass__(cls, compiled: bool = False, **options: object) -> None:
        super().__init_subclass__(**options)
        cls.compiled = compiled  # not inherited: another formula is not the kernel's
        if "name" not in vars(cls):
            cls.name = cls.__name__.lower()

    def __init__(self, **parameters: float) -> None:
        if parameters and type(self).__init__ is Loss.__init__:
            raise TypeError(f"{self.name} has no parameters, found {', '.join(parameters)}")
        vars(self).update(parameters)

    def __setattr__(self, attribute: str, value: object) -> None:
        raise AttributeError(f"{self!r} cannot be changed: make another one")

    def __delattr__(self, attribute: str) -> None:
        raise AttributeError(f"{self!r} cannot be changed: make another one")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).items()))

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"

    @property
    def parameters(self) -> dict[str, float]:
        """Its parameters by name: δ or τ."""
        return dict(vars(self))

    @property
    def parameter(self) -> float:
        """The parameter; 0 where there is none."""
        return float(next(iter(vars(self).values()), 0.0))

    @property
    def spelling(self) -> str:
        """As `gdcore.losses.get` reads it.

        >>> from gdcore.losses import huber, mse
        >>> huber(delta=2.0).spelling, mse().spelling
        ('huber:2.0', 'mse')
        """
        return ":".join([self.name, *map(repr, vars(self).values())])

    @property
    def arguments(self) -> dict[str, Any]:
        """What the backends take: its name and parameter where the kernel has the formula, else the loss itself."""
        return {"loss": self.name if self.compiled else self, "parameter": self.parameter}

    @property
    def level(self) -> float | None:
        """τ of a loss whose predictions are τ-quantiles; None of all others."""
        return None

    @property
    def squared(self) -> bool:
        """Whether it is r², of which second moments of the rows tell all."""
        return False

    # The formulas ------------------------------------------------------------------------------------------------------------

    def value_slope(self, raw: Array, Y: Array) -> tuple[Array, Array]:
        """ℓ and ∂ℓ/∂ŷ (n, k) of every row and output; where outputs belong together, ℓ (n, 1)."""
        raise NotImplementedError(f"the loss {self.name} has no formula: its class must define value_slope(raw, Y)")

    def second(self, raw: Array, Y: Array) -> Array:
        """∂²ℓ/∂ŷ² (n, k) of every row and output; without it Newton's method does not serve."""
        raise NotImplementedError(f"the loss {self.name} has no second derivative: its class defines no second(raw, Y)")

    def conjugate(self, u: Array, Y: Array) -> Array:
        """ℓ*(u) = sup over ŷ of u·ŷ − ℓ(ŷ) (n, k) for every row and output; ∞ where that has no bound."""
        raise NotImplementedError(f"the loss {self.name} has no conjugate: its class defines no conjugate(u, Y)")

    def mean(self, raw: Array) -> Array:
        """What ŷ says of the mean of y, or whatever of y it is that the loss predicts: ŷ itself, without a link."""
        return raw

    def link(self, mean: Array) -> Array:
        """The ŷ of a mean: the inverse of `mean`."""
        return mean

    of_residual: ClassVar[bool] = False
    """Whether ℓ is one of ŷ − y alone."""

    @property
    def variance_power(self) -> float:
        """p, where the variance of y is a multiple of its mean's power p, and the link is the logarithm; else NaN."""
        return math.nan

    @property
    def takes_offsets(self) -> bool:
        """Whether rows without offsets can stand for rows with them."""
        return self.of_residual or not math.isnan(self.variance_power)

    def offset_costs(self, offset: Array, Y: Array) -> Array:
        """c of a row whose linear predictor has an offset o: ℓ(ŷ + o; y) − e^((2−p)o)·ℓ(ŷ; y·e^(−o))."""
        return np.zeros(Y.shape)

    def least(self, Y: Array) -> Array:
        """The least ℓ that any ŷ has for these targets; what a loss lies above it, twice, is a deviance."""
        return np.zeros_like(Y)

    dispersed: ClassVar[bool] = True
    """Whether rows are spread about their mean by more or less than the loss says, by a factor that is estimated."""

    def log_base(self, Y: Array) -> Array | None:
        """What −ℓ lacks of the logarithm of a row's probability (n, k) or (n, 1), where it is one but for that; else None."""
        return None

    @property
    def numeric(self) -> bool:
        """Whether targets are numbers, and not classes."""
        return self.targets not in ("binary", "classes")

    @property
    def admitted(self) -> str:
        """What Y may hold where it trains."""
        return "shares" if self.shares else self.targets

    def undecidable(self, Y: Array) -> Array | None:
        """Of classes: the targets that are of no class, so that no weights are on their side; None where there is none."""
        return (Y > 0) & (Y < 1) if self.shares else None

    @property
    def has_second(self) -> bool:
        """Whether the second derivative is known."""
        return type(self).second is not Loss.second

    @property
    def has_conjugate(self) -> bool:
        """Whether the conjugate is known."""
        return type(self).conjugate is not Loss.conjugate

    @property
    def bounded(self) -> bool:
        """Whether a metric can bound its curvature, smoothed where it has a kink."""
        return self.curvature is not None or self.jump > 0

    @property
    def curved(self) -> bool:
        """Whether its second derivative tells Newton's method where to go, smoothed where it has a kink."""
        return self.has_second and (self.bounded or not self.kinked)

    @property
    def has_probabilities(self) -> bool:
        """Whether predictions mean probabilities of classes."""
        return type(self).probabilities is not Loss.probabilities

    def at(self, raw: ArrayLike, y: float) -> tuple[float, float | Array]:
        """ℓ and ∂ℓ/∂ŷ of one row: a number ŷ, or for softmax the k numbers of ``raw``.

        >>> from gdcore.losses import softmax
        >>> softmax().at([0.0, 0.0], y=5)
        Traceback (most recent call last):
        ValueError: y is 5.0: softmax wants classes 0 … 1, for raw has 2 numbers
        """
        row, target = np.array(raw, np.float64), np.array(y, np.float64)
        if row.ndim > (self.targets == "classes") or (self.targets == "classes" and row.shape < (2,)):
            wanted = "(k,), two or more numbers" if self.targets == "classes" else "() (a number)"
            raise ValueError(must_have_shape("raw", f"{wanted} for {self.name}", row.shape))
        if target.ndim:
            raise ValueError(must_be("y", "a number", f"shape {target.shape}"))
        check_targets(target, self.admitted, row.size, "y", f"{self.name} wants", "raw has {k} numbers")
        value, slope = self.value_slope(row.reshape(1, -1), target.reshape(1, 1))
        return float(value.sum()), slope[0] if row.ndim else float(slope[0, 0])

    def probabilities(self, raw: Array) -> Array:
        """The probability of class 1, or of each class, that predictions mean.

        Raises
        ------
        ValueError
            The loss knows none.
        """
        raise ValueError(
            f"probabilities need a model trained with 'logistic' or 'softmax'; this one is trained with {self.name!r}"
        )

    def rescaled(self, size: float) -> Loss:
        """The loss for targets divided by ``size``: huber's δ shrinks with them."""
        return self

    # The second derivative, for Newton's method ------------------------------------------------------------------------------

    def pairs(self, outputs: int) -> list[tuple[int, int]]:
        """The outputs a ≤ b of one row whose second derivative is not 0."""
        return [(c, c) for c in range(outputs)]

    def hessian(self, raw: Array, Y: Array, smoothing: float = 0.0) -> Callable[[int, int], Array]:
        """A function of a pair of outputs that gives (n,) ∂²ℓ/∂ŷ_a∂ŷ_b, for a < b times −1; of a loss smoothed so widely."""
        second = self.second(raw, Y)
        return lambda a, b: second[:, a]

    def summed_second(self, raw: Floats, Y: Array, s: Floats) -> Floats:
        """Σ s·∂²ℓ/∂ŷ² (k, k) over rows."""
        return np.diag(s @ self.second(raw, Y))

    def bound(self, smoothing: float = 0.0) -> float:
        """The curvature bound, of a smoothed loss its own; where there is none 1, a measure like any other for damping."""
        return 1.0 if self.curvature is None else self.curvature

    def bend(self, raw: Array, Y: Array, smoothing: float = 0.0) -> Array | float:
        """What bounds ∂²ℓ/∂ŷ² near a prediction: the bound, or where there is none the second derivative itself."""
        return self.bound(smoothing) if self.bounded else self.second(raw, Y)

    def steepness(self, value: float) -> tuple[float, float]:
        """Where the loss is so much: about how steep a row is, and how bent, which is what rounding of ŷ is multiplied by."""
        if self.curvature is None or not self.nonnegative:
            return max(1.0, abs(value)), self.bound()
        return float(np.sqrt(2 * self.curvature * max(value, 0.0))), self.curvature  # ℓ'² ≤ 2·c·(ℓ − min ℓ)

    # Smoothing, of kinks and of slopes that are flat far off -----------------------------------------------------------------

    jump: ClassVar[float] = 0.0
    """By so much ∂ℓ/∂ŷ jumps at the target, where a smoothed slope is known: then h smoothing costs up to h·jump/4 a row."""

    def smooth_slope(self, raw: Array, Y: Array, width: float) -> Array:
        """∂ℓ/∂ŷ (n, k), the jump spread over |r| ≤ ``width``."""
        raise NotImplementedError(f"the loss {self.name} has no smoothed slope")

    def smoothed(self, width: float) -> tuple[Loss, float, float]:
        """The loss smoothed within a width, as the backends know it: a loss, a factor, and the width to smooth that within."""
        return self, 1.0, width

    def smoothing_adds(self, sizes: Floats, width: float) -> Floats:
        """Smoothed ℓ − ℓ of residuals of such sizes |r|."""
        return np.zeros_like(sizes)

    # Duality -----------------------------------------------------------------------------------------------------------------

    def sides(self) -> tuple[float, float]:
        """∂ℓ/∂ŷ far left and far right of the target."""
        return -np.inf, np.inf

    def domain(self, Y: Array) -> tuple[float | Array, float | Array]:
        """Between which slopes ℓ* is finite."""
        return self.sides()

    def dual(self, raw: Floats, step: Floats, Y: Floats, damping: float = 0.0, smoothing: float = 0.0) -> Dual:
        """The slopes α that a step Δŷ expects, ℓ'(ŷ) + (ℓ''(ŷ) + damping·bound)·Δŷ, which near the best weights prove most."""
        alpha = self.value_slope(raw, Y)[1] + (self.second(raw, Y) + damping * self.bound()) * step
        return Dual(alpha, within(alpha, *self.domain(Y)))

    def scaled(self, dual: Dual, Y: Floats, factor: float) -> Dual:
        """The slopes multiplied by a number."""
        return dual._replace(alpha=factor * dual.alpha)

    def excess(self, raw: Floats, dual: Dual, Y: Floats) -> Floats:
        """ℓ(ŷ) + ℓ*(α) − α·ŷ ≥ 0 (n,), rounded up; a class that knows a form without cancellation gives that."""
        terms = self.value_slope(raw, Y)[0], self.conjugate(dual.alpha, Y), -dual.alpha * raw
        size = sum(np.abs(term).sum(axis=1) for term in terms)
        rounded: Floats = np.maximum(sum(term.sum(axis=1) for term in terms), 0.0) + _ROOM * _EPS * size
        return rounded

    def push(self, step: Floats, Y: Floats) -> tuple[float, float]:
        """How far a step moves a row at most towards its class, and away from it."""
        return 0.0, 0.0

    def mixture(self, mean: Floats, shares: Floats) -> Mix:
        """What slopes whose mean is ``mean`` have to be mixed with for a mean of 0; ``shares`` are those of the classes."""
        raise NotImplementedError(f"the loss {self.name} mixes no slopes")

    def mixed(self, raw: Floats, Y: Array, mix: Mix) -> Dual:
        """The slopes at predictions, moved and mixed."""
        raise NotImplementedError(f"the loss {self.name} mixes no slopes")
