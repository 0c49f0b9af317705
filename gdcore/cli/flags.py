"""The library's messages in the words of the command line: its arguments are options that are written with flags."""

from __future__ import annotations

import csv
import functools
import io
import shlex

from gdcore.cli.options import parser
from gdcore.messages import Message, Option, said

_ALSO = {"sample_weight": "weights"}
"""Arguments that have another name in `gdcore.fit` than in `gdcore.open_table`, whose names the options have."""
_KEYS = {"\t": "tab"}
"""Characters that the command line calls by a name."""


@functools.cache
def _flags() -> dict[str, str]:
    return parser().flags()


def told(message: str) -> str:
    """A message in one line, with options as they are written here.

    >>> told(Message(Option("batch_size"), " must be at least 1, found 0; ", Option("lr", "auto"), " chooses"))
    '--batch-size must be at least 1, found 0; --lr auto chooses'
    >>> told("column lr='auto' has no value")
    "column lr='auto' has no value"
    """
    text = message.written(written) if isinstance(message, Message) else message
    return " ".join(line.strip() for line in text.split("\n"))


def of(error: BaseException) -> str:
    """What an error or a warning says, `told`."""
    return told(said(error))


def written(option: Option) -> str:
    """An argument as an option; as Python has it where the command line has none for it.

    >>> written(Option("exclude", ["a", "b c"])), written(Option("stratify", True)), written(Option("backend", "reference"))
    ("--exclude 'a,b c'", '--stratify', "backend='reference'")
    """
    flag = _flags().get(_ALSO.get(option.name, option.name))
    if flag is None:
        return str(option)
    return flag if option.value is ... or option.value is True else f"{flag} {_value(option.value)}"


def _value(value: object) -> str:
    """As a shell takes it; what is no word stands in quotation marks.

    >>> _value(0.01), _value(None), _value(","), _value("\\t"), _value(["a, b", "c"])
    ('0.01', 'none', "','", 'tab', '\\'"a, b",c\\'')
    """
    if isinstance(value, list):
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(value)
        value = line.getvalue()
    text = "none" if value is None else _KEYS.get(value, value) if isinstance(value, str) else f"{value:g}"
    quoted = shlex.quote(text)
    return quoted if quoted != text or any(map(str.isalnum, text)) else f"'{text}'"
