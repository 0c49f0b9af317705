"""scikit-learn estimators: `gdcore.fit` for people who have pipelines, cross-validation and grid search.

`fit` hands X, y and weights, checked in scikit-learn's words, to `gdcore.fit`, without a copy but for early stopping; what it
returns is kept under scikit-learn's names. `partial_fit` solves mse from moments that are added up, and else makes steps in
the columns' spreads. ``import gdcore`` does not import this module, which alone needs scikit-learn.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from gdcore import losses, threads
from gdcore.backends import BACKENDS
from gdcore.facts import scales
from gdcore.facts.quadratic import Quadratic
from gdcore.facts.spectrum import Spectrum, spectrum
from gdcore.models.linear import Linear, mean, probabilities
from gdcore.notices import ConditionWarning, warn
from gdcore.rows.arrays import no_weight
from gdcore.rows.cluster import Cluster, lazy
from gdcore.rows.moments import Moments, check
from gdcore.run import Epoch, History, Run
from gdcore.scores.sums import NumberSums
from gdcore.train import fit
from gdcore.training import endings

try:
    from sklearn import utils  # type: ignore[import-untyped]
    from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin  # type: ignore[import-untyped]
    from sklearn.exceptions import ConvergenceWarning  # type: ignore[import-untyped]
    from sklearn.utils import validation  # type: ignore[import-untyped]
    from sklearn.utils._openmp_helpers import _openmp_effective_n_threads  # type: ignore[import-untyped]
    from sklearn.utils.multiclass import check_classification_targets  # type: ignore[import-untyped]
    from sklearn.utils.validation import validate_data  # type: ignore[import-untyped]
except ImportError as error:
    raise ImportError(f"gdcore.estimators needs scikit-learn 1.6 or newer: pip install 'gdcore[sklearn]' ({error})") from error
try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks  # type: ignore[import-untyped]
except ImportError:  # before scikit-learn 1.9
    CallbackSupportMixin, with_callbacks = type("CallbackSupportMixin", (), {}), lambda method: method
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gdcore._types import Array

_FLOATS = [np.float64, np.float32]
_SKLEARN = os.path.dirname(utils.__file__).removesuffix("utils")  # whose wrappers lie between a method and its caller
_FLOAT = np.dtype(np.float64)


class Learned(NamedTuple):
    """What an estimator has learned, as `gdcore.store.fitted` keeps it in a file."""

    arrays: dict[str, Array]
    """coef_, intercept_ and, where they are known, the moments that `partial_fit` adds to."""
    n_iter: int
    status: str
    history: History
    n_features_in: int
    feature_names_in: Array | None
    classes: Array | None


class _Descent(CallbackSupportMixin, BaseEstimator):  # type: ignore[misc]
    """What both estimators have in common."""

    _last: Run | None = None
    """Where `_step` goes on; not pickled."""
    _columns: Moments | None = None
    """Mean and spread of each column of all chunks that `_step` has seen."""
    _facts: dict[str, Any]
    """What is known of the data, or a function that finds it when it is asked for."""

    def _table(self, X: Any, y: Any, reset: bool = False, **how: Any) -> Any:
        """X and y as arrays, X without a copy where it is one block of float32 or float64."""
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        return validate_data(self, _dense(X), y, reset=reset, dtype=_FLOATS, ensure_all_finite=False, **how)

    def _far(self, X: Any, y: Any) -> Array:
        """One row in the place of rows in Dask: scikit-learn learns the columns from it."""
        from gdcore import distributed

        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        row: Array = validate_data(self, distributed.one_row(X), reset=True, dtype=_FLOATS)
        return row

    def _seed(self) -> int:
        return int(utils.check_random_state(self.random_state).randint(2**31 - 1))

    def _threads(self) -> int:
        """n_threads, else what gdcore takes, but no more than scikit-learn's own loops would: threadpoolctl limits those."""
        if self.n_threads is not None:
            return threads.resolve(self.n_threads)
        return min(threads.resolve(None), int(_openmp_effective_n_threads(only_physical_cores=False)))

    def _start(self, X: Array, outputs: tuple[int, ...], go_on: bool) -> Linear:
        """Where training starts: zeros, or where the last fit ended."""
        shape = (*outputs, X.shape[1])
        weights, bias = np.zeros(shape, X.dtype), np.zeros(outputs, X.dtype)
        if go_on and hasattr(self, "coef_"):
            if self.coef_.size != weights.size:
                raise ValueError(f"coef_ has shape {self.coef_.shape}, but these data need {shape}: it is no start for them")
            weights[...], bias[...] = self.coef_.reshape(shape), np.reshape(self.intercept_, outputs)
        return Linear(weights.T, bias if self.bias else None)

    def _fit(
        self, X: Any, Y: Any, y: Any, s: Any, loss: losses.Loss, outputs: tuple[int, ...], held: Any, like: Any = None
    ) -> Self:
        """`gdcore.fit` of checked data, or of rows in Dask, of which ``like`` is one row.

        ``y`` is Y as it was given, ``held`` the rows that do not train.
        """
        far, size = like is not None, self.batch_size
        if far and self.early_stopping and held is None:
            raise ValueError("early_stopping needs X_val and y_val beside rows in Dask: no share of them is held back")
        if size is not None and not far:
            size = min(size, len(X))
        model, seed = self._start(like if far else X, outputs, self.warm_start), self._seed()
        self._last, self._columns, self._facts, given = None, None, {}, (X, y, None if s is None else {"sample_weight": s})
        if self.early_stopping and held is None:
            from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]

            share, labels = self.validation_fraction, None if loss.numeric else Y
            train, rest = train_test_split(np.arange(len(X)), test_size=share, random_state=seed, stratify=labels)
            held = X[rest], Y[rest], None if s is None else s[rest]
            X, Y, s = X[train], Y[train], None if s is None else s[train]
        checked = nullcontext() if far else _finite(X)
        with self._watch(*given) as callback, checked, endings.unfinished_told_elsewhere():
            run = fit(
                X, Y, model, loss, self.optimizer, self.lr, self.epochs, l1=self.l1, l2=self.l2, sample_weight=s,
                batch_size=size, validation=held,
                patience=self.patience if self.early_stopping else None, precondition=self.precondition, method=self.method,
                tol=self.tol, seed=seed, callback=callback, backend=self.backend,
                n_threads=self.n_threads if far else self._threads(),
            )  # fmt: skip
            self._keep(run)
        if loss.squared:
            how = self._threads(), self.backend
            # partial_fit adds to them
            self._facts["moments"] = lambda: Cluster(X, Y, s).moments(*how, target=True) if far else _measured(X, Y, s, *how)
        if run.status == "interrupted":
            raise KeyboardInterrupt  # a grid search shall not go on to its next candidate
        if run.status == "epochs":
            self._unfinished(run)
        return self

    def _step(self, X: Array, Y: Array, s: Any, loss: losses.Loss, outputs: tuple[int, ...]) -> Self:
        """One epoch of mini-batches over a chunk; optimizer state, shuffling and epochs go on from the last one.

        With lr="auto" and no penalty the steps are made in columns of mean 0 and spread 1, as all chunks so far tell them, and
        the weights are given back in X's units. A number for lr, and penalties, are in X's units, and so are the steps then.
        """
        size, before = min(32 if self.batch_size is None else self.batch_size, len(X)), self._last
        options: dict[str, Any] = {"sample_weight": s, "batch_size": size, "n_threads": self._threads()}
        if before is not None:
            X, Y = X.astype(before.model.weights.dtype, copy=False), Y.astype(before.model.weights.dtype, copy=False)
        start = self._start(X, outputs, True)
        scaling, columns = _Scaling(0.0, 1.0), self._columns
        if isinstance(self.lr, str) and self.l1 == 0 and self.l2 == 0:
            columns = _each_column(X, s, columns)
            scaling = _Scaling.of(columns, self.bias)
        elif before is None:
            advice = "With a number for lr, or with penalties, partial_fit's steps are in the units of X: scale its columns"
            scales.warn("partial_fit", X, None, advice)
        Z, model = scaling.columns(X), scaling.into(start)
        with _finite(X):
            if before is not None:
                # In other units the weights are other ones; where nothing is scaled the run goes on from its own.
                run = before.resume(Z, Y, 1, model=None if Z is X else model, **options)
            else:
                run = fit(
                    Z, Y, model, loss, self.optimizer or "sgd", self.lr, 1, l1=self.l1, l2=self.l2,
                    seed=self._seed(), tol=0.0, precondition=None, method="stream", backend=self.backend, **options,
                )  # fmt: skip
        self._last, self._columns = run, columns
        self._keep(run)
        found = scaling.undone(run.model)
        self._name(found.weights, found.bias)
        if loss.curvature is not None:
            how = {"sample_weight": s, "backend": self.backend, "n_threads": self._threads()}
            self._facts["spectrum"] = lambda: spectrum(X, self.bias, loss, self.l2, **how)
        return self

    def _keep(self, run: Run) -> None:
        self._name(run.model.weights, run.model.bias)
        self.n_iter_, self.history_, self.status_ = run.epochs, run.history, run.status
        self._facts = {"gap": lambda: run.gap, "spectrum": lambda: run.spectrum}

    def _name(self, weights: Array, bias: Any) -> None:
        """coef_ and intercept_, in scikit-learn's shapes."""
        self.coef_ = np.ascontiguousarray(weights.T)
        self.intercept_ = np.zeros(weights.shape[1:], weights.dtype)[()] if bias is None else bias

    def _unfinished(self, run: Run) -> None:
        """Warns that the epochs ran out, unless the gap proves that the best is reached for all that."""
        tol, gap, highest = 1e-6 if self.tol is None else self.tol, self.gap_, float(run.history.loss.max(initial=0.0))
        if gap is not None and gap <= max(tol * run.loss, 1e-15 * highest):
            return
        known = "how far the best is, nothing proves" if gap is None else f"it is at most {gap:.3g} above the best"
        helps = "more epochs, or a larger tol"
        if self.lr != "auto" or self.optimizer is not None or self.batch_size is not None:
            helps += ", or lr='auto' with optimizer and batch_size None"
        if gap is None and hasattr(self, "classes_"):
            helps += ", or some l2, without which separable classes have no best weights"
        message = f"{run.epochs} epochs ran out at the loss {run.loss:.6g}, gradient norm {run.gradient_norm:.3g}: {known}"
        warn(f"{message}. What helps: {helps}", ConvergenceWarning, between=_SKLEARN)

    @contextmanager
    def _watch(self, X: Any, y: Any, metadata: Any) -> Iterator[Callable[[Epoch], bool] | None]:
        """What is called after each epoch: ``verbose``, ``callbacks``, and scikit-learn's own (1.9: `set_callbacks`)."""
        if not hasattr(self, "_skl_callbacks"):
            yield self._report if self.verbose or self.callbacks is not None else None
            return
        data = {"estimator": self, "X": X, "y": y, "metadata": metadata}
        root = self._init_callback_context(max_subtasks=self.epochs + 1)  # one more has begun when the last has ended
        root.call_on_fit_task_begin(**data)
        task = root.subcontext("epoch").call_on_fit_task_begin(**data)

        def after(epoch: Epoch) -> bool:
            nonlocal task
            stop = self._report(epoch)
            self._name(epoch.model.weights, epoch.model.bias)
            state = {"coef_": self.coef_, "intercept_": self.intercept_}
            stop = task.call_on_fit_task_end(**data, reconstruction_attributes=state) or stop
            task = root.subcontext("epoch").call_on_fit_task_begin(**data)
            return bool(stop)

        yield after
        task.call_on_fit_task_end(estimator=self)
        root.call_on_fit_task_end(**data, reconstruction_attributes={})

    def _report(self, epoch: Epoch) -> bool:
        if self.verbose:
            held = "" if np.isnan(epoch.validation_loss) else f", validation {epoch.validation_loss:.6g}"
            print(f"epoch {epoch.epoch}: loss {epoch.loss:.6g}{held}, gradient norm {epoch.gradient_norm:.3g}")
        called = [self.callbacks] if callable(self.callbacks) else self.callbacks or ()
        return True in [callback(epoch) for callback in called]

    def _raw(self, X: Any) -> Array:
        """XW + b."""
        validation.check_is_fitted(self)
        X = validate_data(self, _dense(X), reset=False, dtype=_FLOATS, ensure_all_finite=False)
        with _finite(X):
            return Linear(self.coef_.T, self.intercept_).predict(X, self._threads())

    def learned(self) -> Learned:
        """What fitting has made of it; NotFittedError where nothing has."""
        validation.check_is_fitted(self)
        arrays = {"coef_": self.coef_, "intercept_": np.asarray(self.intercept_)}
        for name, moments in (("moments", self._facts.get("moments")), ("columns", self._columns)):
            if isinstance(moments, Moments):
                numbers = np.array([moments.total, moments.columns, moments.largest_row, moments.rows], np.float64)
                arrays |= {f"{name}.mean": moments.mean, f"{name}.scatter": moments.scatter, f"{name}.numbers": numbers}
        names, classes = (getattr(self, name, None) for name in ("feature_names_in_", "classes_"))
        return Learned(arrays, self.n_iter_, self.status_, self.history_, self.n_features_in_, names, classes)

    def become(self, learned: Learned) -> None:
        """Becomes what another had `learned`; ValueError where these arrays are not of one such fit."""
        arrays, d, k = dict(learned.arrays), learned.n_features_in, 0 if learned.classes is None else len(learned.classes)
        coef, intercept = arrays.pop("coef_"), arrays.pop("intercept_")
        outputs = coef.shape[:-1]
        wanted = {0: outputs, 2: (1,)}.get(k, (k,))
        if (k > 0) != isinstance(self, GDClassifier):
            raise ValueError(f"a {type(self).__name__} has {'no ' if k else ''}classes")
        if (
            coef.ndim not in (1, 2)
            or coef.shape != (*wanted, d)
            or intercept.shape != outputs
            or intercept.dtype != coef.dtype
        ):
            raise ValueError(f"coef_ has shape {coef.shape} and intercept_ {intercept.shape}, for {d} columns and {k} classes")
        facts, moments = {}, {name: _moments_of(arrays, name) for name in ("moments", "columns") if f"{name}.mean" in arrays}
        if arrays:
            raise ValueError(f"its arrays are too many: {min(arrays)}")
        if "moments" in moments:
            facts["moments"] = moments["moments"]
        self.coef_, self.intercept_, self._facts, self._columns = coef, intercept[()], facts, moments.get("columns")
        self.n_iter_, self.status_, self.history_, self.n_features_in_ = learned.n_iter, learned.status, learned.history, d
        if learned.feature_names_in is not None:
            self.feature_names_in_ = learned.feature_names_in
        if learned.classes is not None:
            self.classes_ = learned.classes

    def _fact(self, name: str) -> Any:
        if name not in vars(self).get("_facts", ()):
            raise AttributeError(
                f"{type(self).__name__} has no {name}: it is found from the rows of a fit with the same loss, and does not go "
                "into a file"
            )
        if callable(self._facts[name]):
            self._facts[name] = self._facts[name]()
        return self._facts[name]

    gap_ = property(lambda self: self._fact("gap"), doc="``run.gap``: a proved bound on loss − best loss, or None.")
    spectrum_ = property(lambda self: self._fact("spectrum"), doc="``run.spectrum``: the `gdcore.Spectrum` of X, or None.")

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: facts in place of the data from which they would be found when asked for."""
        for name in self.__dict__.get("_facts", ()):
            self._fact(name)
        return {name: value for name, value in super().__getstate__().items() if name != "_last"}


class GDRegressor(MultiOutputMixin, RegressorMixin, _Descent):  # type: ignore[misc]
    """Linear regression by gradient descent: squared, absolute, Huber's or quantile loss, one target or several.

    The objective is the mean loss of the rows (by ``sample_weight``) + l1·‖W‖₁ + (l2/2)·‖W‖²: see `gdcore.losses`. The
    defaults solve it, on columns of any scale. By default nothing is penalised; a penalty weighs on weights as they are, in
    the units of X.

    Parameters
    ----------
    loss : {"mse", "mae", "huber", "quantile", "poisson", "gamma", "tweedie"}, or a loss with its parameter
        "huber:2.0" and "quantile:0.9", ``gdcore.losses.huber(delta=2.0)``, or a name and ``delta``, ``tau`` or ``power``.
        Of "poisson", "gamma" and "tweedie" `predict` gives the mean, e^(XW + b).
    delta, tau, power : float, optional
        Of "huber", where |r| turns from squared to absolute (1.0); of "quantile", which one (0.5); of "tweedie", with which
        power of the mean the variance grows (1.5). Of other losses none is looked at.
    bias : bool
        Whether there is one.
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
    coef_, intercept_ : arrays (d,) and (), or (k, d) and (k,) for y (n, k)
    n_iter_, history_, status_
        Epochs done, and `History` and status of the `gdcore.Run`.
    gap_, spectrum_
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
        power: float | None = None, l1: float = 0.0, l2: float = 0.0, bias: bool = True, lr: float | str = "auto",
        optimizer: Any = None, batch_size: int | None = None, epochs: int = 1000, tol: float | None = None,
        precondition: str | None = "auto", method: str = "auto", early_stopping: bool = False,
        validation_fraction: float = 0.1, patience: int = 10, random_state: Any = None, n_threads: int | None = None,
        verbose: bool = False, warm_start: bool = False, callbacks: Any = None, backend: str = "kernel",
    ) -> None:  # fmt: skip
        _remember(self, locals())

    def _loss(self) -> losses.Loss:
        own = losses.PARAMETERS.get(losses.get(self.loss).name)
        chosen = losses.get(self.loss, **({} if own is None else {own: getattr(self, own)}))
        if not chosen.numeric:
            raise ValueError(f"loss {chosen.name!r} is for classes, which GDClassifier learns; GDRegressor learns numbers")
        return chosen

    def _checked(self, X: Any, y: Any, sample_weight: Any, reset: bool) -> tuple[Array, Array, Any]:
        X, y = self._table(X, y, reset, multi_output=True, y_numeric=True)
        return X, y if y.dtype in _FLOATS else y.astype(np.float64), _weights(sample_weight, X)

    @with_callbacks  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any, sample_weight: Any = None, X_val: Any = None, y_val: Any = None) -> Self:
        """Trains.

        Parameters
        ----------
        X, y : array or data frame (n, d), array (n,) or (n, k)
            X is not copied where it is one block of float32 or float64; coef_ has its dtype. Rows in Dask are trained with
            where they are: `gdcore.distributed`.
        sample_weight : array (n,), optional
        X_val, y_val : optional
            Rows that do not train; ``history_.validation_loss`` is theirs.

        Warns
        -----
        ConvergenceWarning
            The epochs ran out; it names the gap, and what helps.
        """
        if lazy(X):
            like, held = self._far(X, y), None if X_val is None else (X_val, y_val)
            return self._fit(X, y, y, sample_weight, self._loss(), np.shape(y)[1:], held, like)
        X, Y, s = self._checked(X, y, sample_weight, reset=True)
        held = None if X_val is None else self._checked(X_val, y_val, None, reset=False)[:2]
        return self._fit(X, Y, y, s, self._loss(), Y.shape[1:], held)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Trains with one more chunk of rows.

        With "mse" the result is that of one fit to all chunks and to what was fitted before: second moments add up, d² numbers
        that are kept. With other losses it is one epoch of mini-batches, of 32 rows by default, over the chunk, on columns of
        any scale: their means and spreads so far are kept, too, and the steps are made in those units. That is with lr="auto"
        and no penalties, which are in X's units.
        """
        first, loss = not hasattr(self, "coef_"), self._loss()
        X, Y, s = self._checked(X, y, sample_weight, reset=first)
        if not loss.squared:
            return self._step(X, Y, s, loss, Y.shape[1:])
        chunk = _measured(X, Y, s, self._threads(), self.backend)
        moments = chunk if first else self._fact("moments") + chunk
        best = Quadratic(moments, self.bias, self.l2)
        weights, bias = best.metric.prox(best.weights, best.bias, 1.0, self.l1, BACKENDS[self.backend])
        if not best.metric.clear:
            text = "X's columns are so nearly dependent that moments cannot tell their weights apart: fit does it better"
            warn(text, ConditionWarning, between=_SKLEARN)
        outputs = Y.shape[1:]
        bias = None if bias is None else bias.astype(X.dtype).reshape(outputs)[()]
        self._name(weights.astype(X.dtype).reshape(-1, *outputs), bias)
        self.n_iter_, self.history_, self.status_ = 1, History.empty(), "converged"
        proved = best.gap(weights, best.bias) if self.l1 == 0 and best.metric.clear else None
        self._facts = {"moments": moments, "gap": proved, "spectrum": Spectrum(moments.of_columns(), self.bias, loss, self.l2)}
        return self

    def predict(self, X: Any) -> Any:
        """Ŷ: (n,), or (n, k) after y (n, k); lazy, of rows in Dask."""
        return _in_dask(self, X, "predict") if lazy(X) else mean(self._raw(X), self._loss())

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
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


class GDClassifier(ClassifierMixin, _Descent):  # type: ignore[misc]
    """Logistic regression by gradient descent, for two classes; for more, softmax. Labels of any kind.

    The objective is the mean log loss of the rows (by ``sample_weight`` and ``class_weight``) + l1·‖W‖₁ + (l2/2)·‖W‖². By
    default nothing is penalised, so that the units of the columns do not matter; a penalty weighs on weights as they are,
    which are large where a column's numbers are small. The l2 of scikit-learn's LogisticRegression(C) is 1/(C·n). Classes that
    a plane separates have no best weights without a penalty: they grow for ever, which is told; some l2, 1e-4 for columns of
    size 1, ends that.

    Parameters
    ----------
    class_weight : dict, "balanced" or None
        Factors on the weights of each class's rows; "balanced": such that all classes weigh the same.
    l1, l2, bias, lr, optimizer, batch_size, epochs, tol, precondition, method, early_stopping, validation_fraction
        As for `GDRegressor`, like patience, random_state, n_threads, verbose, warm_start, callbacks, backend.

    Attributes
    ----------
    classes_, coef_, intercept_ : arrays (k,), (k, d) and (k,); for two classes (2,), (1, d) and (1,)
    n_iter_, history_, status_, gap_, spectrum_, n_features_in_, feature_names_in_
        As of `GDRegressor`.

    Examples
    --------
    >>> from gdcore.estimators import GDClassifier
    >>> model = GDClassifier().fit([[0.0], [1000.0], [2000.0], [3000.0]], ["no", "yes", "no", "yes"])
    >>> model.predict([[-5000.0], [9000.0]])
    array(['no', 'yes'], dtype='<U3')
    """

    def __init__(
        self, *, class_weight: Any = None, l1: float = 0.0, l2: float = 0.0, bias: bool = True, lr: float | str = "auto",
        optimizer: Any = None, batch_size: int | None = None, epochs: int = 1000, tol: float | None = None,
        precondition: str | None = "auto", method: str = "auto", early_stopping: bool = False,
        validation_fraction: float = 0.1, patience: int = 10, random_state: Any = None, n_threads: int | None = None,
        verbose: bool = False, warm_start: bool = False, callbacks: Any = None, backend: str = "kernel",
    ) -> None:  # fmt: skip
        _remember(self, locals())

    classes_: Array

    @property
    def _binary(self) -> bool:
        return len(self.classes_) == 2

    def _problem(self) -> tuple[losses.Loss, tuple[int, ...]]:
        """The loss, and the shape of one row's prediction."""
        return (losses.logistic(), ()) if self._binary else (losses.softmax(), (len(self.classes_),))

    def _name(self, weights: Array, bias: Any) -> None:
        super()._name(weights, bias)
        if self._binary:
            self.coef_, self.intercept_ = self.coef_[None], np.atleast_1d(self.intercept_)
        elif self.l1 == 0 and self.l2 == 0:
            # What all classes have in common changes no probability, and no penalty says how much of it there is: none.
            self.coef_, self.intercept_ = (
                a - a.mean(axis=0, dtype=np.float64).astype(a.dtype) for a in (self.coef_, self.intercept_)
            )

    def _codes(self, y: Array, dtype: Any, name: str = "y") -> Array:
        """The labels' places in classes_, as numbers of X's dtype."""
        codes = np.minimum(np.searchsorted(self.classes_, y), len(self.classes_) - 1)
        if (unknown := self.classes_[codes] != y).any():
            raise ValueError(f"{name} has the label {y[unknown][:1].tolist()[0]!r}; the classes are {self.classes_}")
        return codes.astype(dtype)

    def _row_weights(self, codes: Array, sample_weight: Any, X: Array) -> Any:
        """sample_weight times class_weight."""
        s, places, k = _weights(sample_weight, X), codes.astype(np.intp), len(self.classes_)
        if self.class_weight is None:
            return s
        if isinstance(self.class_weight, str) and self.class_weight == "balanced":
            totals = np.bincount(places, weights=s, minlength=k)
            factors = np.divide(totals.sum(), k * totals, out=np.zeros(k), where=totals > 0)
        else:
            factors = utils.compute_class_weight(self.class_weight, classes=self.classes_, y=self.classes_)
        return factors.astype(X.dtype)[places] * (1 if s is None else s)

    @with_callbacks  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any, sample_weight: Any = None, X_val: Any = None, y_val: Any = None) -> Self:
        """Trains: as `GDRegressor.fit`, with labels y (n,)."""
        if lazy(X):
            return self._fit_far(X, y, sample_weight, X_val, y_val)
        X, labels = self._table(X, y, reset=True)
        check_classification_targets(labels)
        self._learn(np.unique(labels))
        held = None
        codes = self._codes(labels, X.dtype)
        if X_val is not None:
            Xv, yv = self._table(X_val, y_val)
            held = Xv, self._codes(yv, X.dtype, "y_val")
        return self._fit(X, codes, y, self._row_weights(codes, sample_weight, X), *self._problem(), held)

    def _learn(self, classes: Array) -> None:
        """classes_, checked."""
        if len(classes) < 2:
            raise ValueError(f"y has only one class, {classes[0]!r}: at least two classes are needed")
        if self.warm_start and hasattr(self, "classes_") and not np.array_equal(self.classes_, classes):
            raise ValueError(f"the classes were {self.classes_}, now they are {classes}: warm_start has no start for them")
        self.classes_ = classes

    def _fit_far(self, X: Any, y: Any, sample_weight: Any, X_val: Any, y_val: Any) -> Self:
        """`fit` of rows in Dask: one pass finds the classes."""
        from gdcore import distributed

        like = self._far(X, y)
        classes = distributed.classes(y)
        check_classification_targets(classes)
        self._learn(classes)
        codes, s, held = distributed.codes(y, classes), sample_weight, None
        if self.class_weight is not None:
            if isinstance(self.class_weight, str) and self.class_weight == "balanced":
                totals = distributed.class_totals(codes, s, len(classes))
                factors = np.divide(totals.sum(), len(classes) * totals, out=np.zeros(len(classes)), where=totals > 0)
            else:
                factors = utils.compute_class_weight(self.class_weight, classes=classes, y=classes)
            s = distributed.weighted(codes, factors, s)
        if X_val is not None:
            held = X_val, distributed.codes(y_val, classes, "y_val")
        return self._fit(X, codes, y, s, *self._problem(), held, like)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Trains with one more chunk of rows: one epoch of mini-batches, of 32 rows by default, as `GDRegressor.partial_fit`.

        The first call must be told all ``classes`` that will come.
        """
        first = not hasattr(self, "classes_")
        if isinstance(self.class_weight, str):
            raise ValueError("class_weight='balanced' needs all rows at once: give partial_fit a dict, or sample_weight")
        X, labels = self._table(X, y, reset=first)
        check_classification_targets(labels)
        if first and classes is None:
            raise ValueError("the first partial_fit must be told all classes")
        if classes is not None and not first and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"classes {classes} are not those of the first call, {self.classes_}")
        self.classes_ = np.unique(classes) if first else self.classes_
        codes = self._codes(labels, X.dtype)
        return self._step(X, codes, self._row_weights(codes, sample_weight, X), *self._problem())

    def decision_function(self, X: Any) -> Any:
        """Ŷ: (n,) for two classes, positive for the second; else (n, k)."""
        if lazy(X):
            return _in_dask(self, X, "decision_function")
        raw = self._raw(X)
        return raw[:, 0] if self._binary else raw

    def predict(self, X: Any) -> Any:
        """The most probable label of each row."""
        if lazy(X):
            return _in_dask(self, X, "predict")
        raw = self.decision_function(X)
        labels: Array = self.classes_[(raw > 0).astype(np.intp) if self._binary else raw.argmax(axis=1)]
        return labels

    def predict_proba(self, X: Any) -> Any:
        """Probabilities (n, k) of classes_, float64; each row sums to 1."""
        if lazy(X):
            return _in_dask(self, X, "predict_proba")
        raw, loss = self.decision_function(X).astype(np.float64), self._problem()[0]
        return np.column_stack([probabilities(z, loss) for z in (-raw, raw)]) if self._binary else probabilities(raw, loss)

    def predict_log_proba(self, X: Any) -> Any:
        """Their logarithms, finite where a probability is too small for a number."""
        if lazy(X):
            return _in_dask(self, X, "predict_log_proba")
        raw = self.decision_function(X).astype(np.float64)
        if self._binary:
            return -np.logaddexp(0, np.column_stack([raw, -raw]))
        raw -= raw.max(axis=1, keepdims=True)
        logs: Array = raw - np.log(np.exp(raw).sum(axis=1, keepdims=True))
        return logs


class _Scaling(NamedTuple):
    """Columns (x − centre)/spread, and what weights of these are as weights of x."""

    centre: Any
    spread: Any

    @classmethod
    def of(cls, columns: Moments, bias: bool) -> _Scaling:
        """To mean 0 and spread 1; without a bias, which would have to follow, to mean square 1. Constant columns stay."""
        centre = columns.mean if bias else np.zeros_like(columns.mean)
        spread = np.sqrt(columns.scatter / columns.total + (columns.mean - centre) ** 2)
        return cls(centre, np.where(spread > 1e-12 * np.abs(centre), spread, 1.0))

    def columns(self, X: Array) -> Array:
        if np.ndim(self.spread) == 0:
            return X  # as they are
        scaled: Array = ((X - self.centre) / self.spread).astype(X.dtype)
        return scaled

    def into(self, model: Linear) -> Linear:
        """The model that predicts from the scaled columns what that one predicts from x."""
        w = model.weights.astype(np.float64)
        bias = None if model.bias is None else model.bias + (np.ones(len(w)) * self.centre) @ w
        return Linear((w.T * self.spread).T, bias)

    def undone(self, model: Linear) -> Linear:
        """The reverse of `into`, in the model's dtype."""
        w, dtype = (model.weights.astype(np.float64).T / self.spread).T, model.weights.dtype
        bias = None if model.bias is None else (model.bias - (np.ones(len(w)) * self.centre) @ w).astype(dtype)
        return Linear(w.astype(dtype), bias)


