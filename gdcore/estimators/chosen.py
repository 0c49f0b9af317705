"""Estimators whose penalty cross-validation chooses: `gdcore.path` for people who have pipelines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.model_selection import check_cv  # type: ignore[import-untyped]
from sklearn.utils.multiclass import check_classification_targets  # type: ignore[import-untyped]

from gdcore import losses
from gdcore.checks import must_be, one_of
from gdcore.estimators.classifier import GDClassifier
from gdcore.estimators.inputs import finite, remember, weights_of
from gdcore.estimators.regressor import GDRegressor
from gdcore.paths.path import path
from gdcore.paths.result import CHOICES, Path
from gdcore.rows.dask.partitions import lazy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gdcore._types import Array, ArrayLike


class _Chosen:
    """What both have in common; beside a class that has these."""

    l1_ratio: float | Sequence[float]
    penalties: int | ArrayLike
    cv: Any
    choice: str
    standardize: bool
    random_state: Any
    path_: Path

    # What an estimator with one penalty is told, these find: no penalty of theirs is 0.
    l1 = l2 = None
    delta = tau = power = None
    bias, warm_start, verbose, callbacks, backend = True, False, False, None, "kernel"

    @property
    def partial_fit(self) -> Any:
        """None: a path is of all rows at once."""
        raise AttributeError(f"{type(self).__name__} has no partial_fit: a path is of all rows at once")

    def _choose(
        self, X: Array, Y: Array, y: Array, s: Array | None, loss: losses.Loss, n_threads: int, seed: int
    ) -> tuple[Array, Any]:
        """Paths of every l1_ratio, the best of them, and weights and bias of its choice."""
        one_of(self.choice, "choice", CHOICES)
        ratios = np.ravel(self.l1_ratio).tolist()
        if not ratios:
            raise ValueError(must_be("l1_ratio", "a number or a list of some", repr(self.l1_ratio)))
        folds: dict[str, Any] = {"cv": self.cv}
        if not isinstance(self.cv, (int, np.integer)):
            folds = {"folds": _folds(self.cv, X, y, not loss.numeric)}
        elif len(X) < self.cv:
            raise ValueError(f"cv={self.cv} folds want as many rows, but X has n_samples = {len(X)}: take fewer")
        with finite(X):
            paths = [
                path(
                    X, Y, loss, ratio, self.penalties, sample_weight=s, seed=seed, standardize=self.standardize,
                    n_threads=n_threads, **folds,
                )
                for ratio in ratios
            ]  # fmt: skip
        self.path_ = min(paths, key=lambda found: float(found.cv_loss[found.best]))
        i = self.path_.place(self.choice)
        self.l1_, self.l2_, self.l1_ratio_ = self.path_.l1(i), self.path_.l2(i), self.path_.l1_ratio
        self._facts = {"gap": float(self.path_.gap[i])}
        model = self.path_.model(i)
        return model.weights, model.bias


def _folds(cv: Any, X: Array, y: Array, classes: bool) -> Array:
    """The fold of every row, as scikit-learn's splitters give them."""
    folds = np.full(len(X), -1)
    for k, (_, test) in enumerate(check_cv(cv, y, classifier=classes).split(X, y)):
        rows = np.arange(len(X))[test]
        if (folds[rows] >= 0).any():
            raise ValueError(must_be("cv", "folds, each row in one of them", f"row {rows[folds[rows] >= 0][0]} in two"))
        folds[rows] = k
    if (folds < 0).any():
        raise ValueError(must_be("cv", "folds, each row in one of them", f"row {np.argmin(folds)} in none"))
    return folds


def _in_memory(X: Any) -> None:
    if lazy(X):
        raise TypeError("X is Dask's, whose rows are not numbered as folds need it: give X.compute(), y.compute()")


