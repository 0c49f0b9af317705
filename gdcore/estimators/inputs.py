"""What scikit-learn's words and checks are for: data as they come in, and what stands between a method and its caller."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn import utils  # type: ignore[import-untyped]
from sklearn.base import BaseEstimator  # type: ignore[import-untyped]
from sklearn.utils import validation  # type: ignore[import-untyped]

try:
    from sklearn.callback import CallbackSupportMixin as CallbackSupportMixin  # type: ignore[import-untyped]
    from sklearn.callback import with_callbacks as with_callbacks
except ImportError:  # before scikit-learn 1.9
    CallbackSupportMixin, with_callbacks = type("CallbackSupportMixin", (), {}), lambda method: method
if TYPE_CHECKING:
    from collections.abc import Iterator

    from gdcore._types import Array, ArrayLike

FLOATS = [np.float64, np.float32]
SKLEARN = os.path.dirname(utils.__file__).removesuffix("utils")
"""Whose wrappers lie between a method and its caller."""


def remember(estimator: BaseEstimator, parameters: dict[str, Any]) -> None:
    """Parameters as attributes, as scikit-learn wants them: unchanged and unchecked."""
    vars(estimator).update({name: value for name, value in parameters.items() if name != "self"})


def dense(X: ArrayLike) -> ArrayLike:
    if hasattr(X, "nnz"):
        raise TypeError(
            f"X is sparse ({type(X).__name__}), which gdcore does not take yet: give X.toarray() where that fits memory, or "
            "fewer columns, for example by sklearn.decomposition.TruncatedSVD"
        )
    return X


def weights_of(sample_weight: ArrayLike | None, X: Array) -> Array | None:
    return None if sample_weight is None else validation._check_sample_weight(sample_weight, X, dtype=X.dtype)


def in_dask(estimator: BaseEstimator, X: ArrayLike, method: str) -> Any:
    from gdcore import distributed

    validation.check_is_fitted(estimator)
    # Without what pickling would have to find first, from the data.
    lean = object.__new__(type(estimator))
    vars(lean).update({name: value for name, value in vars(estimator).items() if name not in ("_facts", "_last", "history_")})
    return distributed.predict(lean, X, method)


@contextmanager
def finite(X: Array) -> Iterator[None]:
    """A ValueError over NaN or infinity in X, which only training finds, for that takes no pass, in scikit-learn's words."""
    try:
        yield
    except ValueError:
        utils.assert_all_finite(X, input_name="X")
        raise
