"""Weights with their errors, and the table of them that people know from R and statsmodels, as text and as HTML."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gdcore.checks import number, one_of
from gdcore.covariance import tails
from gdcore.covariance.intervals import Interval
from gdcore.models.linear import mean
from gdcore.plain import number as plain
from gdcore.rows import arrays

if TYPE_CHECKING:
    from gdcore._types import ArrayLike, Floats
    from gdcore.covariance.intervals import Centred
    from gdcore.losses import Loss
    from gdcore.models.linear import Linear

_WIDTH = 11


@dataclass(frozen=True, repr=False, eq=False)
class Inference:
    """What `inference` gives: statsmodels' names for statsmodels' numbers.

    Attributes
    ----------
    names : list of str
        "const" where there is a bias, then the columns.
    classes : list of str
        Of softmax, what the classes are called, class 0 first; else none.
    params, bse, tvalues, pvalues : float64 array (p,), of k classes (p, k − 1)
        Weights, the bias first; their standard errors; weights divided by these; and how probable so large a quotient is where
        the weight is 0. Of classes those of classes 1 … k − 1 beside class 0.
    use_t : bool
        Whether p-values and intervals are of Student's t with ``df_resid`` degrees of freedom; else of the normal one.
    nobs, df_model, df_resid : float
        Rows, or with weights="frequency" their sum; columns without the bias; rows that are left to tell the dispersion.
    scale : float
        φ, the dispersion; of squared error the variance of the residuals.
    llf, aic, bic : float or None
        Log-likelihood and what Akaike and Schwarz make of it: of mse, logistic, softmax and poisson.
    rsquared, rsquared_adj : float or None
        Of mse.
    deviance, pearson_chi2 : float or None
        Of poisson, gamma and tweedie.
    condition : float
        The condition number of B, its diagonal scaled to 1.
    covariance : float64 array
        See `cov_params`, which gives a copy.
    centred : Centred
        The same of the linear predictor of the mean row and the weights, which `predict` takes.
    cov_type : str
    loss : Loss
    model : Linear
        Whose weights these are.
    """

    params: Floats
    covariance: Floats
    centred: Centred
    names: list[str]
    classes: list[str]
    loss: Loss
    model: Linear
    cov_type: str
    use_t: bool
    nobs: float
    df_model: float
    df_resid: float
    scale: float
    condition: float
    llf: float | None = None
    rsquared: float | None = None
    deviance: float | None = None
    pearson_chi2: float | None = None

    @property
    def bse(self) -> Floats:
        """Standard errors."""
        return np.sqrt(np.diag(self.covariance)).reshape(self.params.T.shape).T

    @property
    def tvalues(self) -> Floats:
        """Weights divided by their standard errors."""
        with np.errstate(divide="ignore", invalid="ignore"):
            found: Floats = self.params / self.bse
        return found

    @property
    def pvalues(self) -> Floats:
        """Two-sided."""
        freedom = self._freedom
        found: Floats = np.vectorize(lambda value: tails.two_sided(float(value), freedom), otypes=[float])(self.tvalues)
        return found

    @property
    def _freedom(self) -> float | None:
        return self.df_resid if self.use_t else None

    def cov_params(self) -> Floats:
        """(p, p), or of classes (p·(k − 1), p·(k − 1)), class by class: the covariance of ``params``."""
        return self.covariance.copy()

    def conf_int(self, alpha: float = 0.05) -> Floats:
        """(p, 2), or of classes (p, k − 1, 2): between which values a weight lies with probability 1 − alpha."""
        away = tails.quantile(number(alpha, "alpha", above=0, below=1), self._freedom) * self.bse
        return np.stack([self.params - away, self.params + away], axis=-1)

    def predict(self, X: ArrayLike, interval: float = 0.95, of: str = "mean") -> Interval:
        """Predictions of rows, and between which values what they stand for lies with a probability.

        Of a mean the interval is g(η ± q·√(x̃ᵀCx̃)), η the linear predictor, C the covariance, g the mean that it stands for,
        and q the quantile of Student's t or of the normal distribution. Of a target, with squared error, the variance of a
        target about its mean is added: ŷ ± q·√(φ + x̃ᵀCx̃).

        Parameters
        ----------
        X : array (n, d)
        interval : float
            The probability, above 0 and below 1.
        of : {"mean", "target"}
            The mean of all targets that rows as these have, of logistic the probability of 1; or one new target of weight 1,
            with mse: there the residuals are taken to be normal, of one variance. `gdcore.conformal` takes nothing for
            granted but that rows are exchangeable.

        Returns
        -------
        Interval
            ``prediction``, ``low`` and ``high``, float64 (n,).

        Raises
        ------
        ValueError
            X has another number of columns or values that are not finite; the wish is not for this loss or covariance.

        Examples
        --------
        >>> import numpy as np
        >>> from gdcore import fit, inference
        >>> x, y = np.arange(6.0)[:, None], np.array([0.1, 0.9, 2.1, 2.9, 4.1, 4.9])
        >>> found = inference(fit(x, y), x, y).predict([[10.0]], 0.9, of="target")
        >>> [float(values[0].round(4)) for values in found]
        [9.8714, 9.3489, 10.394]
        """
        away = tails.quantile(1 - number(interval, "interval", above=0, below=1), self._freedom)
        one_of(of, "of", ("mean", "target"))
        if self.loss.targets == "classes":
            raise ValueError("intervals of predictions are of one number, and softmax has one a class: gdcore.conformal")
        X = arrays.table(X).astype(np.float64)
        arrays.check_finite(X, "X")
        eta: Floats = self.model.linear_predictor(X).reshape(len(X))
        variances = self.centred.variances(X)
        if of == "target":
            if not self.loss.squared or self.cov_type != "nonrobust":
                found = f"{self.loss.name} and {self.cov_type!r}"
                raise ValueError(
                    f"of='target' is for mse and cov_type 'nonrobust', whose residuals have one variance, found {found}: "
                    "gdcore.conformal tells of new targets whatever their distribution is"
                )
            variances = variances + self.scale
        width = away * np.sqrt(variances)
        return Interval(*(self._meant(values) for values in (eta, eta - width, eta + width)))

    def _meant(self, eta: Floats) -> Floats:
        """What linear predictors stand for, in units of the target."""
        if self.loss.targets == "binary":
            return self.loss.probabilities(eta)
        return mean(eta, self.loss)

    @property
    def rsquared_adj(self) -> float | None:
        """R² with n − p in the place of n."""
        if self.rsquared is None:
            return None
        return 1 - (1 - self.rsquared) * (self.nobs - (self.nobs - self.df_resid > self.df_model)) / self.df_resid

    @property
    def _parameters(self) -> float:
        return self.nobs - self.df_resid

    @property
    def aic(self) -> float | None:
        """−2·llf + 2·p."""
        return None if self.llf is None else 2 * (self._parameters - self.llf)

    @property
    def bic(self) -> float | None:
        """−2·llf + p·log n."""
        return None if self.llf is None else self._parameters * math.log(self.nobs) - 2 * self.llf

    def summary(self, alpha: float = 0.05) -> Summary:
        """A table of all this, as text and as HTML."""
        return Summary(self, alpha)

    def __repr__(self) -> str:
        return str(self.summary())


class Summary:
    """Of one `Inference`: ``str`` is the text, and notebooks show the HTML."""

    def __init__(self, found: Inference, alpha: float) -> None:
        self.alpha = alpha
        letter = "t" if found.use_t else "z"
        ends = found.conf_int(alpha)
        self.heads = ["coef", "std err", letter, f"P>|{letter}|", f"[{alpha / 2:g}", f"{1 - alpha / 2:g}]"]
        several = found.params.ndim == 2
        self.rows: list[tuple[str, list[str]]] = []
        for c in range(found.params.shape[1] if several else 1):
            at = (slice(None), c) if several else (slice(None),)
            columns = (found.params[at], found.bse[at], found.tvalues[at], found.pvalues[at], *ends[at].T)
            for name, values in zip(found.names, zip(*columns, strict=True), strict=True):
                label = f"{name} ({found.classes[c + 1]})" if several else name
                self.rows.append((label, [_cell(j, float(value)) for j, value in enumerate(values)]))
        self.facts = _facts(found)

    def __str__(self) -> str:
        width = max(len(name) for name, _ in self.rows)
        lines = [f"{name}: {value}" for name, value in self.facts]
        lines += ["", f"{'':{width}}  " + "  ".join(f"{head:>{_WIDTH}}" for head in self.heads)]
        lines += [f"{name:{width}}  " + "  ".join(f"{cell:>{_WIDTH}}" for cell in cells) for name, cells in self.rows]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        def row(tag: str, cells: list[str]) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        facts = "".join(row("td", [name, value]) for name, value in self.facts)
        body = "".join(row("td", [name, *cells]) for name, cells in self.rows)
        return f"<table>{facts}</table><table>{row('th', ['', *self.heads])}{body}</table>"


def _cell(column: int, value: float) -> str:
    if column in (2, 3):
        return f"{value:.3f}"
    return plain(value, 5) if abs(value) >= 1e-3 else f"{value:.5g}"  # all digits of small weights too


def _facts(found: Inference) -> list[tuple[str, str]]:
    told: list[tuple[str, str | None]] = [
        ("loss", found.loss.spelling),
        ("rows", f"{found.nobs:,.15g}"),
        ("degrees of freedom", f"model {found.df_model:,.15g}, residuals {found.df_resid:,.15g}"),
        ("covariance", found.cov_type),
        ("weights are beside", found.classes[0] if found.classes else None),
        ("dispersion", plain(found.scale, 5)),
        ("R²", _maybe(found.rsquared)),
        ("adjusted R²", _maybe(found.rsquared_adj)),
        ("deviance", _maybe(found.deviance)),
        ("Pearson's χ²", _maybe(found.pearson_chi2)),
        ("log-likelihood", _maybe(found.llf)),
        ("AIC", _maybe(found.aic)),
        ("BIC", _maybe(found.bic)),
        ("condition, scaled", plain(found.condition, 3)),
    ]
    return [(name, value) for name, value in told if value is not None]


def _maybe(value: float | None) -> str | None:
    return None if value is None else plain(value, 6)
