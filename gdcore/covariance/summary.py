"""The table of weights with their errors that people know from R and statsmodels, as text and as HTML."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from gdcore.plain import number

if TYPE_CHECKING:
    from gdcore.covariance.inference import Inference

_WIDTH = 11


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
            at: Any = (slice(None), c) if several else slice(None)
            columns = (found.params[at], found.bse[at], found.tvalues[at], found.pvalues[at], *ends[at].T)
            for name, values in zip(found.names, zip(*columns, strict=True), strict=True):
                label = f"{name} (class {c + 1})" if several else name
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
    return f"{value:.3f}" if column in (2, 3) else number(value, 5)


def _facts(found: Inference) -> list[tuple[str, str]]:
    told: list[tuple[str, str | None]] = [
        ("loss", found.loss.spelling),
        ("rows", f"{found.nobs:,.15g}"),
        ("degrees of freedom", f"model {found.df_model:,.15g}, residuals {found.df_resid:,.15g}"),
        ("covariance", found.cov_type),
        ("dispersion", number(found.scale, 5)),
        ("R²", _maybe(found.rsquared)),
        ("adjusted R²", _maybe(found.rsquared_adj)),
        ("deviance", _maybe(found.deviance)),
        ("Pearson's χ²", _maybe(found.pearson_chi2)),
        ("log-likelihood", _maybe(found.llf)),
        ("AIC", _maybe(found.aic)),
        ("BIC", _maybe(found.bic)),
        ("condition, scaled", number(found.condition, 3)),
    ]
    return [(name, value) for name, value in told if value is not None]


def _maybe(value: float | None) -> str | None:
    return None if value is None else number(value, 6)
