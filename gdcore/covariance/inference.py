"""`inference`: standard errors, tests and intervals of fitted weights, by two passes over the rows that trained.

With bread B, meat M and the dispersion φ of `gdcore.covariance.sums`, the covariance of the weights is

    nonrobust   φ·B⁻¹            φ: 1 for classes and poisson, else Pearson's statistic / (n − p)
    HC0         B⁻¹·M·B⁻¹        Huber 1967, White 1980
    HC1         HC0·n/(n − p)
    HC2, HC3    HC0 with each ℓ'² divided by 1 − h, or its square; h the row's leverage (MacKinnon and White 1985)
    cluster     M by groups, times G/(G − 1)·(n − 1)/(n − p)

Huber's loss: K²·Σψ²/(n − p)/mean(ψ')²·(ZᵀZ)⁻¹ (Huber 1973, H1). Quantiles: B from the density of the residuals at 0, by a
kernel of Hall and Sheather's (1988) width (Powell 1991).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gdcore import threads
from gdcore.checks import must_be, must_have_shape, one_of
from gdcore.covariance import density
from gdcore.covariance.intervals import Centred
from gdcore.covariance.result import Inference
from gdcore.covariance.sums import Sums, measured
from gdcore.facts import dependence
from gdcore.facts.metric import inverse
from gdcore.messages import Message, Option
from gdcore.models.linear import Linear
from gdcore.rows import arrays
from gdcore.rows.dask.cluster import Cluster
from gdcore.rows.dask.partitions import lazy
from gdcore.rows.tables import Table, columns_of, moments_of
from gdcore.run import Run
from gdcore.scores.scoring import check_table, checked

if TYPE_CHECKING:
    from gdcore._types import Array, ArrayLike, Floats, Lazy
    from gdcore.losses import Loss

COV_TYPES = ("nonrobust", "HC0", "HC1", "HC2", "HC3", "cluster")
_ROUNDING = 1e-10  # of the largest part of a prediction
_OFF = 0.01  # standard errors: weights so far from the best are not those of an unpenalised fit


class _Rows(NamedTuple):
    """The rows as every pass takes them."""

    X: Array | Table
    Y: Array | None
    s: Array | None
    n_threads: int


def inference(
    run: Run | Linear,
    X: ArrayLike | Table | Lazy,
    Y: ArrayLike | Lazy | None = None,
    sample_weight: ArrayLike | Lazy | None = None,
    cov_type: str = "nonrobust",
    groups: ArrayLike | None = None,
    weights: str = "precision",
    n_threads: int | None = None,
    *,
    offset: ArrayLike | None = None,
) -> Inference:
    """Standard errors, tests and intervals of the weights of an unpenalised linear model.

    Parameters
    ----------
    run : Run or Linear
        What `gdcore.fit` has given for these rows, or its model.
    X : array (n, d), float32 or float64
        The rows that trained, as `gdcore.fit` took them; or a table, which brings Y and sample_weight with it; or Dask's.
    Y : array (n,) or (n, 1)
        Their targets.
    sample_weight : array (n,), optional
        The weights with which they trained.
    cov_type : {"nonrobust", "HC0", "HC1", "HC2", "HC3", "cluster"}
        What is believed of the rows. "nonrobust": that the loss is their log-likelihood, but for a dispersion. "HC0" to "HC3":
        that rows are independent, whatever their variances are. "cluster": that groups are.
    groups : array (n,)
        For "cluster": which group each row belongs to; numbers or text.
    weights : {"precision", "frequency"}
        What sample_weight is: how precise a row is, as in weighted least squares, or how often it occurs.
    n_threads : int, optional
    offset : array (n,), optional
        That with which they trained, of losses of the residual.

    Returns
    -------
    Inference
        In float64: weights in units of the linear predictor (of mse those of Y) per unit of their column, the bias first, and
        their errors in the same. The formulas stand at the head of `gdcore.covariance.inference`.

    Raises
    ------
    ValueError
        The model is not the best for these rows, as penalised and bounded ones and those of other rows are not; columns depend
        on others;
        an option is unknown, or not for this loss.
    TypeError
        It is a network, or not trained.

    Examples
    --------
    >>> import numpy as np
    >>> from gdcore import fit, inference
    >>> x = np.array([[1.0], [2.0], [3.0], [4.0], [5.0]])
    >>> y = np.array([1.1, 1.9, 3.2, 3.9, 5.1])
    >>> found = inference(fit(x, y), x, y)
    >>> found.params.round(4), found.bse.round(4), found.pvalues.round(6)
    (array([0.04, 1.  ]), array([0.1625, 0.049 ]), array([8.21423e-01, 2.57000e-04]))
    """
    model = run.model if isinstance(run, Run) else run
    if not isinstance(model, Linear):
        raise TypeError(must_be("run", "a Run of a linear model, or a Linear", type(model).__name__))
    loss = model.loss
    if loss is None:
        raise TypeError("the model is not trained, and so knows no loss: give what gdcore.fit gives")
    if isinstance(run, Run) and run.settings.bounds is not None:
        raise ValueError(
            Message("the weights were held within ", Option("bounds"), ", and such weights have no errors of this kind")
        )
    one_of(cov_type, "cov_type", COV_TYPES)
    one_of(weights, "weights", ("precision", "frequency"))
    if loss.kinked and cov_type != "nonrobust":
        raise ValueError(f"cov_type {cov_type!r} is not for quantiles, whose kernel sandwich is 'nonrobust'")
    if loss.targets != "classes" and math.prod(model.outputs) != 1:
        raise ValueError(f"inference is for one output, found {math.prod(model.outputs)}: fit each by itself")
    if cov_type in ("HC2", "HC3") and loss.targets == "classes":
        raise ValueError(f"cov_type {cov_type!r} is not for softmax: take 'HC0', 'HC1' or 'cluster'")
    if offset is not None:
        if not loss.of_residual or isinstance(X, Table) or lazy(X) or Y is None:
            raise ValueError(Message(Option("offset"), f" is for arrays and losses of the residual, found {loss.name}"))
        Y = arrays.targets(Y, arrays.table(X))
        Y = Y - arrays.offsets(offset, Y)
    rows = _rows(model, loss, X, Y, sample_weight, n_threads)
    return _Found(model, loss, rows, cov_type, groups, weights == "frequency").inference()


def _rows(
    model: Linear,
    loss: Loss,
    X: ArrayLike | Table | Lazy,
    Y: ArrayLike | Lazy | None,
    sample_weight: ArrayLike | Lazy | None,
    n_threads: int | None,
) -> _Rows:
    if lazy(X) and Y is not None:
        X, Y, sample_weight = Cluster(X, Y, sample_weight, loss.targets, n_threads), None, None
    if isinstance(X, Table):
        check_table(model, loss, X, Y, sample_weight)
        return _Rows(X, None, None, threads.resolve(n_threads))
    piece = checked(model, loss, X, Y, sample_weight, "what is left of it tells the errors")
    arrays.check_finite(piece.X, "X")
    return _Rows(*piece, threads.resolve(n_threads))


class _Found:
    """One call."""

    def __init__(self, model: Linear, loss: Loss, rows: _Rows, cov_type: str, groups: ArrayLike | None, counts: bool) -> None:
        self.model, self.loss, self.rows, self.cov_type, self.counts = model, loss, rows, cov_type, counts
        self.weights, self.bias = model.parameters(np.float64)
        columns = columns_of(rows.X, rows.s, rows.n_threads)
        self.mean = columns.mean[: len(self.weights)] * (self.bias is not None)
        self.groups = self._groups(groups)

    def _groups(self, groups: ArrayLike | None) -> tuple[Array, int] | None:
        if (groups is None) != (self.cov_type != "cluster"):
            what = "needs groups, one for each row" if groups is None else "takes no groups, which are for 'cluster'"
            raise ValueError(f"cov_type {self.cov_type!r} {what}")
        if groups is None:
            return None
        if isinstance(self.rows.X, Table):
            raise ValueError(
                "cov_type 'cluster' is for arrays: rows of a table may be left out, and groups would not fit them"
            )
        try:
            labels, codes = np.unique(np.asarray(groups), return_inverse=True)
        except TypeError:  # None among text, text among numbers
            kinds = ", ".join(sorted({type(value).__name__ for value in np.ravel(np.asarray(groups))}))
            raise TypeError(must_be("groups", "numbers, or texts, one for each row", f"values of {kinds}")) from None
        if codes.shape != (len(self.rows.X),):
            raise ValueError(must_have_shape("groups", f"({len(self.rows.X)},), one for each row", np.shape(groups)))
        if len(labels) < 2:
            raise ValueError(must_be("groups", "two or more", f"{len(labels)}"))
        return codes, len(labels)

    def measured(self, constant: float | None = None, leverage: tuple[Floats, int] | None = None) -> Sums:
        rows, centre = self.rows, float(self._middle[0]) if self.loss.numeric else 0.0
        return measured(
            rows.X, rows.Y, rows.s, rows.n_threads, self.loss, self.weights, self.bias, self.mean, counts=self.counts,
            centre=centre, groups=self.groups, expected=self.cov_type == "nonrobust", constant=constant, leverage=leverage,
        )  # fmt: skip

    @property
    def _middle(self) -> Floats:
        """b' = b + μ·w (k,), the linear predictor of the mean row: of squared error the mean of the targets."""
        return self.mean @ self.weights + (0.0 if self.bias is None else self.bias)

    def inference(self) -> Inference:
        loss, cov_type = self.loss, self.cov_type
        constant = None
        if loss.kinked:
            constant = density.at_zero(self.rows, loss, self.weights, self.bias)
        elif loss.flat and cov_type == "nonrobust":
            constant = 1.0
        found = self.measured(constant=constant)
        p = len(found.bread)
        n = found.total if self.counts else found.rows
        freedom = n - p
        if freedom <= 0:
            raise ValueError(f"{n:g} rows tell no errors of {p} weights: more rows than weights are needed")
        bread = inverse(found.bread)
        if bread.rank < p or not bread.clear:
            self._dependent()
        B = bread.matrix
        scale = found.pearson / freedom if loss.dispersed else 1.0
        meat = found.meat
        if cov_type in ("HC2", "HC3"):
            meat = self.measured(leverage=(B, int(cov_type[2]) - 1)).meat
        robust = B @ meat @ B
        if loss.kinked:
            covariance = robust
        elif loss.flat and cov_type == "nonrobust":
            share = found.curvatures[0] / found.total
            K = 1 + p / n * (found.curvatures[1] / found.total - share**2) / share**2
            covariance = K**2 * found.slopes / freedom / share**2 * B
        elif cov_type == "nonrobust":
            covariance = scale * B
        elif cov_type == "HC1":
            covariance = robust * n / freedom
        elif self.groups is not None:
            G = self.groups[1]
            covariance = robust * (G / (G - 1)) * ((n - 1) / freedom)
        else:
            covariance = robust
        if not loss.kinked:
            self._check_best(found, B, np.sqrt(np.diag(covariance)))
        names = list(getattr(self.model, "columns", None) or getattr(self.rows.X, "names", None) or [])
        names = [str(name) for name in names] or [f"x{j + 1}" for j in range(len(self.weights))]
        centred = Centred(self.mean, self.bias is not None, covariance)
        params, covariance = self._own(covariance)
        return Inference(
            params, covariance, centred, ["const"] * (self.bias is not None) + names, self._classes(), loss,
            self.model, cov_type, use_t=loss.kinked or (loss.squared and cov_type == "nonrobust"), nobs=n, df_resid=freedom,
            df_model=p - (self.bias is not None) * (p // (len(self.weights) + (self.bias is not None))),
            scale=scale / 2 if loss.squared else scale, condition=bread.condition, **self._fit(found, n),
        )  # fmt: skip

    def _classes(self) -> list[str]:
        if self.loss.targets != "classes":
            return []
        labels = self.rows.X.labels if isinstance(self.rows.X, Table) else ()
        return [str(label) for label in labels] or [f"class {c}" for c in range(self.weights.shape[1])]

    def _own(self, covariance: Floats) -> tuple[Floats, Floats]:
        """Parameters and covariance in the user's own coordinates: b = b' − μ·w."""
        W, b = self.weights, self.bias
        if self.loss.targets == "classes":
            W, b = W[:, 1:] - W[:, :1], None if b is None else b[1:] - b[:1]
        if b is None:
            return np.squeeze(W, axis=1) if self.loss.targets != "classes" else W, covariance
        params = np.vstack([b, W])
        p = len(params)
        turn = np.eye(p)
        turn[0, 1:] = -self.mean
        whole = np.kron(np.eye(len(covariance) // p), turn)
        return params[:, 0] if self.loss.targets != "classes" else params, whole @ covariance @ whole.T

    def _fit(self, found: Sums, n: float) -> dict[str, float]:
        """How good the fit is, in the terms of its loss."""
        loss, told = self.loss, {}
        if loss.squared:
            ssr, (first, second) = found.loss, found.targets
            spread = second - (first**2 / found.total if self.bias is not None else 0.0)
            log = math.log(2 * math.pi * ssr / n) if ssr > 0 else -math.inf
            told["llf"] = -n / 2 * (log + 1) + (0.0 if self.counts else found.logs / 2)
            if spread > 0:
                told["rsquared"] = 1 - ssr / spread
        if loss.has_link:
            told |= {"deviance": 2 * (found.loss - found.least), "pearson_chi2": found.pearson}
        if found.base is not None:
            told["llf"] = found.base - found.loss
        return told

    def _check_best(self, found: Sums, B: Floats, errors: Floats) -> None:
        """The weights must be those of the least loss: penalised ones are not, and have no such errors."""
        size = np.sqrt(np.diag(found.bread))  # about in which units a weight is of the size of a prediction
        weights = np.vstack([self._middle, self.weights]) if self.bias is not None else self.weights
        if self.loss.targets == "classes":
            weights = weights[:, 1:] - weights[:, :1]
        rounding = _ROUNDING * np.max(size * np.abs(weights.T.ravel())) / size
        off = np.abs(B @ found.score) / (errors + rounding)
        worst = int(np.argmax(off))
        if off[worst] > _OFF:
            raise ValueError(
                f"the weights are not the best ones for these rows: it is least {off[worst]:.2g} standard errors from one "
                "of them. Errors are known of fits without a penalty and bounds, that have converged, on the same rows and "
                "sample_weight"
            )

    def _dependent(self) -> None:
        rows = self.rows
        moments = moments_of(rows.X, None, rows.s, rows.n_threads, "kernel", target=False)
        found = dependence.dependent(moments.of_columns(), self.bias is not None, blurred=True)
        names = getattr(rows.X, "names", None)
        which = dependence.told(found, self.bias is not None, names) or "nearly all of it is in fewer directions"
        raise ValueError(f"the weights of dependent columns have no errors: {which}; drop columns")
