"""``gdcore explore``: a page on which gradient descent on a column of a table is watched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdcore.cli import flags, outputs, usable
from gdcore.cli.terminal import say
from gdcore.report.explore import explore
from gdcore.rows.files.folders import files_of

if TYPE_CHECKING:
    from argparse import Namespace


def run(options: Namespace) -> int:
    """Writes the page."""
    read = dict.fromkeys(files_of(options.data), "a file of the table")
    replaced = outputs.check({"--out": options.out}, read, {"--out": (".html", ".htm")})
    table, notes = usable.opened(options)
    explore(table, None, options.out, column=options.column)
    if options.quiet:
        return 0
    for note in notes:
        say(f"not used: {flags.told(note)}")
    say(f"page: {outputs.told(options.out, replaced)}")
    return 0
