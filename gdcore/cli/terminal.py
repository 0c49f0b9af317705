"""What is said in a terminal: lines that no text, whoever wrote it, can make more of than lines."""

from __future__ import annotations

import json


def harmless(text: str) -> str:
    """The text for a terminal: what would move its cursor, change its title or begin a line, whoever named a column so, is
    shown as Python writes it.

    >>> print(harmless("a\\x1b[2Jb\\nc é"))
    a\\x1b[2Jb\\nc é
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def say(line: str = "") -> None:
    """Prints one line, and no more than one, whatever stands in it."""
    print(harmless(line))


def say_json(facts: object) -> None:
    """Prints facts as JSON. Control characters are escaped, which leaves their meaning."""
    text = json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False)
    print("\n".join(line if line.isprintable() else "".join(map(_escaped, line)) for line in text.split("\n")))


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    return f"\\u{ord(character):04x}" if ord(character) < 1 << 16 else json.dumps(character)[1:-1]
