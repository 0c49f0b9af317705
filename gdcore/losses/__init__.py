"""The losses: one registry that fit, the tests and the documentation iterate over.

A loss is the mean over rows of a per-row loss ℓ, summed over the k outputs; with sample weights s it is Σ sᵢℓᵢ / Σ sᵢ. One
normalisation, used everywhere: for `mse`, loss = ‖Y − Ŷ‖²/n and ∇W = −2·Xᵀ(Y − Ŷ)/n exactly, for every k. The loop needs
∂ℓ/∂ŷ alone, for ŷ = x·w + b gives ∇W = Xᵀ·∂ℓ/∂Ŷ / n and ∇b = Σ ∂ℓ/∂ŷ / n, whatever the loss.

The formulas themselves stand in the two backends, forward beside backward; here is what else is known of each, and why.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gdcore.backends import BACKENDS
from gdcore.checks import number
from gdcore.rows import arrays

if TYPE_CHECKING:
    from collections.abc import Callable


class Loss(NamedTuple):
    """A loss with its parameter."""

    name: str
    targets: str
    """What Y holds: "real", "binary" (0 or 1), or "classes" (0 … k − 1)."""
    formula: str
    """ℓ of r = ŷ − y, per row."""
    derivative: str
    """∂ℓ/∂ŷ."""
    curvature: float | None
    """A bound on ∂²ℓ/∂ŷ², or None where there is none."""
    parameter: float = 0.0
    """δ or τ; 0 where there is none."""

    @property
    def spelling(self) -> str:
        """As `get` reads it.

        >>> huber(delta=2.0).spelling, mse().spelling
        ('huber:2.0', 'mse')
        """
        return f"{self.name}:{self.parameter!r}" if self.name in PARAMETERS else self.name

    def at(self, raw: Any, y: float) -> tuple[float, Any]:
        """ℓ and ∂ℓ/∂ŷ of one row: a number ŷ, or for softmax the k numbers of ``raw``.

        >>> softmax().at([0.0, 0.0], y=5)
        Traceback (most recent call last):
        ValueError: y is 5.0: softmax wants classes 0 … 1, for raw has 2 numbers
        """
        column, target = np.array(raw, np.float64), np.array(y, np.float64)
        if column.ndim > (self.targets == "classes") or (self.targets == "classes" and column.shape < (2,)):
            wanted = "(k,), two or more numbers" if self.targets == "classes" else "() (a number)"
            raise ValueError(f"raw must have shape {wanted} for {self.name}, found {column.shape}")
        if target.ndim:
            raise ValueError(f"y must be a number, found shape {target.shape}")
        arrays.labels(target, self.targets, column.size, "y", f"{self.name} wants", "raw has {k} numbers")
        column = column.reshape(-1, 1)
        out = np.empty_like(column)
        value, _ = BACKENDS["kernel"].derivatives_of(column, target.reshape(1, 1), None, out, self.name, self.parameter)
        return value, out[:, 0] if np.ndim(raw) else float(out[0, 0])

    def second(self, raw: Any, Y: Any, smoothing: float = 0.0) -> Callable[[int, int], Any]:
        """Of predictions ``raw`` (n, k): a function of outputs a ≤ b that gives (n,) ∂²ℓ/∂ŷ_a∂ŷ_b, for a < b times −1.

        Of mae and quantile it is that of the smoothed loss. Only softmax has any between two outputs: diag(p) − ppᵀ.
        """
        if self.name == "softmax":
            e = np.exp(raw - raw.max(axis=1, keepdims=True))
            p = e / e.sum(axis=1, keepdims=True)
            return lambda a, b: p[:, a] * ((e.sum(axis=1) - e[:, a]) / e.sum(axis=1) if a == b else p[:, b])
        if self.name == "mse":
            return lambda a, b: np.full(len(raw), 2.0)
        if self.name == "logistic":
            e = np.exp(-np.abs(raw))
            c = e / (1 + e) ** 2
        elif self.name == "huber":
            h = max(self.parameter, smoothing)
            c = (self.parameter / h) * (np.abs(raw - Y) <= h)
        else:
            c = self.bound(smoothing) * (np.abs(raw - Y) <= smoothing)
        return lambda a, b: c[:, a]

    @property
    def flat(self) -> bool:
        """Whether slopes are the same however far the target is: such a loss knows nothing of how far that is."""
        return self.name in ("mae", "quantile", "huber")

    def sides(self) -> tuple[float, float]:
        """∂ℓ/∂ŷ of mae and quantile left and right of the target, of huber far left and right of it."""
        if self.name == "huber":
            return -self.parameter, self.parameter
        return (-1.0, 1.0) if self.name == "mae" else (-self.parameter, 1 - self.parameter)

    def bound(self, smoothing: float = 0.0) -> float:
        """The curvature bound; of the smoothed loss 1/h for mae, 1/(2h) for quantile, δ/h for huber where h is above δ."""
        if self.name == "huber" and smoothing > self.parameter:
            return self.parameter / smoothing
        if self.curvature is not None:
            return self.curvature
        return 1 / smoothing if self.name == "mae" else 1 / (2 * smoothing)


def mse() -> Loss:
    """Squared error, for real y: ℓ = Σ r².

    Derivation: dr/dŷ = 1, so ∂ℓ/∂ŷ = 2r. The curvature is 2 everywhere.

    >>> mse().at(5.0, y=1.0)
    (16.0, 8.0)
    """
    return Loss("mse", "real", "Σ r²", "2r", 2.0)


def mae() -> Loss:
    """Absolute error, for real y: ℓ = Σ |r|.

    Derivation: |r| is r for r > 0 and −r for r < 0, so ∂ℓ/∂ŷ = sign(r); at 0, where it has a kink, we take 0, which lies
    between the slopes of both sides. There is no curvature bound: the slope jumps.

    >>> mae().at(5.0, y=1.0), mae().at(-1.0, y=1.0), mae().at(1.0, y=1.0)
    ((4.0, 1.0), (2.0, -1.0), (0.0, 0.0))
    """
    return Loss("mae", "real", "Σ |r|", "sign(r), 0 at 0", None)


def huber(delta: float = 1.0) -> Loss:
    """Squared error near, absolute error far, for real y: ℓ = Σ ½r² where |r| ≤ δ, else δ(|r| − ½δ).

    Derivation: inside, d(½r²)/dr = r; outside, δ·sign(r). Both are clip(r, −δ, δ), which is continuous: that is why ½δ² is
    taken off outside. The curvature is 1 inside and 0 outside.

    >>> huber(delta=2.0).at(1.5, y=1.0), huber(delta=2.0).at(-4.0, y=1.0)
    ((0.125, 0.5), (8.0, -2.0))

    Raises
    ------
    ValueError, TypeError
        δ is not a positive number.
    """
    delta = number(delta, "delta", above=0)
    return Loss("huber", "real", "Σ ½r², or δ(|r| − ½δ) past δ", "clip(r, −δ, δ)", 1.0, delta)


def quantile(tau: float = 0.5) -> Loss:
    """Pinball loss, for real y: ℓ = Σ max(−τr, (1 − τ)r). Its minimum is the τ-quantile; τ = ½ is half of `mae`.

    Derivation: for r > 0 (predicted too high) the second is larger, with slope 1 − τ; for r < 0 the first, with slope −τ;
    at 0 we take 0. At the minimum the slopes cancel: a share τ of the rows lies below the prediction.

    >>> quantile(tau=0.75).at(3.0, y=1.0), quantile(tau=0.75).at(-1.0, y=1.0)
    ((0.5, 0.25), (1.5, -0.75))

    Raises
    ------
    ValueError, TypeError
        τ is not between 0 and 1.
    """
    tau = number(tau, "tau", above=0, below=1)
    return Loss("quantile", "real", "Σ max(−τr, (1 − τ)r)", "1 − τ where r > 0, −τ where r < 0, 0 at 0", None, tau)


def logistic() -> Loss:
    """Log loss, for y in {0, 1}: ℓ = Σ log(1 + e^ŷ) − yŷ, which is −log of the probability σ(ŷ) = 1/(1 + e^−ŷ) given to y.

    Derivation: d log(1 + e^ŷ)/dŷ = e^ŷ/(1 + e^ŷ) = σ(ŷ), so ∂ℓ/∂ŷ = σ(ŷ) − y. The curvature is σ(1 − σ) ≤ ¼. Computed
    from e^−|ŷ|, which cannot overflow.

    >>> value, slope = logistic().at(0.0, y=1.0)
    >>> round(value, 6), slope
    (0.693147, -0.5)
    >>> logistic().at(-1000.0, y=1.0)
    (1000.0, -1.0)
    """
    return Loss("logistic", "binary", "Σ log(1 + e^ŷ) − yŷ", "σ(ŷ) − y", 0.25)


def softmax() -> Loss:
    """Cross-entropy, for classes y = 0 … k − 1 and k outputs: ℓ = logsumexp(ŷ) − ŷ_y.

    Derivation: ∂logsumexp(ŷ)/∂ŷ_c = e^ŷ_c / Σ e^ŷ = softmax(ŷ)_c, and ∂ŷ_y/∂ŷ_c is 1 for c = y and 0 else, so
    ∂ℓ/∂ŷ = softmax(ŷ) − onehot(y). The curvature is at most ½. Computed from ŷ − max ŷ, which cannot overflow.

    >>> value, slope = softmax().at([0.0, 0.0], y=1)
    >>> round(value, 6), slope
    (0.693147, array([ 0.5, -0.5]))
    """
    return Loss("softmax", "classes", "logsumexp(ŷ) − ŷ_y", "softmax(ŷ) − onehot(y)", 0.5)


LOSSES: dict[str, Callable[..., Loss]] = {make.__name__: make for make in (mse, mae, huber, quantile, logistic, softmax)}
PARAMETERS = {name: own for name, make in LOSSES.items() for own in inspect.signature(make).parameters}
"""What the parameter is called of the losses that have one."""


def get(loss: Any, **parameters: float | None) -> Loss:
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
    ValueError: loss 'rmse' is unknown; there is 'mse', 'mae', 'huber', 'quantile', 'logistic', 'softmax', with a parameter \
'huber:1.0' and 'quantile:0.5'
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
            raise ValueError(f"loss {shown!r} has no {keyword}, which is a parameter of {', '.join(map(repr, owners))}")
        if value is not None and told != value:
            raise ValueError(f"loss {shown!r} and {keyword}={told!r} are two values for one parameter: give one of them")
        value = told
    if isinstance(loss, Loss):
        return loss
    try:
        return LOSSES[name]() if value is None else LOSSES[name](value)
    except ValueError as error:
        raise ValueError(f"loss {shown!r}: {error}") from None


def _read(spelling: Any) -> tuple[str, float | None]:
    """Name and parameter of a text, None where it has none."""
    name, colon, text = spelling.partition(":") if isinstance(spelling, str) else (None, "", "")
    with_one = [LOSSES[each]().spelling for each in PARAMETERS]
    if name not in LOSSES:
        named = ", ".join(map(repr, LOSSES))
        told = " and ".join(map(repr, with_one))
        raise ValueError(f"loss {spelling!r} is unknown; there is {named}, with a parameter {told}")
    if not colon:
        return name, None
    if name not in PARAMETERS:
        told = " and ".join(map(repr, with_one))
        raise ValueError(f"loss {spelling!r}: {name} has no parameter; what has one is written as {told}")
    try:
        return name, float(text)
    except ValueError:
        example = LOSSES[name]().spelling
        raise ValueError(f"loss {spelling!r}: after the colon a number is wanted, as in {example!r}") from None