class GDRegressorCV(_Chosen, GDRegressor):
    """Linear regression with the penalty that cross-validation chooses: lasso, ridge or elastic net, by `gdcore.path`.

    The objective is loss + λ·l1_ratio·Σ σ|w| + λ·(1 − l1_ratio)/2·Σ σ²w², σ the columns' spreads where they are standardized.

    Parameters
    ----------
    loss : {"mse", "huber", "poisson", "gamma", "tweedie"}, or a loss with its parameter
    l1_ratio : float or list of floats
        1: lasso; 0: ridge; of several the one whose best CV loss is the smallest.
    cv : int, splitter or iterable
        How many folds, drawn by ``random_state``; or scikit-learn's own, each row in one of them.
    penalties, standardize
        As for `gdcore.path`.
    choice : {"best", "one_standard_error"}
        The smallest CV loss, or the largest penalty within one standard error of it.
    random_state : int, RandomState or None
    n_threads : int, optional

    Attributes
    ----------
    coef_, intercept_ : arrays (d,) and ()
        Of all rows, with the penalty that was chosen.
    l1_, l2_, l1_ratio_ : float
        λ·l1_ratio and λ·(1 − l1_ratio): penalties of weights times σ, and of weights where nothing is standardized.
    path_ : Path
        Of ``l1_ratio_``: every penalty, its CV loss and standard error, ``path_.plot()``.
    gap_ : float
        By how much the objective may lie above the best, proved.
    n_features_in_, feature_names_in_

    Examples
    --------
    >>> import numpy as np
    >>> from gdcore.estimators import GDRegressorCV
    >>> x = np.random.default_rng(0).standard_normal((200, 5))
    >>> y = 3 * x[:, 0] + np.random.default_rng(1).standard_normal(200)
    >>> model = GDRegressorCV(l1_ratio=[0.5, 1.0], choice="one_standard_error").fit(x, y)
    >>> model.l1_ratio_, model.coef_.round(1)
    (1.0, array([2.6, 0. , 0. , 0. , 0. ]))
    """

    def __init__(
        self, loss: str | losses.Loss = "mse", l1_ratio: float | Sequence[float] = 1.0, cv: Any = 5, *,
        penalties: int | ArrayLike = 100, choice: str = "best", standardize: bool = True,
        random_state: int | np.random.RandomState | None = 0, n_threads: int | None = None,
    ) -> None:  # fmt: skip
        remember(self, locals())

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Trains.

        Parameters
        ----------
        X, y : array or data frame (n, d), array (n,)
        sample_weight : array (n,), optional
            How much each row counts, in training and in the losses of the folds.

        Raises
        ------
        ValueError, TypeError
            Of the data in scikit-learn's words, of a parameter in those of `gdcore.path`.
        """
        _in_memory(X)
        table, Y = self._table(X, y, reset=True, y_numeric=True)
        s = weights_of(sample_weight, table)
        self._name(*self._choose(table, Y, Y, s, self._loss(), self._threads(), self._seed()))
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = False
        return tags


class GDClassifierCV(_Chosen, GDClassifier):
    """Logistic regression, or softmax, with the penalty that cross-validation chooses, by `gdcore.path`.

    Parameters
    ----------
    l1_ratio, cv, penalties, choice, standardize, random_state, n_threads
        As for `GDRegressorCV`; ridge is the default. Folds that are drawn have as many rows of each class.
    class_weight : dict, "balanced" or None
        As for `GDClassifier`.

    Attributes
    ----------
    classes_, coef_, intercept_ : arrays (k,), (k, d) and (k,); for two classes (2,), (1, d) and (1,)
    l1_, l2_, l1_ratio_, path_, gap_, n_features_in_, feature_names_in_
        As of `GDRegressorCV`; the CV loss is the log loss.

    Examples
    --------
    >>> import numpy as np
    >>> from gdcore.estimators import GDClassifierCV
    >>> x = np.random.default_rng(0).standard_normal((200, 3))
    >>> y = np.where(x[:, 0] + np.random.default_rng(1).standard_normal(200) > 0, "yes", "no")
    >>> model = GDClassifierCV(l1_ratio=1.0, choice="one_standard_error").fit(x, y)
    >>> model.predict(x[:2]), model.path_.nonzero[model.path_.one_standard_error]
    (array(['yes', 'yes'], dtype='<U3'), np.int64(1))
    """

    def __init__(
        self, l1_ratio: float | Sequence[float] = 0.0, cv: Any = 5, *, penalties: int | ArrayLike = 50,
        choice: str = "best", standardize: bool = True, class_weight: Mapping[Any, float] | str | None = None,
        random_state: int | np.random.RandomState | None = 0, n_threads: int | None = None,
    ) -> None:  # fmt: skip
        remember(self, locals())

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Trains: as `GDRegressorCV.fit`, with labels y (n,).

        Raises
        ------
        ValueError, TypeError
            As `GDRegressorCV.fit`; y has fewer than two classes, or a fold has all rows of one.
        """
        _in_memory(X)
        table, labels = self._table(X, y, reset=True)
        check_classification_targets(labels)
        self._learn(np.unique(labels))
        codes = self._codes(labels, table.dtype)
        s = self._row_weights(codes, sample_weight, table)
        self._name(*self._choose(table, codes, labels, s, self._problem()[0], self._threads(), self._seed()))
        return self
