"""Texts of the user's on a page: nothing in them is a tag, and nothing that is not seen changes what is."""

from __future__ import annotations

import html


def escaped(text: str) -> str:
    """`visible`, for the text and the attributes of HTML.

    >>> escaped("<b> & co")
    '&lt;b&gt; &amp; co'
    """
    return html.escape(visible(text), quote=True)


def visible(text: str) -> str:
    """Control characters and lone surrogates, which HTML forbids, and marks that turn the direction of what follows become
    signs that are seen.

    >>> visible("a\\x00b")
    'a␀b'
    """
    return "".join(map(_seen, str(text)))


def _seen(c: str) -> str:
    code = ord(c)
    if code < 32:
        return chr(0x2400 + code)  # ␀ … ␟
    if 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069:
        return f"[U+{code:04X}]"
    return "\ufffd" if 127 <= code < 160 or 0xD800 <= code < 0xE000 or code & 0xFFFE == 0xFFFE else c
