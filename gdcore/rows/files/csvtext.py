"""Of texts in CSV files: which mean that a value is missing, which are damaged, what was meant by the rest."""

from __future__ import annotations

from gdcore.messages import Message, Option
from gdcore.rows.files.sources import shortened
from gdcore.rows.written import MEND, advice, is_number

LONGEST = 1 << 26  # bytes of a line, at most
MISSING = frozenset(
    [
        "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "N/A", "NA", "NULL", "NaN",
        "n/a", "nan", "null",
    ]
)  # fmt: skip
"""What stands for a missing value: pyarrow's list."""
_LIKE_MISSING = frozenset(
    [
        "?", "??", "-", "--", ".", "..", "...", "*", "None", "none", "missing", "unknown", "\\N", "#DIV/0!", "n.a.", "N.A.",
        "nil",
    ]
)  # fmt: skip


def meant_as_number(text: str, decimal: str = ".") -> str | None:
    """What to do about a text that is no number but was meant as one; None where it was not, or is a number.

    >>> meant_as_number("1,5"), meant_as_number(" NA"), meant_as_number("five")
    ("a decimal comma needs decimal=','", 'a missing value has no blanks around it', None)
    """
    if not is_number(text, decimal) and text.strip() in MISSING:
        return "a missing value has no blanks around it"
    return advice(text, decimal)


def not_that(text: str, wanted: str, decimal: str = ".") -> str:
    """That a value is not what its column has, and what to do."""
    meant = meant_as_number(text, decimal) if wanted == "a number" else None
    if meant is None and text.strip() in _LIKE_MISSING:
        meant = Message(Option("na", [text.strip()]), " says that it is a missing value")
    return Message(f"{shortened(text)!r} is not {wanted}; ", meant or MEND)


def reason(why: str) -> str:
    if "field larger" in why:
        return (
            f"a value longer than {LONGEST >> 20} MB, perhaps because a quotation mark that opens here is never closed; mend "
            "the line, or save the table as Parquet"
        )
    if "unexpected end" in why:
        return "a quotation mark that opens here is never closed; close it"
    if "expected after" in why:
        return "more text follows a quotation mark that closes; a quotation mark inside of a value is written twice"
    return f"{why}; mend the line"


def damaged(text: str) -> bool:
    return any("\udc80" <= character <= "\udcff" for character in text)
