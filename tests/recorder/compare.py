"""The differences between two records."""

from __future__ import annotations

import math
import re
import struct
from itertools import zip_longest

_NONE = object()
_NUMBER = re.compile(r"(\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)")
_SHOWN = 1e-5
"""By which numbers in texts may differ where others may: most are shown with six digits."""


def differences(old, new, tolerance=None, where=""):
    """Where two kept values differ, a line each; numbers by their bits, or by more than ``tolerance``.

    >>> list(differences({"loss": 1.0, "why": "a"}, {"loss": 1.5, "why": "b"}))
    ['loss: 1.0 is now 1.5 (relative 0.33)', "why: 'a' is now 'b'"]
    >>> list(differences([1.0], [1.0 + 1e-12], tolerance=1e-9))
    []
    """
    if isinstance(old, dict) and isinstance(new, dict):
        if "digest" in old and "digest" in new:
            yield from _arrays(old, new, tolerance, where)
            return
        for name in dict.fromkeys([*old, *new]):
            here = f"{where}.{name}" if where else str(name)
            yield from differences(old.get(name, _NONE), new.get(name, _NONE), tolerance, here)
    elif isinstance(old, list) and isinstance(new, list):
        for i, (one, other) in enumerate(zip_longest(old, new, fillvalue=_NONE)):
            yield from differences(one, other, tolerance, f"{where}[{i}]")
    elif type(old) is float and type(new) is float:
        if not _same(old, new, tolerance, max(abs(old), abs(new))):
            yield f"{where}: {old!r} is now {new!r} (relative {_relative(old, new):.2g})"
    elif old is _NONE or new is _NONE:
        yield (
            f"{where}: was not there, and is now {_short(new)}" if old is _NONE else f"{where}: is gone; it was {_short(old)}"
        )
    elif isinstance(old, str) and isinstance(new, str) and "\n" in old + new:
        for i, (one, other) in enumerate(zip_longest(old.splitlines(), new.splitlines(), fillvalue=_NONE), 1):
            yield from differences(one, other, tolerance, f"{where}, line {i}")
    elif type(old) is not type(new) or (old != new and not (tolerance and isinstance(old, str) and _same_text(old, new))):
        yield f"{where}: {_short(old)} is now {_short(new)}"


def _arrays(old, new, tolerance, where):
    kinds = [f"{array['dtype']} {array['shape']}" for array in (old, new)]
    if kinds[0] != kinds[1]:
        yield f"{where}: {kinds[0]} is now {kinds[1]}"
    elif old["digest"] != new["digest"]:
        pairs = list(zip(map(float, old["values"]), map(float, new["values"]), strict=True))
        scale = max((abs(value) for pair in pairs for value in pair if math.isfinite(value)), default=0.0)
        changed = [(one, other) for one, other in pairs if not _same(one, other, tolerance, scale)]
        if changed:
            one, other = max(changed, key=lambda pair: _relative(*pair))
            how = f"{one!r} is now {other!r} (relative {_relative(one, other):.2g})"
            yield f"{where}: {len(changed)} of {len(pairs)} numbers differ, {how}"
        elif tolerance is None:
            yield f"{where}: its bits differ, in numbers that are not kept one by one"


def _same(old, new, tolerance, scale):
    if tolerance is None or not (math.isfinite(old) and math.isfinite(new)):
        return struct.pack("d", old) == struct.pack("d", new) or (math.isnan(old) and math.isnan(new))
    # A thousandth: what a descent has left at its end, gradients and gaps, is rounding of numbers of size 1.
    return abs(old - new) <= tolerance * (scale + 1e-3)


def _same_text(old, new):
    """Whether two texts differ in nothing but the last digits of numbers.

    >>> _same_text("loss 1.23456, norm 2e-17", "loss 1.23457, norm 3e-15"), _same_text("3 epochs", "4 epochs")
    (True, False)
    """
    pairs = [_NUMBER.split(text) for text in (old, new)]
    return len(pairs[0]) == len(pairs[1]) and all(
        one == other or (_NUMBER.fullmatch(one) and _NUMBER.fullmatch(other) and _close(*_numbers(one, other)))
        for one, other in zip(*pairs, strict=True)
    )


def _numbers(*texts):
    return [float(text.replace(",", "")) for text in texts]


def _close(one, other):
    return _same(one, other, _SHOWN, max(one, other))


def _relative(old, new):
    scale = max(abs(old), abs(new))
    return abs(old - new) / scale if 0 < scale < math.inf else math.nan


def _short(value):
    text = repr(value)
    return text if len(text) <= 1200 else f"{text[:300]} … {text[-300:]}"
