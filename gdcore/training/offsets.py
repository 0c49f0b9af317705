"""Offsets: what is added to the linear predictor of each row, η = XW + b + o, and has no weight.

No pass knows of them, for the rows can be made anew. Of losses of the residual, y − o for y:

    ℓ(η + o; y) = ℓ(η; y − o)

Of amounts with a log link and a variance of μ^p, poisson 1, gamma 2, tweedie p, a rate for the amount, and its exposure in the
row's weight:

    ℓ(η + o; y) = e^((2−p)o)·ℓ(η; y·e^(−o)) + c,   c = −y·o for p = 1, o for p = 2, else 0

Only differences between offsets matter beside a bias: it takes in what makes the sum of the weights stay what it is, so that
every loss, gradient and step is that of the rows with their offsets, but for the mean of c.
"""

from __future__ import annotations

import copy
import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gdcore import losses
from gdcore.checks import must_have_shape
from gdcore.descent.start import starting_model
from gdcore.losses.targets import check_targets
from gdcore.messages import Message, Option
from gdcore.models.linear import Linear
from gdcore.rows import arrays
from gdcore.rows.dask.partitions import lazy
from gdcore.rows.tables import Table
from gdcore.run import Epoch, History, Run
from gdcore.training.run import run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gdcore._types import Array, ArrayLike
    from gdcore.descent.options import Options
    from gdcore.losses import Loss
    from gdcore.training.checkpoints import Keeper


class Moved(NamedTuple):
    """Rows without offsets that stand for those with them."""

    Y: Array
    sample_weight: Array | None
    shift: float = 0.0
    """What the bias has more."""
    constant: float = 0.0
    """What a loss has less."""

    def there(self, model: Linear) -> Linear:
        """A model of the rows with offsets as one of these."""
        return _with_bias(model, self.shift)

    def back(self, model: Linear) -> Linear:
        """And the other way."""
        return _with_bias(model, -self.shift)

    def told(self, ended: Run, resume: Callable[..., Run]) -> Run:
        """A run on these rows as one on those with offsets."""
        columns = {name: ended.history[name] for name in History.NAMES} | {"loss": ended.history.loss + self.constant}
        history = History(ended.history.start + self.constant, **columns)
        models = None if ended.models is None else [self.back(model) for model in ended.models]
        return ended.told_as(self.back(ended.model), ended.loss + self.constant, history, models, resume)

    def watched(self, callback: Callable[[Epoch], Any], epoch: Epoch) -> Any:
        """Calls back with what an epoch is on the rows with offsets."""
        return callback(epoch._replace(loss=epoch.loss + self.constant, model=self.back(epoch.model)))


def fit(
    offset: ArrayLike, X: Any, Y: Any, model: Any, options: Options, epochs: int | Sequence[int], keeper: Keeper | None
) -> Run:
    """`gdcore.fit` with offsets."""
    loss = losses.get(options.loss)
    _check(loss, X, model, options)
    X = arrays.table(X)
    Y = arrays.targets(Y, X)
    start = starting_model(model, X, Y, loss)
    assert isinstance(start, Linear)
    moved = rows(loss, X, Y, options.sample_weight, offset, start.bias is not None)
    changes: dict[str, Any] = {"sample_weight": moved.sample_weight}
    if options.callback is not None:
        changes["callback"] = functools.partial(moved.watched, options.callback)
    ended = run(X, moved.Y, moved.there(start), options._replace(**changes), epochs, keeper)
    return moved.told(ended, functools.partial(_resumed, ended, offset, options.sample_weight, options.callback))


def _resumed(
    before: Run, offset: ArrayLike, sample_weight: Any, callback: Any, told: Run, X: Any, Y: Any, epochs: int,
    changes: dict[str, Any],
) -> Run:  # fmt: skip
    """What `Run.resume` does: the options that change may be another offset."""
    offset = changes.pop("offset", offset)
    sample_weight, callback = changes.get("sample_weight", sample_weight), changes.get("callback", callback)
    loss = told.model.loss
    X = arrays.table(X)
    moved = rows(loss, X, arrays.targets(Y, X), sample_weight, offset, told.model.bias is not None)
    changes["sample_weight"] = moved.sample_weight
    if callback is not None:
        changes["callback"] = functools.partial(moved.watched, callback)
    if "model" in changes:
        changes["model"] = moved.there(changes["model"])
    ended = before.resume(X, moved.Y, epochs, **changes)
    return moved.told(ended, functools.partial(_resumed, ended, offset, sample_weight, callback))


