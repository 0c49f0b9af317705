"""What stored JSON has to be: declared as one value, and checked where the JSON is read.

A check is called with a value and with what the value is called in messages. It raises ValueError, or returns nothing.

>>> point = record({"name": text, "at": listed(number, 2)})
>>> point({"name": "origin", "at": [0.0, 0.0]}, "the point")
>>> point({"name": "origin", "at": [0.0]}, "the point")
Traceback (most recent call last):
ValueError: the point: 'at' must be a list of 2 numbers, found [0.0]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gdcore.checks import must_be

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from gdcore._types import JSON

_SHOWN = 40  # characters of a value that is told
_LARGEST = 1 << 63  # integers are smaller: larger ones are no numbers to NumPy


class Check(Protocol):
    """A part of a schema; ``noun`` says in the plural what it lets through."""

    noun: str

    def __call__(self, value: JSON, what: str) -> None: ...


class _Kind:
    """A check of one value by itself."""

    def __init__(self, one: str, noun: str, holds: Callable[[JSON], bool]) -> None:
        self.one, self.noun, self.holds = one, noun, holds

    def __call__(self, value: JSON, what: str) -> None:
        if not self.holds(value):
            raise wrong(what, self.one, value)


text = _Kind("a string", "strings", lambda value: type(value) is str)
number = _Kind(
    "a number", "numbers", lambda value: type(value) is float or (type(value) is int and -_LARGEST <= value < _LARGEST)
)
flag = _Kind("true or false", "booleans", lambda value: type(value) is bool)
whole = _Kind("a whole number", "whole numbers", lambda value: type(value) is int and 0 <= value < _LARGEST)
anything = _Kind("anything", "values", lambda value: True)
scalar = _Kind(
    "a string, a number or a boolean", "strings, numbers and booleans", lambda value: type(value) in (str, int, float, bool)
)


def one_of(*values: JSON) -> Check:
    """One of these."""
    named = f"one of {', '.join(map(repr, values))}"
    return _Kind(named, named, lambda value: type(value) is str and value in values)


class listed:  # it is called as a function is
    """A list of such values; with a size, of so many."""

    def __init__(self, each: Check, size: int | None = None) -> None:
        self.each, self.size = each, size
        self.noun = "lists"
        self.one = f"a list of {'' if size is None else f'{size} '}{each.noun}"

    def __call__(self, value: JSON, what: str) -> None:
        if type(value) is not list or self.size not in (None, len(value)):
            raise wrong(what, self.one, value)
        for i, item in enumerate(value):
            try:
                self.each(item, f"number {i + 1} of them")
            except ValueError as error:
                raise ValueError(f"{what} must be {self.one}, and {error}") from None


class record:  # it is called as a function is
    """A dict with a value under each of these names, maybe under others that it ``may`` have, and no more unless ``more``."""

    noun = "dicts"

    def __init__(self, fields: dict[str, Check], may: dict[str, Check] | None = None, more: bool = False) -> None:
        self.fields, self.may, self.more = fields, may or {}, more

    def __call__(self, value: JSON, what: str) -> None:
        if type(value) is not dict:
            raise wrong(what, "a dict", value)
        lacks = [name for name in self.fields if name not in value]
        extra = [] if self.more else [name for name in value if name not in self.fields and name not in self.may]
        if lacks or extra:
            raise ValueError(f"{what} {'lacks' if lacks else 'has the unknown name'} {_shown((lacks or extra)[0])}")
        for name, check in (self.fields | self.may).items():
            if name in value:
                check(value[name], f"{what}: {name!r}")


class mapping:  # it is called as a function is
    """A dict of such values under any names."""

    noun = "dicts"

    def __init__(self, each: Check) -> None:
        self.each = each

    def __call__(self, value: JSON, what: str) -> None:
        if type(value) is not dict:
            raise wrong(what, "a dict", value)
        for name, item in value.items():
            self.each(item, f"{what}: {_shown(name)}")


class optional:  # it is called as a function is
    """Such a value, or null."""

    def __init__(self, check: Check) -> None:
        self.check, self.noun = check, check.noun

    def __call__(self, value: JSON, what: str) -> None:
        if value is not None:
            self.check(value, what)


def depth(value: JSON) -> int:
    """How many lists and dicts are within each other.

    >>> depth(1), depth([]), depth({"a": [1, {}]})
    (0, 1, 3)
    """
    level, found = [value], 0
    while level := [item for item in level if isinstance(item, (list, dict))]:
        found += 1
        level = [inner for item in level for inner in _inside(item)]
    return found


def _inside(value: JSON) -> Collection[JSON]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def wrong(what: str, wanted: str, value: JSON) -> ValueError:
    """What a check raises."""
    return ValueError(must_be(what, wanted, _shown(value)))


def _shown(value: JSON) -> str:
    told = ascii(value)
    return told if len(told) <= _SHOWN else f"{told[:_SHOWN]}…"
