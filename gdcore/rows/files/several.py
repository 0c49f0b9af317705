"""Files with the same columns, read as one table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdcore.rows import dates
from gdcore.rows.arrow import TableError, arrow
from gdcore.rows.files.sources import Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gdcore._types import RecordBatch


class Several(Source):
    """Files with the same columns, one after the other."""

    def __init__(self, sources: Sequence[Source], label: str | None = None) -> None:
        self.sources = sources
        first = sources[0]
        self.label = label or f"{first.label} and {len(sources) - 1} more"
        self._join_indexes()
        self.kinds = dict(first.kinds)
        self.size = sum(source.size for source in sources)
        self.inferred = all(source.inferred for source in sources)
        self.decimal, self.declared, self.marks = first.decimal, first.declared, first.marks
        self.zeros = {name: text for source in reversed(sources) for name, text in source.zeros.items()}
        for source in sources[1:]:
            for name in sorted({*first.kinds} ^ {*source.kinds}):
                has, lacks = (first, source) if name in first.kinds else (source, first)
                raise TableError(
                    f"{lacks.label} has no column {name}, and {has.label} has one; tables that are read as one need the "
                    "same columns"
                )
            for name, kind in source.kinds.items():
                common = _common(self.kinds[name], kind, self.inferred)
                if common is None:
                    raise TableError(
                        f"{source.label}: column {name} is {kind}, and {self.kinds[name]} in the files before; "
                        "make it the same in all of them"
                    )
                self.kinds[name] = common
        for source in sources:
            source.kinds = self.kinds

    def _join_indexes(self) -> None:
        """An index that only some of the files have is no column."""
        index = dict.fromkeys(name for source in self.sources for name in source.index)
        self.index = [name for name in index if all(name in source.kinds for source in self.sources)]
        self.remarks = [remark for source in self.sources for remark in source.remarks]
        for name in index.keys() - {*self.index}:
            self.remarks.append(f"{self.label}: column {name} is the rows' index in some of the files only, and is left out")
            for source in self.sources:
                source.kinds = {other: kind for other, kind in source.kinds.items() if other != name}

    @property
    def rows(self) -> int | None:  # type: ignore[override]
        counts = [source.rows for source in self.sources]
        return None if None in counts else sum(count for count in counts if count is not None)

    def look(self, names: list[str]) -> None:
        for source in self.sources:
            source.look(names)

    def batches(self, names: list[str]) -> Iterator[RecordBatch]:
        pa = arrow()
        for source in self.sources:
            for batch in source.batches(names):
                for j, name in enumerate(names):  # integers of one file may be wider than those of the next
                    if self.kinds[name] == "integer" and batch.column(j).type != pa.float64():
                        batch = batch.set_column(j, name, batch.column(j).cast(pa.float64(), safe=False))
                yield batch

    def place(self, row: int) -> str:
        for source in self.sources:
            if source.rows is None or row < source.rows:  # rows are not known of the file that is being read
                return source.place(row)
            row -= source.rows
        raise IndexError(row)


def _common(one: str, other: str, inferred: bool) -> str | None:
    """The kind of a column that is of one kind in one file and of another in the next; None: there is none."""
    if one == other:
        return one
    for narrow, wides in (("empty", ("number", "integer", "boolean", "text", *dates.KINDS)), ("integer", ("number",))):
        for wide in wides:
            if {one, other} == {wide, narrow}:
                return wide
    return "text" if inferred else None  # a number among text is found by its place, later
