"""Sheets: one epoch to compute by hand, with its key. Whoever knows the seed knows the sheet.

The numbers are small fractions, and so is the key, exactly, but for the classifier's, whose e^z is none. No row meets a place
where a slope jumps, for there the loss has no gradient: no residual of the absolute error is 0, no sum that goes into relu.
"""

from __future__ import annotations

import math
from fractions import Fraction
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from gdcore.checks import integer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Number = Fraction | float

_ROWS = 4
_RATES = (Fraction(1, 20), Fraction(1, 10), Fraction(1, 5), Fraction(1, 4))


class Line(NamedTuple):
    """A line of the loop, and what it gives."""

    part: str
    """forward, backward or update."""
    name: str
    formula: str
    values: list[Number]


class Sheet(NamedTuple):
    """An exercise and its key."""

    lesson: int
    seed: int
    title: str
    given: dict[str, list[Fraction]]
    """The rows x and y, the parameters at the start, and lr; of layer 1 of a network one number a unit."""
    lines: list[Line]

    @property
    def key(self) -> dict[str, list[Number]]:
        """What each line gives, by its name: of an update under its parameter's name with "new " before it."""
        return {("new " if line.part == "update" else "") + line.name: line.values for line in self.lines}

    def text(self) -> str:
        """The sheet as it is printed: what is given, the lines with room for the answers, and the key below."""
        exact = all(isinstance(value, Fraction) for line in self.lines for value in line.values)
        how = "in fractions, exactly" if exact else "to 6 decimals: eᶻ is no fraction"
        width = max(len(line.formula) for line in self.lines)
        out = [f"Lesson {self.lesson}, {self.title}: one epoch by hand, seed {self.seed}", "", "Given"]
        out += [f"  {name:2} = {_written(values)}" for name, values in self.given.items()]
        out += ["", f"Compute, {how}"]
        out += self._table(lambda line: f"  {line.name:5} = {line.formula:{width}} = ____")
        out += ["", f"Key, {how}"]
        out += self._table(lambda line: f"  {line.name:5} = {_written(line.values)}")
        return "\n".join(out)

    def _table(self, row: Callable[[Line], str]) -> list[str]:
        """A row a line, with the part of the loop before the first row of each."""
        parts = [line.part for line in self.lines]
        return [
            f"  {part if part != before else '':8}{row(line)}"
            for part, before, line in zip(parts, ["", *parts], self.lines, strict=False)
        ]


def _written(values: Sequence[Number]) -> str:
    """Numbers with blanks between them: fractions as they are, others to 6 decimals."""
    return "  ".join(str(value) if isinstance(value, Fraction) else f"{value:.6f}" for value in values)


def sheet(lesson: int, seed: int = 0) -> Sheet:
    """An exercise for one of the `LESSONS`.

    Parameters
    ----------
    lesson : int
        1: a line, squared error; 2: a line, absolute error; 3: a network of 1, 2 and 1 units with relu, absolute error;
        4: a classifier, log loss.
    seed : int
        ≥ 0: another seed, another sheet.

    Returns
    -------
    Sheet
        Its ``text()`` is to be printed, its ``key`` has the numbers.

    Raises
    ------
    ValueError, TypeError
        Naming the argument.

    Examples
    --------
    >>> exercise = sheet(1, seed=3)
    >>> for name, values in exercise.given.items():
    ...     print(name, *values)
    x -3 0 2 3
    y 2 6 0 3
    w -1
    b 2
    lr 1/10
    >>> exercise.key["dw"]
    [Fraction(-21, 2)]
    """
    lesson = integer(lesson, "lesson", 1, len(LESSONS))
    seed = integer(seed, "seed", 0)
    random = Random(f"lesson {lesson}, seed {seed}")  # of a text the same numbers with every version of Python
    title, _, make = LESSONS[lesson]
    while True:
        made = make(random)
        if made is not None:
            return Sheet(lesson, seed, title, *made)


_Made = tuple[dict[str, list[Fraction]], list[Line]]


