"""What both estimators have in common: one fit, one step over a chunk, and what has been learned."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from sklearn import utils  # type: ignore[import-untyped]
from sklearn.base import BaseEstimator, ClassifierMixin  # type: ignore[import-untyped]
from sklearn.exceptions import ConvergenceWarning  # type: ignore[import-untyped]
from sklearn.utils import validation  # type: ignore[import-untyped]
from sklearn.utils._openmp_helpers import _openmp_effective_n_threads  # type: ignore[import-untyped]
from sklearn.utils.validation import validate_data  # type: ignore[import-untyped]

from gdcore import losses, threads
from gdcore.checks import yes_or_no
from gdcore.estimators.inputs import FLOATS, SKLEARN, CallbackSupportMixin, dense, finite
from gdcore.estimators.moments import Scaling, each_column, measured, moments_of
from gdcore.facts import scales
from gdcore.facts.spectrum import spectrum
from gdcore.messages import Message, Option
from gdcore.models.linear import Linear
from gdcore.notices import warn
from gdcore.penalty import Box, Penalty, read
from gdcore.rows.dask.cluster import Cluster
from gdcore.rows.moments import Moments
from gdcore.run import Epoch, History, Run
from gdcore.train import fit
from gdcore.training import endings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gdcore._types import Array, ArrayLike


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


class Descent(CallbackSupportMixin, BaseEstimator):  # type: ignore[misc]
    """What both estimators have in common."""

    _last: Run | None = None
    """Where `_step` goes on; not pickled."""
    _columns: Moments | None = None
    """Mean and spread of each column of all chunks that `_step` has seen."""
    _facts: dict[str, Any]
    """What is known of the data, or a function that finds it when it is asked for."""

    def _table(self, X: ArrayLike, y: ArrayLike | None, reset: bool = False, **how: bool) -> tuple[Array, Array]:
        """X and y as arrays, X without a copy where it is one block of float32 or float64."""
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        checked: tuple[Array, Array] = validate_data(
            self, dense(X), y, reset=reset, dtype=FLOATS, ensure_all_finite=False, **how
        )
        return checked

    def _far(self, X: ArrayLike, y: ArrayLike) -> Array:
        """One row in the place of rows in Dask: scikit-learn learns the columns from it."""
        from gdcore import distributed

        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        row: Array = validate_data(self, distributed.one_row(X), reset=True, dtype=FLOATS)
        return row

    def _seed(self) -> int:
        return int(utils.check_random_state(self.random_state).randint(2**31 - 1))

    def _threads(self) -> int:
        """n_threads, else what gdcore takes, but no more than scikit-learn's own loops would: threadpoolctl limits those."""
        if self.n_threads is not None:
            return threads.resolve(self.n_threads)
        return min(threads.resolve(None), int(_openmp_effective_n_threads(only_physical_cores=False)))

    def _bounds(self) -> Any:
        """What is asked of the weights."""
        if not yes_or_no(self.positive, "positive"):
            return self.bounds
        if self.bounds is not None:
            raise ValueError(
                Message(Option("positive", True), " stands for ", Option("bounds"), "=(0, inf): give one of them")
            )
        return 0.0, np.inf

    def _penalty(self, X: Array) -> Penalty:
        """What is asked of the weights beside a small loss."""
        d = X.shape[1]
        return Penalty(self.l1, self.l2, Box.of(read(self._bounds(), d, X.dtype), d))

    def _start(self, X: Array, outputs: tuple[int, ...], go_on: bool) -> Linear:
        """Where training starts: zeros, or where the last fit ended."""
        shape = (*outputs, X.shape[1])
        weights, bias = self._penalty(X).box.clip(np.zeros(shape, X.dtype).T).T, np.zeros(outputs, X.dtype)
        if go_on and hasattr(self, "coef_"):
            if self.coef_.size != weights.size:
                raise ValueError(f"coef_ has shape {self.coef_.shape}, but these data need {shape}: it is no start for them")
            weights[...], bias[...] = self.coef_.reshape(shape), np.reshape(self.intercept_, outputs)
        return Linear(weights.T, bias if self.bias else None)

    def _fit(
        self,
        X: Array,
        Y: Array,
        y: ArrayLike,
        s: Array | None,
        loss: losses.Loss,
        outputs: tuple[int, ...],
        held: tuple[ArrayLike, ...] | None,
        like: Array | None = None,
    ) -> Self:
        """`gdcore.fit` of checked arrays, or of rows in Dask, which are used likewise, and of which ``like`` is one row.

        ``y`` is Y as it was given, ``held`` the rows that do not train.
        """
        far, size = like is not None, self.batch_size
        if far and self.early_stopping and held is None:
            raise ValueError("early_stopping needs X_val and y_val beside rows in Dask: no share of them is held back")
        if size is not None and not far:
            size = min(size, len(X))
        model, seed = self._start(X if like is None else like, outputs, self.warm_start), self._seed()
        self._last, self._columns, self._facts, given = None, None, {}, (X, y, None if s is None else {"sample_weight": s})
        if self.early_stopping and held is None:
            from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]

            share, labels = self.validation_fraction, None if loss.numeric else Y
            train, rest = train_test_split(np.arange(len(X)), test_size=share, random_state=seed, stratify=labels)
            held = (X[rest], Y[rest]) if s is None else (X[rest], Y[rest], s[rest])
            X, Y, s = X[train], Y[train], None if s is None else s[train]
        checked = nullcontext() if far else finite(X)
        with self._watch(*given) as callback, checked, endings.unfinished_told_elsewhere():
            run = fit(
                X, Y, model, loss, self.optimizer, self.lr, self.epochs, l1=self.l1, l2=self.l2, sample_weight=s,
                batch_size=size, validation=held,
                patience=self.patience if self.early_stopping else None, precondition=self.precondition, method=self.method,
                tol=self.tol, seed=seed, callback=callback, backend=self.backend,
                n_threads=self.n_threads if far else self._threads(), bounds=self._bounds(),
            )  # fmt: skip
            self._keep(run)
        if loss.squared:
            how = self._threads(), self.backend
            # partial_fit adds to them
            self._facts["moments"] = lambda: Cluster(X, Y, s).moments(*how, target=True) if far else measured(X, Y, s, *how)
        if run.status == "interrupted":
            raise KeyboardInterrupt  # a grid search shall not go on to its next candidate
        if run.status == "epochs":
            self._unfinished(run)
        return self

    def _step(self, X: Array, Y: Array, s: Array | None, loss: losses.Loss, outputs: tuple[int, ...]) -> Self:
        """One epoch of mini-batches over a chunk; optimizer state, shuffling and epochs go on from the last one.

        With lr="auto", no penalty and no bounds the steps are made in columns of mean 0 and spread 1, as all chunks so far
        tell them, and the weights are given back in X's units. A number for lr, penalties and bounds are in X's units, and so
        are the steps then.
        """
        size, before = min(32 if self.batch_size is None else self.batch_size, len(X)), self._last
        options: dict[str, Any] = {"sample_weight": s, "batch_size": size, "n_threads": self._threads()}
        if before is not None:
            X, Y = X.astype(before.model.weights.dtype, copy=False), Y.astype(before.model.weights.dtype, copy=False)
        start = self._start(X, outputs, True)
        scaling, columns = Scaling.none(), self._columns
        if isinstance(self.lr, str) and self.l2 == 0 and not self._penalty(X).kinked:
            columns = each_column(X, s, columns)
            scaling = Scaling.of(columns, self.bias)
        elif before is None:
            advice = "With a number for lr, penalties or bounds, partial_fit's steps are in the units of X: scale its columns"
            scales.warn("partial_fit", X, None, advice)
        Z, model = scaling.columns(X), scaling.into(start)
        with finite(X):
            if before is not None:
                # In other units the weights are other ones; where nothing is scaled the run goes on from its own.
                run = before.resume(Z, Y, 1, model=None if Z is X else model, **options)
            else:
                run = fit(
                    Z, Y, model, loss, self.optimizer or "sgd", self.lr, 1, l1=self.l1, l2=self.l2,
                    seed=self._seed(), tol=0.0, precondition=None, method="stream", backend=self.backend,
                    bounds=self._bounds(), **options,
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
        self._facts = {"gap": lambda: run.gap, "proof": lambda: run.proof, "spectrum": lambda: run.spectrum}

    def _name(self, weights: Array, bias: Array | np.floating[Any] | None) -> None:
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
        warn(f"{message}. What helps: {helps}", ConvergenceWarning, between=SKLEARN)

    @contextmanager
    def _watch(self, X: Array, y: ArrayLike, metadata: dict[str, Array] | None) -> Iterator[Callable[[Epoch], bool] | None]:
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

    def _raw(self, X: ArrayLike) -> Array:
        """XW + b."""
        validation.check_is_fitted(self)
        table: Array = validate_data(self, dense(X), reset=False, dtype=FLOATS, ensure_all_finite=False)
        with finite(table):
            return Linear(self.coef_.T, self.intercept_).predict(table, self._threads())

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
        if (k > 0) != isinstance(self, ClassifierMixin):
            raise ValueError(f"a {type(self).__name__} has {'no ' if k else ''}classes")
        if (
            coef.ndim not in (1, 2)
            or coef.shape != (*wanted, d)
            or intercept.shape != outputs
            or intercept.dtype != coef.dtype
        ):
            raise ValueError(f"coef_ has shape {coef.shape} and intercept_ {intercept.shape}, for {d} columns and {k} classes")
        facts, moments = {}, {name: moments_of(arrays, name) for name in ("moments", "columns") if f"{name}.mean" in arrays}
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
    proof_ = property(lambda self: self._fact("proof"), doc="``run.proof``: what proves gap_, in a word, or None.")
    spectrum_ = property(lambda self: self._fact("spectrum"), doc="``run.spectrum``: the `gdcore.Spectrum` of X, or None.")

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: facts in place of the data from which they would be found when asked for."""
        for name in self.__dict__.get("_facts", ()):
            self._fact(name)
        return {name: value for name, value in super().__getstate__().items() if name != "_last"}
