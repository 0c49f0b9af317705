"""Numbers as people write them: 81,480 and 0.0123, not 8.148e+04."""

from __future__ import annotations

import math


def number(value: float | None, digits: int = 6) -> str:
    """So many digits, of numbers below 0.001 three; thousands between commas; a power of ten only past all reason.

    >>> number(81480.25, 4), number(0.01234567), number(-1234567.0), number(2.0)
    ('81,480', '0.0123457', '-1,234,567', '2')
    >>> number(1e-9), number(2.5e20), number(None), number(float("inf"))
    ('1e-09', '2.5e+20', '–', 'inf')
    """
    if value is None or math.isnan(value):
        return "–"
    size = abs(value)
    if not math.isfinite(value) or (size and not 1e-6 <= size < 1e15):
        return f"{value:.{digits}g}"
    digits = digits if size >= 1e-3 else min(digits, 3)
    rounded = (float(f"{value:.{digits}g}") if size < 10**digits else round(value)) or 0
    places = max(0, digits - 1 - math.floor(math.log10(abs(rounded)))) if rounded else 0
    text = f"{rounded:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