def _halves(random: Random, count: int, most: int) -> list[Fraction]:
    """Multiples of ½ between ±most, none of them 0."""
    return [Fraction(random.choice([-1, 1]) * random.randint(1, 2 * most), 2) for _ in range(count)]


def _rows(random: Random) -> list[Fraction]:
    """Different small integers, the smallest first."""
    return [Fraction(x) for x in sorted(random.sample(range(-3, 6), _ROWS))]


def _integers(random: Random, most: int) -> list[Fraction]:
    return [Fraction(random.randint(-most, most)) for _ in range(_ROWS)]


def _mean(values: Sequence[Number]) -> Number:
    total: Number = sum(values, Fraction(0))
    return total / len(values)


def _times(a: Sequence[Number], b: Sequence[Number]) -> list[Number]:
    return [p * q for p, q in zip(a, b, strict=True)]


def _sign(value: Number) -> Fraction:
    return Fraction((value > 0) - (value < 0))


def _line(random: Random) -> tuple[dict[str, list[Fraction]], list[Number]]:
    """What is given of a line, and ŷ."""
    x, y = _rows(random), _integers(random, 6)
    (w, b), lr = _halves(random, 2, 2), random.choice(_RATES)
    return {"x": x, "y": y, "w": [w], "b": [b], "lr": [lr]}, [w * value + b for value in x]


def _slopes(given: dict[str, list[Fraction]], what: str, d: list[Number]) -> list[Line]:
    """The backward pass of a line below ∂L/∂ŷ, which is called ``what``, and the update."""
    (w,), (b,), (lr,) = given["w"], given["b"], given["lr"]
    dw, db = sum(_times(d, given["x"]), Fraction(0)), sum(d, Fraction(0))
    return [
        Line("backward", "dw", f"Σ {what}·x", [dw]),
        Line("backward", "db", f"Σ {what}", [db]),
        Line("update", "w", "w − lr·dw", [w - lr * dw]),
        Line("update", "b", "b − lr·db", [b - lr * db]),
    ]


def _squared(random: Random) -> _Made:
    given, p = _line(random)
    below = 1 / (1 + _mean(_times(given["x"], given["x"])))  # half of 2/trace of H, and so below the limit 2/λmax
    given["lr"] = [random.choice([rate for rate in _RATES if rate < below])]
    r = [a - y for a, y in zip(p, given["y"], strict=True)]
    dp: list[Number] = [2 * value / _ROWS for value in r]
    return given, [
        Line("forward", "p", "w·x + b", p),
        Line("forward", "r", "p − y", r),
        Line("forward", "loss", "mean of r²", [_mean(_times(r, r))]),
        Line("backward", "dp", f"2·r/{_ROWS}", dp),
        *_slopes(given, "dp", dp),
    ]


def _absolute(random: Random) -> _Made | None:
    given, p = _line(random)
    r = [a - y for a, y in zip(p, given["y"], strict=True)]
    if 0 in r:
        return None
    dp: list[Number] = [_sign(value) / _ROWS for value in r]
    return given, [
        Line("forward", "p", "w·x + b", p),
        Line("forward", "r", "p − y", r),
        Line("forward", "loss", "mean of |r|", [_mean([max(value, -value) for value in r])]),
        Line("backward", "dp", f"sign(r)/{_ROWS}", dp),
        *_slopes(given, "dp", dp),
    ]


def _classes(random: Random) -> _Made | None:
    given, z = _line(random)
    given["y"] = [Fraction(random.randint(0, 1)) for _ in range(_ROWS)]
    if len(set(given["y"])) == 1:
        return None
    s = [1 / (1 + math.exp(-value)) for value in z]
    losses: list[Number] = [-math.log(p if y else 1 - p) for p, y in zip(s, given["y"], strict=True)]
    dz: list[Number] = [(p - float(y)) / _ROWS for p, y in zip(s, given["y"], strict=True)]
    return given, [
        Line("forward", "z", "w·x + b", z),
        Line("forward", "s", "1/(1 + e⁻ᶻ)", [*s]),
        Line("forward", "loss", "mean of −log s where y = 1, −log(1 − s) where y = 0", [_mean(losses)]),
        Line("backward", "dz", f"(s − y)/{_ROWS}", dz),
        *_slopes(given, "dz", dz),
    ]