def _each_column(X: Array, s: Any, before: Moments | None) -> Moments:
    """Means and spreads of these rows and those before."""
    if s is not None and not s.any():
        raise ValueError(no_weight())
    found = Moments.of_each_column(X, s)
    return found if before is None else before + found


def _in_dask(estimator: Any, X: Any, method: str) -> Any:
    from gdcore import distributed

    validation.check_is_fitted(estimator)
    # Without what pickling would have to find first, from the data.
    lean = object.__new__(type(estimator))
    vars(lean).update({name: value for name, value in vars(estimator).items() if name not in ("_facts", "_last", "history_")})
    return distributed.predict(lean, X, method)


def _remember(estimator: Any, parameters: dict[str, Any]) -> None:
    """Parameters as attributes, as scikit-learn wants them: unchanged and unchecked."""
    vars(estimator).update({name: value for name, value in parameters.items() if name != "self"})


def _dense(X: Any) -> Any:
    if hasattr(X, "nnz"):
        raise TypeError(
            f"X is sparse ({type(X).__name__}), which gdcore does not take yet: give X.toarray() where that fits memory, or "
            "fewer columns, for example by sklearn.decomposition.TruncatedSVD"
        )
    return X


def _weights(sample_weight: Any, X: Array) -> Any:
    return None if sample_weight is None else validation._check_sample_weight(sample_weight, X, dtype=X.dtype)