def _check(loss: Loss, X: Any, model: Any, options: Options) -> None:
    """What offsets do not go with yet, each told in a sentence."""
    if isinstance(X, Table) or lazy(X):
        raise TypeError(Message(Option("offset"), " is for arrays; give ", X.whole if isinstance(X, Table) else "X.compute()"))
    if model is not None and not isinstance(model, Linear):
        raise ValueError(Message(Option("offset"), f" is for linear models, and the model is a {type(model).__name__}"))
    if not loss.takes_offsets:
        known = [kind().name for kind in losses.LOSSES.values() if kind().takes_offsets]
        raise ValueError(Message(Option("offset"), f" is for the losses {', '.join(known)}, found {loss.name}"))
    if options.validation is not None:
        raise ValueError(Message(Option("validation"), " has no offsets of its own: leave it out beside ", Option("offset")))
    if loss.has_link and (not isinstance(options.lr, str) or options.verbose):
        goes = " of a loss with a link goes with ", Option("lr", "auto"), ", and without ", Option("verbose")
        raise ValueError(Message(Option("offset"), *goes))


def rows(loss: Loss, X: Array, Y: Array, sample_weight: Any, offset: ArrayLike, bias: bool) -> Moved:
    """The rows without offsets."""
    s = None if sample_weight is None else arrays.weights_of_rows(sample_weight, X)
    o = arrays.offsets(offset, Y)
    if not loss.has_link:
        return Moved(arrays.cast(Y.astype(np.float64) - o, Y.dtype, "Y less its offset"), s)
    arrays.check_finite(Y, "Y")
    check_targets(Y, loss.admitted, None)
    if o.ndim == 2:
        if np.any(o != o[:, :1]):
            raise ValueError(must_have_shape("offset", "(n,), the same for all outputs of a loss with a link", o.shape))
        o = o[:, 0]
    return _rates(loss, X, Y, s, o, bias)


def _rates(loss: Loss, X: Array, Y: Array, s: Array | None, o: Array, bias: bool) -> Moved:
    a = 2 - loss.variance_power
    weights = np.ones(len(Y)) if s is None else s.astype(np.float64)
    used = weights > 0
    share = weights[used] / weights[used].sum()
    # Σ s·e^(a(o − m)) = Σ s, and where no weight changes, m the mean
    top = float(np.max(a * o[used]))
    shift = (top + float(np.log(share @ np.exp(a * o[used] - top)))) / a if a > 0 else float(share @ o[used])
    if not bias:
        if a > 0 and abs(shift) > 1e-15 * float(np.max(np.abs(o))):
            needs = f" of {loss.name} needs a model with a bias, which takes in their mean"
            raise ValueError(Message(Option("offset"), needs))
        shift = 0.0
    o = np.where(used, o - shift, 0.0)
    with np.errstate(over="ignore", under="ignore"):
        rates = (Y.T * np.exp(-o)).T
        factor = np.exp(a * o)
        fits = np.isfinite(arrays.floating(rates, "Y").astype(X.dtype)).all() and np.all((factor * weights > 0)[used])
    if not fits:
        far = f" goes from {float(o.min() + shift):.3g} to {float(o.max() + shift):.3g}: their exponentials are too far apart"
        raise ValueError(Message(Option("offset"), far))
    constant = loss.offset_costs(o[used].reshape(-1, *[1] * (Y.ndim - 1)), Y[used].astype(np.float64))
    mean = float(share @ constant.reshape(len(share), -1).sum(axis=1))
    changed = None if s is None and a == 0 else (factor * weights).astype(X.dtype)
    return Moved(rates.astype(Y.dtype), changed, shift, mean)


def _with_bias(model: Linear, more: float) -> Linear:
    if model.bias is None or more == 0:
        return model
    moved = copy.copy(model)
    moved.bias = (np.asarray(model.bias, np.float64) + more).astype(model.weights.dtype)[()]
    return moved
