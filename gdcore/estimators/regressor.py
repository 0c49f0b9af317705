"""Linear regression, as scikit-learn calls its estimators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import MultiOutputMixin, RegressorMixin  # type: ignore[import-untyped]

from gdcore import losses
from gdcore.backends import BACKENDS
from gdcore.checks import must_be
from gdcore.estimators.descent import Descent
from gdcore.estimators.inputs import FLOATS, SKLEARN, in_dask, remember, weights_of, with_callbacks
from gdcore.estimators.moments import measured
from gdcore.facts.gap import SQUARES
from gdcore.facts.quadratic import Quadratic
from gdcore.facts.spectrum import Spectrum
from gdcore.models.linear import mean
from gdcore.notices import ConditionWarning, warn
from gdcore.quantiles import quantiles
from gdcore.rows.dask.partitions import lazy
from gdcore.run import History
from gdcore.scores.sums import NumberSums

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gdcore._types import Array, ArrayLike, Lazy
    from gdcore.optimizers import Optimizer
    from gdcore.run import Callback


class GDRegressor(MultiOutputMixin, RegressorMixin, Descent):  # type: ignore[misc]
    """Linear regression by gradient descent: squared, absolute, Huber's or quantile loss, one target or several.

    The objective is the mean loss of the rows (by ``sample_weight``) + l1·‖W‖₁ + (l2/2)·‖W‖²: see `gdcore.losses`. The
    defaults solve it, on columns of any scale. By default nothing is penalised; a penalty weighs on weights as they are, in
    the units of X; `GDRegressorCV` chooses one, in units of the columns' spreads.

    Parameters
    ----------
    loss : {"mse", "mae", "huber", "quantile", "poisson", "gamma", "tweedie"}, or a loss with its parameter
        "huber:2.0" and "quantile:0.9", ``gdcore.losses.huber(delta=2.0)``, or a name and ``delta``, ``tau`` or ``power``.
        Of "poisson", "gamma" and "tweedie" `predict` gives the mean, e^(XW + b).
    delta, tau, power : float, optional
        Of "huber", where |r| turns from squared to absolute (1.0); of "quantile", which one (0.5); of "tweedie", with which
        power of the mean the variance grows (1.5). Of other losses none is looked at.
    quantile : sequence of m floats, optional
        With loss="quantile", several τ of one target at once, each exactly (`gdcore.quantiles`): `coef_` is (m, d), and
        `predict` gives (n, m). Without penalties, and by no other descent than that.
    bias : bool
        Whether there is one.
    bounds, positive
        Of the weights, as for `gdcore.fit`; positive=True is short for (0, ∞).
    l1, l2, lr, optimizer, batch_size, epochs, tol, precondition, method, backend
        As for `gdcore.fit`.
    early_stopping : bool
        Stop when the validation loss has not fallen for ``patience`` epochs, and keep the weights that were best on it. The
        validation rows are fit's ``X_val``, else a share ``validation_fraction`` of X, which keep their weights (the other
        rows are then copied).
    random_state : int, RandomState or None
        For batches and the choice of validation rows.
    n_threads : int, optional
        Default: as many as gdcore takes, at most as many as joblib and threadpoolctl leave to OpenMP.
    verbose : bool
        Print a line after each epoch.
    warm_start : bool
        Begin where the last fit ended.
    callbacks : callable or list of callables, optional
        Called with a `gdcore.Epoch` after each epoch; True stops. scikit-learn's own (1.9) come by ``set_callbacks``.

    Attributes
    ----------
    coef_, intercept_ : arrays (d,) and (), or (k, d) and (k,) for y (n, k), or for k quantiles
    n_iter_, history_, status_
        Epochs done, and `History` and status of the `gdcore.Run`.
    gap_, proof_, spectrum_
        Likewise; found when first asked for, or pickled, from the data given to fit, which are kept until then.
    n_features_in_, feature_names_in_

    Examples
    --------
    >>> from gdcore.estimators import GDRegressor
    >>> model = GDRegressor().fit([[0.0], [1000.0], [2000.0]], [1.0, 3.0, 5.0])
    >>> model.coef_.round(6), round(float(model.intercept_), 6), model.status_
    (array([0.002]), 1.0, 'converged')
    >>> model.predict([[5000.0]]).round(6)
    array([11.])
    """

    def __init__(
        self, loss: str | losses.Loss = "mse", *, delta: float | None = None, tau: float | None = None,
        power: float | None = None, quantile: Sequence[float] | None = None, l1: float = 0.0, l2: float = 0.0,
        bias: bool = True, lr: float | str = "auto",
        optimizer: str | Optimizer | None = None,
        batch_size: int | None = None, epochs: int = 1000, tol: float | None = None,
        precondition: str | None = "auto", method: str = "auto", early_stopping: bool = False,
        validation_fraction: float = 0.1, patience: int = 10,
        random_state: int | np.random.RandomState | None = None, n_threads: int | None = None,
        verbose: bool = False, warm_start: bool = False,
        callbacks: Callback | Sequence[Callback] | None = None, backend: str = "kernel",
        bounds: tuple[ArrayLike, ArrayLike] | None = None, positive: bool = False,
    ) -> None:  # fmt: skip
        remember(self, locals())

    def _fit_quantiles(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, X_val: ArrayLike | None) -> Self:
        """Several τ at once."""
        wanted = {"loss": "quantile", "tau": None, "l1": 0.0, "l2": 0.0, "bias": True, "lr": "auto", "optimizer": None,
                  "batch_size": None, "early_stopping": False, "callbacks": None, "backend": "kernel"}  # fmt: skip
        for name, value in wanted.items():
            if (found := getattr(self, name)) != value:
                raise ValueError(must_be(name, f"{value!r} beside quantile={self.quantile!r}", repr(found)))
        if X_val is not None:
            raise ValueError("X_val goes with one quantile: several have no epochs to stop")
        if not lazy(X):
            X, y, sample_weight = self._checked(X, y, sample_weight, reset=True)
        else:
            self._far(X, y)
        run = quantiles(X, y, self.quantile, sample_weight=sample_weight, n_threads=self.n_threads)
        self._keep(run)
        return self

    def _loss(self) -> losses.Loss:
        own = losses.PARAMETERS.get(losses.get(self.loss).name)
        chosen = losses.get(self.loss, **({} if own is None else {own: getattr(self, own)}))
        if not chosen.numeric:
            raise ValueError(f"loss {chosen.name!r} is for classes, which GDClassifier learns; GDRegressor learns numbers")
        return chosen

    def _checked(
        self, X: ArrayLike, y: ArrayLike | None, sample_weight: ArrayLike | None, reset: bool
    ) -> tuple[Array, Array, Array | None]:
        table, Y = self._table(X, y, reset, multi_output=True, y_numeric=True)
        return table, Y if Y.dtype in FLOATS else Y.astype(np.float64), weights_of(sample_weight, table)

    @with_callbacks  # type: ignore[untyped-decorator]
    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None, X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
    ) -> Self:  # fmt: skip
        """Trains.

        Parameters
        ----------
        X, y : array or data frame (n, d), array (n,) or (n, k)
            X is not copied where it is one block of float32 or float64; coef_ has its dtype. Rows in Dask are trained with
            where they are: `gdcore.distributed`.
        sample_weight : array (n,), optional
        X_val, y_val : optional
            Rows that do not train; ``history_.validation_loss`` is theirs.

        Raises
        ------
        ValueError, TypeError
            Of the data in scikit-learn's words, of a parameter in those of `gdcore.fit`.
        DivergenceError
            As `gdcore.fit`.

        Warns
        -----
        ConvergenceWarning
            The epochs ran out; it names the gap, and what helps.
        """
        if self.quantile is not None:
            return self._fit_quantiles(X, y, sample_weight, X_val)
        if lazy(X):
            return self._fit_far(X, y, sample_weight, X_val, y_val)
        X, Y, s = self._checked(X, y, sample_weight, reset=True)
        held = None if X_val is None else self._checked(X_val, y_val, None, reset=False)[:2]
        return self._fit(X, Y, y, s, self._loss(), Y.shape[1:], held)

    def _fit_far(
        self, X: Lazy, y: Lazy | Array, sample_weight: Lazy | Array | None, X_val: Lazy | None, y_val: Lazy | Array
    ) -> Self:
        """`fit` of rows in Dask."""
        like, held = self._far(X, y), None if X_val is None else (X_val, y_val)
        return self._fit(X, y, y, sample_weight, self._loss(), np.shape(y)[1:], held, like)

    def partial_fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Trains with one more chunk of rows.

        With "mse" the result is that of one fit to all chunks and to what was fitted before: second moments add up, d² numbers
        that are kept. With other losses it is one epoch of mini-batches, of 32 rows by default, over the chunk, on columns of
        any scale: their means and spreads so far are kept, too, and the steps are made in those units. That is with lr="auto"
        and no penalties, which are in X's units.

        Raises
        ------
        ValueError, TypeError, DivergenceError
            As `fit`; X has other columns than before.

        Warns
        -----
        ConditionWarning
            With "mse": columns are so nearly dependent that moments cannot tell their weights apart.
        """
        first, loss = not hasattr(self, "coef_"), self._loss()
        X, Y, s = self._checked(X, y, sample_weight, reset=first)
        if not loss.squared:
            return self._step(X, Y, s, loss, Y.shape[1:])
        chunk = measured(X, Y, s, self._threads(), self.backend)
        moments = chunk if first else self._fact("moments") + chunk
        best, penalty = Quadratic(moments, self.bias, self.l2), self._penalty(X)
        weights, bias = best.metric.prox(best.weights, best.bias, 1.0, penalty, BACKENDS[self.backend])
        if not best.metric.clear:
            text = "X's columns are so nearly dependent that moments cannot tell their weights apart: fit does it better"
            warn(text, ConditionWarning, between=SKLEARN)
        outputs = Y.shape[1:]
        bias = None if bias is None else bias.astype(X.dtype).reshape(outputs)[()]
        self._name(weights.astype(X.dtype).reshape(-1, *outputs), bias)
        self.n_iter_, self.history_, self.status_ = 1, History.empty(), "converged"
        proved = best.gap(weights, best.bias) if not penalty.kinked and best.metric.clear else None
        self._facts = {
            "moments": moments,
            "gap": proved,
            "proof": None if proved is None else SQUARES,
            "spectrum": Spectrum(moments.of_columns(), self.bias, loss, self.l2),
        }
        return self

    def predict(self, X: ArrayLike) -> Any:
        """Ŷ: (n,), or (n, k) after y (n, k); lazy, of rows in Dask."""
        return in_dask(self, X, "predict") if lazy(X) else mean(self._raw(X), self._loss())

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """R²; of poisson, gamma and tweedie D², the share of the deviance that is explained, as scikit-learn's regressors."""
        loss = self._loss()
        if not loss.has_link:
            return float(super().score(X, y, sample_weight))
        X, Y, s = self._checked(X, y, sample_weight, reset=False)
        found = NumberSums(loss, 1 if Y.ndim == 1 else Y.shape[1])
        raw = self._raw(X)
        found.add(raw.reshape(len(raw), -1), Y.reshape(len(raw), -1), s)
        explained = found.scores().d2
        return float("nan") if explained is None else explained