def _measured(X: Array, Y: Array, s: Any, n_threads: int, backend: str) -> Moments:
    """The moments of [X, Y], which add up."""
    moments = Moments.of(X, Y.reshape(len(Y), -1).astype(X.dtype, copy=False), s, n_threads, backend)
    if moments.total == 0:
        raise ValueError(no_weight())
    with _finite(X):
        check(moments, X)
    return moments


def _moments_of(arrays: dict[str, Array], name: str) -> Moments:
    """Moments from the arrays of a file, which are taken out."""
    mean, scatter, numbers = (arrays.pop(f"{name}.{part}") for part in ("mean", "scatter", "numbers"))
    size = mean.size
    shapes = {"moments": (size, size), "columns": (size,)}
    if (
        mean.shape != (size,)
        or scatter.shape != shapes[name]
        or numbers.shape != (4,)
        or {mean.dtype, scatter.dtype} != {_FLOAT}
    ):
        raise ValueError(f"its {name} do not fit together")
    total, columns, largest_row, rows = numbers.tolist()
    return Moments(total, mean, scatter, int(columns), largest_row, int(rows))


@contextmanager
def _finite(X: Array) -> Iterator[None]:
    """A ValueError over NaN or infinity in X, which only training finds, for that takes no pass, in scikit-learn's words."""
    try:
        yield
    except ValueError:
        utils.assert_all_finite(X, input_name="X")
        raise
