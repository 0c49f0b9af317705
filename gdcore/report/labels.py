"""Names on pictures: short enough, told apart, and of characters that the font has."""

from __future__ import annotations

import functools
import unicodedata
from typing import TYPE_CHECKING

from gdcore.plain import number

if TYPE_CHECKING:
    from gdcore.losses import Loss

_LETTERS = {"delta": "δ", "tau": "τ"}

UNKNOWN = "□"
"""Stands for a character that the picture's font lacks."""


def shorten(name: str, length: int) -> str:
    """A name that fits: the middle is left out, for names differ at their ends.

    >>> shorten("temperature_of_the_sea_at_noon", 16), shorten("wind", 16)
    ('temperat…at_noon', 'wind')
    """
    name = drawable(name)
    if len(name) <= length:
        return name
    tail = (length - 1) // 2
    return f"{name[: length - 1 - tail]}…{name[-tail:]}"


def unique(short: list[str], names: list[str]) -> list[str]:
    """The shortened names, numbered where two of different names have become one.

    >>> unique(["a…z", "b", "a…z"], ["a1z", "b", "a2z"])
    ['a…z (1)', 'b', 'a…z (2)']
    """
    meant: dict[str, dict[str, int]] = {}
    for text, name in zip(short, names, strict=True):
        meant.setdefault(text, {}).setdefault(name, len(meant[text]) + 1)
    return [f"{text} ({meant[text][name]})" if len(meant[text]) > 1 else text for text, name in zip(short, names, strict=True)]


def with_parameters(loss: Loss, digits: int = 6) -> str:
    """A loss with its parameters, by the letters of its formula.

    >>> from gdcore.losses import huber, mse
    >>> with_parameters(huber(delta=2.0)), with_parameters(mse())
    ('huber, δ = 2', 'mse')
    """
    own = (f"{_LETTERS.get(name, name)} = {number(value, digits)}" for name, value in loss.parameters.items())
    return ", ".join([loss.name, *own])


def drawable(text: str) -> str:
    """The text on the picture: what the font lacks is □, marks that are not seen and control characters are a blank."""
    known = _characters()
    return "".join(
        c if c == "\n" or (ord(c) in known and unicodedata.category(c)[0] not in "CZ") else
        " " if unicodedata.category(c)[0] in "CZ" else UNKNOWN
        for c in text
    )  # fmt: skip


@functools.cache
def _characters() -> frozenset[int]:
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())
