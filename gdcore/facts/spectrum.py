"""The spectrum: what one small matrix says of gradient descent before anyone trains.

For a linear model with loss curvature c, H = c·X̃ᵀX̃/n + l2·I, X̃ = [X, 1] where there is a bias, bounds the Hessian
everywhere; for mse it is the Hessian. Gradient descent with learning rate lr multiplies the error along each eigenvector of H
by 1 − lr·λ in every epoch. So it diverges where lr > 2/λmax, and its slowest direction is that of λmin.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np

from gdcore import losses, threads
from gdcore.backends import BACKENDS
from gdcore.checks import number, one_of, yes_or_no
from gdcore.facts import graded, metric
from gdcore.facts.lanczos import Top, largest_eigenvalue
from gdcore.rows import arrays
from gdcore.rows.dask.cluster import Cluster
from gdcore.rows.dask.partitions import lazy
from gdcore.rows.moments import MOST_COLUMNS, Moments, check
from gdcore.rows.tables import Table, moments_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from gdcore._types import Array, ArrayLike, Floats

_INSIDE, _OUTSIDE = 1e-12, 1e-9  # shares of the means that certainly are rounding, and certainly are not


class Spectrum:
    """The eigenvalues of H, and what follows from them. Made by `spectrum`; ``a + b`` is that of both tables' rows.

    Attributes
    ----------
    largest : float
        λmax.
    smallest : float or None
        The smallest eigenvalue that is not zero. It, and what follows from it, is None where H is not known (very many
        columns), or where rounding hides which eigenvalues are zero (`clear` is then False).
    condition : float or None
        λmax/λmin: about so many epochs make one digit, divided by 2.3/2.
    rank : int or None
        How many eigenvalues are not zero, of ``size``.
    lr_limit : float
        2/λmax: above it gradient descent diverges.
    lr_best : float or None
        2/(λmax + λmin): where the slowest and the fastest direction shrink alike.
    error : float
        Bound on what is missing in λmax: 0 but for very many columns, whose λmax comes from Lanczos steps.
    shares : float64 array (d,)
        Of each column, its share of λmax's direction; with that of the bias they sum to 1.
    worst_columns : list of int
        The columns with the largest shares, largest first, up to five: those that keep the learning rate small.
    """

    def __init__(self, moments: Moments | None, bias: bool, loss: losses.Loss, l2: float, found: Top | None = None) -> None:
        self.moments, self.bias, self.loss, self.l2 = moments, bias, loss, l2
        self.curvature = _bound_of(loss)
        self._found = found  # by Lanczos, where moments is None

    @functools.cached_property
    def _top(self) -> Top:
        if self._found is not None:
            return self._found
        values, vectors = self.decomposition
        return Top(float(values[-1]), 0.0, vectors[:, -1])

    @functools.cached_property
    def decomposition(self) -> tuple[Floats, Floats]:
        """Eigenvalues of H, the smallest first, and eigenvectors, as rounding of the largest one leaves them."""
        return np.linalg.eigh(self.matrix)

    @property
    def matrix(self) -> Floats:
        """H (d, d), or (d + 1, d + 1) with the bias last; ValueError where d is above `MOST_COLUMNS`."""
        if self.moments is None:
            raise ValueError(f"H is not known: it would have more than {MOST_COLUMNS:,} columns")
        d, m = self.moments.columns, self.moments.of_columns()
        H = np.empty((d + self.bias, d + self.bias))
        H[:d, :d] = self.curvature * (m.scatter / m.total + np.outer(m.mean, m.mean)) + self.l2 * np.eye(d)
        if self.bias:
            H[d, :d] = H[:d, d] = self.curvature * m.mean
            H[d, d] = self.curvature
        return H

    @functools.cached_property
    def eigenvalues(self) -> Floats | None:
        """All eigenvalues of H, the smallest first, those that are zero as 0; None where H is not known or not `clear`.

        Each has nearly all its digits, however small it is beside the largest one: `gdcore.facts.graded`.
        """
        if not self.clear:
            return None
        A, mean, found = self._split
        values = graded.eigenvalues(A, found.rank, mean, self.curvature, self.bias, self._rank or 0)
        values[-1] = self.largest if self._rank else 0.0
        return values

    @functools.cached_property
    def _split(self) -> tuple[Floats, Floats, metric.Inverse]:
        """A = c·C + l2·I, C the covariance of the columns; their means; and A⁻¹."""
        assert self.moments is not None
        m = self.moments.of_columns()
        C, mean = metric.covariance(m, True)
        A = self.curvature * C + self.l2 * np.eye(len(C))
        return A, mean, metric.inverse(A)

    @functools.cached_property
    def _rank(self) -> int | None:
        """A's rank, and 1 for the bias; without one for the means, where they stand out of what the columns span."""
        A, mean, found = self._split
        if not found.clear:
            return None
        if self.bias or found.rank == len(A):
            return found.rank + self.bias
        lengths = np.sqrt(np.diag(A))
        if (mean[lengths == 0] != 0).any():
            return found.rank + 1
        scaled = float(np.linalg.norm(mean / np.where(lengths > 0, lengths, 1.0)))
        share = float(np.linalg.norm(found.null.T @ mean)) / scaled if scaled > 0 else 0.0
        return None if _INSIDE < share < _OUTSIDE else found.rank + (share >= _OUTSIDE)

    @property
    def clear(self) -> bool:
        """Whether float64 can tell which eigenvalues are zero."""
        return self.moments is not None and self._rank is not None

    @property
    def size(self) -> int:
        """How many eigenvalues there are: d, and one for the bias."""
        return len(self._top.direction)

    @property
    def largest(self) -> float:
        return self._top.value

    @property
    def error(self) -> float:
        return self._top.error

    @property
    def most(self) -> float:
        """λmax at most."""
        return self.largest + self.error

    @property
    def smallest(self) -> float | None:
        values = self.eigenvalues
        if values is None:
            return None
        positive = values[values > 0]
        return float(positive[0]) if len(positive) else 0.0

    @property
    def rank(self) -> int | None:
        return self._rank if self.moments is not None else None

    @property
    def condition(self) -> float | None:
        if self.smallest is None:
            return None
        return self.largest / self.smallest if self.smallest > 0 else math.inf

    @property
    def lr_limit(self) -> float:
        return 2 / self.most if self.most > 0 else math.inf

    @property
    def lr_best(self) -> float | None:
        if self.smallest is None:
            return None
        both = self.largest + self.smallest
        return 2 / both if both > 0 else math.inf

    @property
    def shares(self) -> Floats:
        vector = self._top.direction
        squares: Floats = vector * vector
        return squares[: len(squares) - self.bias]

    @property
    def worst_columns(self) -> list[int]:
        order = np.argsort(-self.shares, kind="stable")[:5]
        return [int(column) for column in order if self.shares[column] >= 0.01 * self.shares[order[0]]]

    def epochs_to(self, tol: float = 1e-3, lr: float | None = None) -> float | None:
        """Epochs of gradient descent until the error in the slowest direction is ``tol`` times what it was.

        ln(tol) / ln max|1 − lr·λ|, over the eigenvalues λ that are not zero.

        Parameters
        ----------
        tol : float
            Between 0 and 1: 0.001 asks for three digits.
        lr : float, optional
            Learning rate; default `lr_best`.

        Returns
        -------
        int, inf or None
            inf where lr is at the limit or past it; None where the smallest eigenvalue is not known.

        Examples
        --------
        >>> import gdcore
        >>> celsius = [[0.0], [20.0], [40.0], [60.0], [80.0], [100.0]]
        >>> gdcore.spectrum(celsius).epochs_to(0.001 / 32, lr=0.0001)    # b: from 32 away to 0.001 away
        163038
        """
        tol = number(tol, "tol", above=0, below=1)
        lr = None if lr is None else number(lr, "lr", above=0)
        if self.smallest is None or self.lr_best is None:
            return None
        if lr is None:
            lr, fast = self.lr_best, 0.0  # at the best lr the fastest direction is as slow as the slowest
        else:
            fast = lr * self.largest - 1
        if not fast < 1:
            return math.inf
        slow = -lr * self.smallest  # by log1p: 1 − lr·λ would round it away
        rate = max(math.log1p(slow) if slow > -1 else -math.inf, math.log(fast) if fast > 0 else -math.inf)
        return max(1, math.ceil(math.log(tol) / rate)) if rate > -math.inf else 1

    def batch_lr(self, batch_size: int) -> float:
        """The learning rate for batches of b rows drawn at random: 1/L_b, the expected smoothness.

        L_b = n(b − 1)/(b(n − 1))·λmax + (n − b)/(b(n − 1))·(c·max‖x̃‖² + l2): Gower, Loizou, Qian, Sailanbayev, Shulgin and
        Richtárik 2019, "SGD: General Analysis and Improved Rates".
        """
        top = self.most
        if self.moments is None:
            return 1 / top
        n, b = self.moments.rows, batch_size
        if n > 1:
            row = self.curvature * (self.moments.largest_row + self.bias) + self.l2
            top = n * (b - 1) / (b * (n - 1)) * top + (n - b) / (b * (n - 1)) * row
        return 1 / top if top > 0 else 1.0

    def __add__(self, other: Spectrum) -> Spectrum:
        """Of both tables' rows together: the moments add up."""
        if not isinstance(other, Spectrum):
            return NotImplemented
        mine, its = (self.bias, self.loss, self.l2), (other.bias, other.loss, other.l2)
        if mine != its:
            raise ValueError(f"spectra of different problems do not add up: bias, loss and l2 are {mine} and {its}")
        if self.moments is None or other.moments is None:
            raise ValueError(f"spectra of more than {MOST_COLUMNS:,} columns do not add up: their matrices are not known")
        if self.moments.columns != other.moments.columns:
            raise ValueError(f"spectra of {self.moments.columns} and {other.moments.columns} columns do not add up")
        return Spectrum(self.moments + other.moments, self.bias, self.loss, self.l2)

    def column_names(self) -> str:
        """The worst columns as text."""
        return ", ".join(f"{column} ({self.shares[column]:.0%})" for column in self.worst_columns)

    def __repr__(self) -> str:
        if self.smallest is None:
            bound = f" (at most {self.error:.2g} more)" if self.error else ""
            rest = "not known" if self.moments is None else "lost in rounding"
            return f"Spectrum(largest {self.largest:.4g}{bound}, lr limit {self.lr_limit:.4g}; the rest is {rest})"
        deficient = f", rank {self.rank} of {self.size}" if self.rank != self.size else ""
        epochs = self.epochs_to(1e-3)
        return (
            f"Spectrum(λ from {self.smallest:.4g} to {self.largest:.4g}, condition {self.condition:.4g}{deficient}; "
            f"lr limit {self.lr_limit:.4g}, best {self.lr_best:.4g}; {epochs:,} epochs for 3 digits at best; "
            f"worst columns {self.column_names()})"
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """The error against epochs for an lr too small, the best one, and one past the limit: `gdcore.plots.spectrum`."""
        from gdcore import drawing

        return drawing.spectrum(self, ax=ax)


def _bound_of(loss: losses.Loss) -> float:
    """The loss's curvature bound; ValueError where it has none."""
    if loss.curvature is None:
        why = "its slope jumps" if loss.kinked else "its class tells none"
        raise ValueError(f"{loss.name} has no curvature bound, and so no spectrum: {why}")
    return loss.curvature


def spectrum(
    X: ArrayLike | Table,
    bias: bool = True,
    loss: str | losses.Loss = "mse",
    l2: float = 0.0,
    sample_weight: ArrayLike | None = None,
    *,
    backend: str = "kernel",
    n_threads: int | None = None,
    delta: float | None = None,
    tau: float | None = None,
) -> Spectrum:
    """Which learning rate diverges, which is best, and how many epochs are needed: one pass over X, before anyone trains.

    Parameters
    ----------
    X : array (n, d), float32 or float64
        As for `fit`; not copied. Or a `gdcore.rows.tables.Table`, whose weights of rows count, or rows in Dask, see
        `gdcore.distributed`.
    bias : bool
        Whether the model has a bias.
    loss : str or Loss
        One with a curvature bound: mse, huber, logistic, softmax.
    l2 : float
        The penalty that shall be trained with.
    sample_weight : array (n,), optional
        Likewise.
    backend, n_threads, delta, tau
        As for `fit`.

    Returns
    -------
    Spectrum
        With more than 8,000 columns only λmax is known, by up to 40 passes; nor is more known where columns are so nearly
        dependent that rounding hides it.

    Raises
    ------
    ValueError, TypeError
        Naming the argument; for losses without a curvature bound.

    Examples
    --------
    >>> import gdcore
    >>> celsius = [[0.0], [20.0], [40.0], [60.0], [80.0], [100.0]]
    >>> s = gdcore.spectrum(celsius)
    >>> round(s.condition), round(s.lr_limit, 6), s.worst_columns
    (11528, 0.000273, [0])
    >>> s
    Spectrum(λ from 0.6362 to 7335, condition 1.153e+04; lr limit 0.0002727, best 0.0002727; 39,817 epochs for 3 digits at \
best; worst columns 0 (100%))
    >>> a, b = gdcore.spectrum(celsius[:2]), gdcore.spectrum(celsius[2:])
    >>> round((a + b).condition)
    11528
    """
    chosen = losses.get(loss, delta=delta, tau=tau)
    _bound_of(chosen)
    bias, l2 = yes_or_no(bias, "bias"), number(l2, "l2")
    one_of(backend, "backend", tuple(BACKENDS))
    s = None
    if lazy(X):
        X = Cluster(X, None, sample_weight, n_threads=n_threads)
    elif isinstance(X, Table):
        if sample_weight is not None:
            raise TypeError(f"sample_weight comes with the table: found {type(sample_weight).__name__}")
    else:
        X = arrays.table(X)
        s = None if sample_weight is None else arrays.weights_of_rows(sample_weight, X)
    return of(X, s, bias, chosen, l2, backend, threads.resolve(n_threads))


def of(
    X: Array | Table, sample_weight: Array | None, bias: bool, loss: losses.Loss, l2: float, backend: str, n_threads: int
) -> Spectrum:
    """`spectrum` of checked arguments."""
    columns = len(X.names) if isinstance(X, Table) else X.shape[1]  # a table's shape may have to be counted
    if columns > MOST_COLUMNS and isinstance(X, Table) and not X.far:
        raise ValueError(f"a table's spectrum is for up to {MOST_COLUMNS:,} columns, found {columns:,}; leave some out")
    if columns <= MOST_COLUMNS:
        moments = moments_of(X, None, sample_weight, n_threads, backend, target=False)
        if not moments.finite:
            X.check_finite() if isinstance(X, Table) else arrays.check_finite(X, "X")
        check(moments, None if isinstance(X, Table) else X)
        return Spectrum(moments, bias, loss, l2)
    found = largest_eigenvalue(X, sample_weight, bias, loss, l2, backend, n_threads)
    return Spectrum(None, bias, loss, l2, found)
