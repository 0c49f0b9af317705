"""Logistic regression and softmax, as scikit-learn calls its estimators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn import utils  # type: ignore[import-untyped]
from sklearn.base import ClassifierMixin  # type: ignore[import-untyped]
from sklearn.utils.multiclass import check_classification_targets  # type: ignore[import-untyped]

from gdcore import losses
from gdcore.estimators.descent import Descent
from gdcore.estimators.inputs import in_dask, remember, weights_of, with_callbacks
from gdcore.models.linear import probabilities
from gdcore.rows.dask.partitions import lazy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gdcore._types import Array, ArrayLike, DTypeLike, Lazy
    from gdcore.optimizers import Optimizer
    from gdcore.run import Callback


class GDClassifier(ClassifierMixin, Descent):  # type: ignore[misc]
    """Logistic regression by gradient descent, for two classes; for more, softmax. Labels of any kind.

    The objective is the mean log loss of the rows (by ``sample_weight`` and ``class_weight``) + l1·‖W‖₁ + (l2/2)·‖W‖². By
    default nothing is penalised, so that the units of the columns do not matter; a penalty weighs on weights as they are,
    which are large where a column's numbers are small. The l2 of scikit-learn's LogisticRegression(C) is 1/(C·n). Classes that
    a plane separates have no best weights without a penalty: they grow for ever, which is told; some l2, 1e-4 for columns of
    size 1, ends that; `GDClassifierCV` chooses one, in units of the columns' spreads.

    Parameters
    ----------
    class_weight : dict, "balanced" or None
        Factors on the weights of each class's rows; "balanced": such that all classes weigh the same.
    l1, l2, bias, bounds, positive, lr, optimizer, batch_size, epochs, tol, precondition, method
        As for `GDRegressor`, like early_stopping, validation_fraction, patience, random_state, n_threads, verbose,
        warm_start, callbacks, backend.

    Attributes
    ----------
    classes_, coef_, intercept_ : arrays (k,), (k, d) and (k,); for two classes (2,), (1, d) and (1,)
    n_iter_, history_, status_, gap_, proof_, spectrum_, n_features_in_, feature_names_in_
        As of `GDRegressor`.

    Examples
    --------
    >>> from gdcore.estimators import GDClassifier
    >>> model = GDClassifier().fit([[0.0], [1000.0], [2000.0], [3000.0]], ["no", "yes", "no", "yes"])
    >>> model.predict([[-5000.0], [9000.0]])
    array(['no', 'yes'], dtype='<U3')
    """

    def __init__(
        self, *, class_weight: Mapping[Any, float] | str | None = None,
        l1: float = 0.0, l2: float = 0.0, bias: bool = True, lr: float | str = "auto",
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

    classes_: Array

    @property
    def _binary(self) -> bool:
        return len(self.classes_) == 2

    def _problem(self) -> tuple[losses.Loss, tuple[int, ...]]:
        """The loss, and the shape of one row's prediction."""
        return (losses.logistic(), ()) if self._binary else (losses.softmax(), (len(self.classes_),))

    def _name(self, weights: Array, bias: Array | np.floating[Any] | None) -> None:
        super()._name(weights, bias)
        if self._binary:
            self.coef_, self.intercept_ = self.coef_[None], np.atleast_1d(self.intercept_)
        elif self.l1 == 0 and self.l2 == 0 and self._bounds() is None:
            # What all classes have in common changes no probability, and no penalty says how much of it there is: none.
            self.coef_, self.intercept_ = (
                a - a.mean(axis=0, dtype=np.float64).astype(a.dtype) for a in (self.coef_, self.intercept_)
            )

    def _codes(self, y: Array, dtype: DTypeLike, name: str = "y") -> Array:
        """The labels' places in classes_, as numbers of X's dtype."""
        codes = np.minimum(np.searchsorted(self.classes_, y), len(self.classes_) - 1)
        if (unknown := self.classes_[codes] != y).any():
            raise ValueError(f"{name} has the label {y[unknown][:1].tolist()[0]!r}; the classes are {self.classes_}")
        return codes.astype(dtype)

    def _row_weights(self, codes: Array, sample_weight: ArrayLike | None, X: Array) -> Any:
        """sample_weight times class_weight."""
        s, places, k = weights_of(sample_weight, X), codes.astype(np.intp), len(self.classes_)
        if self.class_weight is None:
            return s
        if isinstance(self.class_weight, str) and self.class_weight == "balanced":
            totals = np.bincount(places, weights=s, minlength=k)
            factors = np.divide(totals.sum(), k * totals, out=np.zeros(k), where=totals > 0)
        else:
            factors = utils.compute_class_weight(self.class_weight, classes=self.classes_, y=self.classes_)
        return factors.astype(X.dtype)[places] * (1 if s is None else s)

    @with_callbacks  # type: ignore[untyped-decorator]
    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None, X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
    ) -> Self:  # fmt: skip
        """Trains: as `GDRegressor.fit`, with labels y (n,).

        Raises
        ------
        ValueError, TypeError, DivergenceError
            As `GDRegressor.fit`; y has fewer than two classes, or y_val one that y has not.
        """
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

    def _fit_far(
        self, X: Lazy, y: Lazy | Array, sample_weight: Lazy | Array | None, X_val: Lazy | None, y_val: Lazy | Array
    ) -> Self:
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

    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Trains with one more chunk of rows: one epoch of mini-batches, of 32 rows by default, as `GDRegressor.partial_fit`.

        The first call must be told all ``classes`` that will come.

        Raises
        ------
        ValueError, TypeError, DivergenceError
            As `fit`; the first call is not told the classes, a later one is told others, or class_weight is "balanced".
        """
        first = not hasattr(self, "classes_")
        if isinstance(self.class_weight, str):
            raise ValueError("class_weight='balanced' needs all rows at once: give partial_fit a dict, or sample_weight")
        X, labels = self._table(X, y, reset=first)
        check_classification_targets(labels)
        if first and classes is None:
            raise ValueError("the first partial_fit must be told all classes")
        if classes is not None:
            told = np.unique(np.asarray(classes))
            if not first and not np.array_equal(told, self.classes_):
                raise ValueError(f"classes {classes} are not those of the first call, {self.classes_}")
            self.classes_ = told if first else self.classes_
        codes = self._codes(labels, X.dtype)
        return self._step(X, codes, self._row_weights(codes, sample_weight, X), *self._problem())

    def decision_function(self, X: ArrayLike) -> Any:
        """Ŷ: (n,) for two classes, positive for the second; else (n, k)."""
        if lazy(X):
            return in_dask(self, X, "decision_function")
        raw = self._raw(X)
        return raw[:, 0] if self._binary else raw

    def predict(self, X: ArrayLike) -> Any:
        """The most probable label of each row."""
        if lazy(X):
            return in_dask(self, X, "predict")
        raw = self.decision_function(X)
        return self.classes_[(raw > 0).astype(np.intp) if self._binary else raw.argmax(axis=1)]

    def predict_proba(self, X: ArrayLike) -> Any:
        """Probabilities (n, k) of classes_, float64; each row sums to 1."""
        if lazy(X):
            return in_dask(self, X, "predict_proba")
        raw, loss = self.decision_function(X).astype(np.float64), self._problem()[0]
        return np.column_stack([probabilities(z, loss) for z in (-raw, raw)]) if self._binary else probabilities(raw, loss)

    def predict_log_proba(self, X: ArrayLike) -> Any:
        """Their logarithms, finite where a probability is too small for a number."""
        if lazy(X):
            return in_dask(self, X, "predict_log_proba")
        raw = self.decision_function(X).astype(np.float64)
        if self._binary:
            return -np.logaddexp(0, np.column_stack([raw, -raw]))
        raw -= raw.max(axis=1, keepdims=True)
        return raw - np.log(np.exp(raw).sum(axis=1, keepdims=True))
