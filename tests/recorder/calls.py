"""All calls, by their names."""

from __future__ import annotations

from . import arrays, errors, faces, tables

CALLS = {}
for _module in (arrays, errors, tables, faces):
    for _name, _call in _module.calls():
        assert _name not in CALLS, _name
        CALLS[_name] = _call
