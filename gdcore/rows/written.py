"""Numbers as people write them: 1,234.50 and EUR 450, 70 kg, 5 %, (123) and 123-, with blanks, apostrophes or a true minus.

What has one reading only is read; what has two is told.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gdcore.messages import Message, Option

if TYPE_CHECKING:
    from collections.abc import Collection

MEND = "mend it, or leave out its row or its column"
_PLAIN = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|(?i:inf|infinity|nan))")
_ALIKE = str.maketrans(
    {"\u2212": "-", "\u2019": "'", "\u02bc": "'"} | dict.fromkeys("\t\u00a0\u2007\u2008\u2009\u200a\u202f", " ")
)
_MONEY = """
AED ARS AUD BGN BRL CAD CHF CLP CNY COP CZK DKK EGP EUR GBP HKD HUF IDR ILS INR ISK JPY KRW MAD MXN MYR NGN NOK NZD PEN PHP PKR
PLN RON RSD RUB SAR SEK SGD THB TRY TWD UAH USD VND ZAR Fr Kč R$ Rs US$ kr zł"""
_MEASURES = """
% ‰ ° °C °F A B C F GB GHz Hz J K KB Kg L M MB MHz MW MWh Mio Mrd N PS Pa T TB V W Wh bar bn cal cc ccm cl cm cm² cm³ d days dl
ft g h ha hours hp hPa hrs in inch k kB kHz kJ kN kPa kV kW kWh kcal kg km km/h km² kph kt l lb lbs m m/s mA mV mg mi min mins
ml mm mol months mph mpg ms m² m³ nm oz ppb ppm pt px rpm s sec t yd years yr yrs"""
_CURRENCIES, _UNITS = frozenset(_MONEY.split()), frozenset(_MEASURES.split())
_KNOWN = _CURRENCIES | _UNITS
_LONGEST = 64  # characters of a number
_SIGN = r"(?P<sign{0}>[+-]?)"
_WRITTEN = re.compile(
    rf"(?P<open>\()? *{_SIGN.format(1)} *(?P<before>[^\d\s.,'()+-][^\d\s,'()+-]{{0,3}}?)?\.? *{_SIGN.format(2)} *"
    r"(?P<body>[0-9](?:[0-9., '_]*[0-9])?[.,]?|[.,][0-9]+)(?P<power>[eE][+-]?[0-9]+|[dD][+-][0-9]+)?"
    r" *(?P<after>[^\W\d_]{1,12}(?:/[^\W\d_]{1,3})?|°?[^\W\d_]|[^\w\s.,'()+-])? *(?P<minus>-)? *(?P<close>\))?"
)


def is_number(text: str, decimal: str = ".") -> bool:
    """Whether the text is a number as files have it.

    >>> [is_number(text) for text in ("-1.5e3", ".5", "1,5", "0x10", "١")]
    [True, True, False, False, False]
    """
    if decimal != ".":
        text = text.translate({ord("."): decimal, ord(decimal): "."})
    return _PLAIN.fullmatch(text) is not None


@dataclass(frozen=True)
class Writing:
    """How the numbers of a column are written.

    Attributes
    ----------
    decimal : str
        The decimal point. Of "." and "," the other one may stand between thousands.
    unit : str
        What stands before or behind each number; "" for nothing.
    """

    decimal: str = "."
    unit: str = ""

    def number(self, text: str) -> float | None:
        """The number; None where it is none.

        >>> [Writing().number(text) for text in ("1,234.5", "1 234", "(12)", "12-", "\u22123", "12,5")]
        [1234.5, 1234.0, -12.0, -12.0, -3.0, None]
        >>> Writing(",", "kg").number("1.250,5 kg"), Writing().number("5 kg")
        (1250.5, None)
        """
        return _number(text, self.decimal, self.unit)


@functools.lru_cache(1 << 16)
def _number(text: str, decimal: str, unit: str) -> float | None:
    match = _match(text)
    if match is None or _unit(match) not in (unit, ""):
        return None
    digits = _digits(match["body"], decimal)
    if digits is None:
        return None
    number = float(digits + (match["power"] or "").lower().replace("d", "e"))
    negative = "-" in (match["sign1"], match["sign2"], match["minus"]) or match["open"] is not None
    return -number if negative else number


def _match(text: str) -> re.Match[str] | None:
    """The parts of a number, where at most one sign and one unit are around it."""
    match = _WRITTEN.fullmatch(text.translate(_ALIKE).strip()) if len(text) <= _LONGEST else None
    if match is None or (match["open"] is None) != (match["close"] is None):
        return None
    signs = sum(bool(match[name]) for name in ("sign1", "sign2", "minus", "open"))
    before, after = match["before"] or "", match["after"] or ""
    money = before in _CURRENCIES or all(unicodedata.category(character) == "Sc" for character in before)
    measure = after[-1:].isalnum() or after in _UNITS or all(unicodedata.category(character) == "Sc" for character in after)
    return match if signs < 2 and money and measure and not (before and after) else None


def _unit(match: re.Match[str]) -> str:
    return match["before"] or match["after"] or ""


def _digits(body: str, decimal: str) -> str | None:
    """The digits with a point; None where what is between them are no thousands."""
    whole, _, rest = body.partition(decimal)
    between = {character for character in whole if not character.isdigit()}
    if rest and not rest.isdigit():
        return None
    if between and (len(between) > 1 or not re.fullmatch(r"[0-9]{1,3}(?:[^0-9][0-9]{3})+", whole) or whole.startswith("0")):
        return None
    return re.sub("[^0-9]", "", whole) + "." + rest if whole or rest else None


def writing(values: Collection[str], decimal: str = ".", declared: bool = False) -> Writing | None:
    """How all these values are written as numbers; None where they are not, or where there are two readings.

    Parameters
    ----------
    values : collection of str
    decimal : str
        The decimal point of the table.
    declared : bool
        Whether somebody said that it is. Where nobody did, "1,234" has two readings.

    Examples
    --------
    >>> writing(["$5", "$1,200.50"]), writing(["1,234", "5,678"]), writing(["1,234", "5,678"], declared=True)
    (Writing(decimal='.', unit='$'), None, Writing(decimal='.', unit=''))
    >>> writing(["70 kg", "150 lb"]), writing(["Room 1", "Room 2"])
    (None, None)
    """
    unit: str | None = None
    for value in values:
        match = _match(value)
        if match is None or (unit is not None and _unit(match) != unit):
            return None
        unit = _unit(match)
    if unit is None:
        return None
    found = Writing(decimal, unit)
    if any(found.number(value) is None for value in values):
        return None
    if not declared and any("," in value for value in values):
        other = Writing(",", unit)
        if all(other.number(value) is not None for value in values):
            return None
    return found


def advice(text: str, decimal: str = ".") -> str | None:
    """What to do about a text that was meant as a number, seen alone; None where it was not, or is one.

    >>> advice("1,5"), advice("=5"), advice("Room 1")
    ("a decimal comma needs decimal=','", 'take out all but digits and the decimal point', None)
    """
    if is_number(text, decimal):
        return None
    if re.fullmatch(r"[+-]?0[xX][0-9a-fA-F]+", text):
        return "write hexadecimal numbers as decimal ones"
    match = _match(text.strip().lstrip("=~≈<>≤≥").rstrip("+"))
    if match is None or (_unit(match) not in _KNOWN and _unit(match).isalnum()):
        return None
    body, other = match["body"], "," if decimal == "." else "."
    bare = "take out all but digits and the decimal point"
    if _digits(body, decimal) is None:
        if _digits(body, other) is None:
            return None
        if decimal != ".":
            return Message("with ", Option("decimal", decimal), f" a point stands between thousands only; {MEND}")
        need = "points between thousands need " if body.count(".") > 1 else "a decimal comma needs "
        return Message(need, Option("decimal", ","))
    if decimal == "." and "," in body and _digits(body, other) is not None:
        comma, point = Option("decimal", ","), Option("decimal", ".")
        return Message("a decimal comma needs ", comma, ", and commas between thousands need ", point)
    return f"write the whole column in one unit, or {bare}" if _unit(match) else bare