def _network(random: Random) -> _Made | None:
    x, y = _rows(random), _integers(random, 4)
    W, b, V = _halves(random, 2, 2), _halves(random, 2, 2), _halves(random, 2, 2)
    (c,), lr = _halves(random, 1, 2), random.choice(_RATES)
    z = [[w * value + bias for value in x] for w, bias in zip(W, b, strict=True)]
    a = [[max(value, Fraction(0)) for value in unit] for unit in z]
    p = [V[0] * first + V[1] * second + c for first, second in zip(*a, strict=True)]
    r = [value - target for value, target in zip(p, y, strict=True)]
    if 0 in r or any(0 in unit or max(unit) < 0 for unit in z):
        return None
    dp = [_sign(value) / _ROWS for value in r]
    dz = [[d * v * (value > 0) for d, value in zip(dp, unit, strict=True)] for v, unit in zip(V, z, strict=True)]
    dV = [sum(_times(dp, unit), Fraction(0)) for unit in a]
    dW, db = [sum(_times(d, x), Fraction(0)) for d in dz], [sum(d, Fraction(0)) for d in dz]
    dc = sum(dp, Fraction(0))
    given = {"x": x, "y": y, "W": W, "b": b, "V": V, "c": [c], "lr": [lr]}
    return given, [
        Line("forward", "z1", "W[1]·x + b[1]", [*z[0]]),
        Line("forward", "z2", "W[2]·x + b[2]", [*z[1]]),
        Line("forward", "a1", "z1 where z1 > 0, else 0", [*a[0]]),
        Line("forward", "a2", "z2 where z2 > 0, else 0", [*a[1]]),
        Line("forward", "p", "V[1]·a1 + V[2]·a2 + c", [*p]),
        Line("forward", "r", "p − y", [*r]),
        Line("forward", "loss", "mean of |r|", [_mean([abs(value) for value in r])]),
        Line("backward", "dp", f"sign(r)/{_ROWS}", [*dp]),
        Line("backward", "dV", "Σ dp·a1, Σ dp·a2", [*dV]),
        Line("backward", "dc", "Σ dp", [dc]),
        Line("backward", "dz1", "dp·V[1] where z1 > 0, else 0", [*dz[0]]),
        Line("backward", "dz2", "dp·V[2] where z2 > 0, else 0", [*dz[1]]),
        Line("backward", "dW", "Σ dz1·x, Σ dz2·x", [*dW]),
        Line("backward", "db", "Σ dz1, Σ dz2", [*db]),
        Line("update", "W", "W − lr·dW", [one - lr * slope for one, slope in zip(W, dW, strict=True)]),
        Line("update", "b", "b − lr·db", [one - lr * slope for one, slope in zip(b, db, strict=True)]),
        Line("update", "V", "V − lr·dV", [one - lr * slope for one, slope in zip(V, dV, strict=True)]),
        Line("update", "c", "c − lr·dc", [c - lr * dc]),
    ]


LESSONS: dict[int, tuple[str, str, Callable[[Random], _Made | None]]] = {
    1: ("a line, squared error", "ŷ = w·x + b, loss = mean of (ŷ − y)²", _squared),
    2: ("a line, absolute error", "ŷ = w·x + b, loss = mean of |ŷ − y|", _absolute),
    3: ("a network of 1, 2 and 1 units", "relu between two layers, loss = mean of |ŷ − y|", _network),
    4: ("a classifier, log loss", "σ(w·x + b) is the probability of 1, loss = mean of −log of that of y", _classes),
}
"""Number to title, what is computed, and what makes a sheet, or None where a draw meets a jump of a slope."""
