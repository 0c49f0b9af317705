"""``gdcore lesson``: the lessons, and sheets to compute by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdcore.cli.terminal import say
from gdcore.lessons.sheets import LESSONS, sheet

if TYPE_CHECKING:
    from argparse import Namespace


def run(options: Namespace) -> int:
    """A sheet, or what there is."""
    number: int | None = options.number
    if options.seed is not None and not options.sheet:
        raise ValueError("--seed is of a sheet: give --sheet too")
    if number is None:
        if options.sheet:
            raise ValueError(f"--sheet needs the number of a lesson, 1 to {len(LESSONS)}, as in gdcore lesson 1 --sheet")
        for each in LESSONS:
            _tell(each)
        return 0
    if number not in LESSONS:
        raise ValueError(f"there are lessons 1 to {len(LESSONS)}, found {number}")
    if options.sheet:
        for line in sheet(number, options.seed or 0).text().splitlines():
            say(line)
    else:
        _tell(number)
    return 0


def _tell(number: int) -> None:
    title, what, _ = LESSONS[number]
    say(f"{number}. {title}: {what}")
    say(f"   an epoch to compute by hand: gdcore lesson {number} --sheet --seed 1")
