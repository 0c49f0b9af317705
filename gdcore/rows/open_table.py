"""`open_table`: from paths and wishes to a table in files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdcore import checks, losses
from gdcore.messages import Message, Option
from gdcore.rows.arrow import TableError
from gdcore.rows.files.kept import Kept
from gdcore.rows.files.opening import open_source
from gdcore.rows.files.sources import Marks
from gdcore.rows.filetable import FileTable
from gdcore.rows.missing import Policy
from gdcore.rows.roles import roles_of
from gdcore.rows.split import split_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from gdcore._types import Path


def open_table(
    paths: Path | Iterable[Path],
    target: str | None = None,
    *,
    loss: str | losses.Loss | None = None,
    features: Iterable[str] | None = None,
    exclude: Iterable[str] = (),
    weights: str | None = None,
    categorical: Iterable[str] = (),
    dates: Iterable[str] = (),
    missing: str | Mapping[str, str] = "error",
    na: Iterable[str | float] = (),
    na_keep: Iterable[str] = (),
    unseen: str = "base",
    test_size: float = 0.0,
    seed: int = 0,
    split: str | None = None,
    stratify: bool = False,
    delimiter: str | None = None,
    decimal: str | None = None,
    comment: str | None = None,
    index: str = "drop",
    cache: Path | None = None,
    progress: Callable[[int], object] | None = None,
) -> FileTable:
    """A table in CSV, Parquet, Feather or .npy files, for `fit`, `spectrum` and ``predict``; it may be larger than memory.

    Numbers stay as they are, booleans become 0 and 1, text becomes categories, of up to 100 values or one for each
    1,000 rows: a column of X for each but the commonest. Text that is numbers in one writing only, as $1,200 or 70 kg or
    (12), becomes numbers, with a warning.

    Parameters
    ----------
    paths : path, or several
        Files whose columns are the same, or a folder of them. The columns of .npy files are named "0", "1", …. Of a folder of
        folders with names as ``year=2024``, these are columns too.
    target : str, optional
        The column that is to be predicted.
    loss : str or Loss, optional
        What it is to be trained with. Default, `FileTable.loss`: "logistic" for a target of two values, "softmax" for one
        of more that are text, else "mse".
    features : list of str, optional
        The columns that X is made of. Default: all others.
    exclude : list of str
        Columns that are left out.
    weights : str, optional
        The column of the rows' weights.
    categorical : list of str
        Columns of codes: their numbers are names, as those of postal districts are, and become categories.
    dates : list of str
        Columns of dates or times, of which numbers are made: year, month, weekday (0 on Mondays), hour, and days since 1970,
        as far as these differ from row to row. Text is read as 2024-12-31 or 2024-12-31 18:30.
    missing : str or dict
        What becomes of a missing value: "error", "drop", which leaves its row out; of numbers "mean" or "median", that of the
        rows that train, or "indicator", the mean, and a column of 0 and 1 beside it; of text "category", one of its own, which
        it is as well where numbers are filled and nothing else is said. Several for several kinds have commas between them:
        ``"median,drop"``. A dict of columns, ``{"age": "median"}``, or ``"age=median"`` in the text, says it of each by its
        name. But for "error", rows without a target are left out.
    na : list of str or numbers
        What else stands for a missing value, in text and as a number: ``["?", "-999"]``. A number is taken as its text.
    na_keep : list of str
        Texts that are values and no missing ones in CSV, where by custom they are: ``["NA"]`` for Namibia.
    unseen : {"base", "empty", "error"}
        What ``gdcore predict`` does, with a model that has been trained on this table, about a category that is not in it: it
        counts as its column's commonest, its row has no prediction, or it is an error.
    test_size : float
        The share of rows that do not train, drawn by ``seed``: they are the table's ``held_out``.
    seed : int
        ≥ 0.
    split : str, optional
        Which rows these are instead: "time:COLUMN", the last ones by a column of dates or numbers; "time", the last ones as
        they stand in the table; or a column that says train and test. That column, but for numbers, is no feature.
    stratify : bool
        Whether the share is drawn of each class of the target alike.
    delimiter, decimal : str
        Of CSV. Default: a comma (in .tsv files a tabulator), and a point. "blanks" are any number of blanks and tabulators,
        which are recognised where nothing else is possible. Where the decimal point is given, the other one of point and comma
        may stand between thousands: 1,234 has two meanings otherwise.
    comment : str, optional
        Lines of CSV that begin with it are none of the table: ``"#"``.
    index : {"drop", "keep"}
        What becomes of a data frame's index, which pandas writes into Parquet, and of first columns without a name in CSV,
        which are an index or row names: they are left out, unless they are asked for by their name, or kept.
    cache : path, optional
        A folder for the decoded columns, as large as the table, so that later passes do not decode again. Tables of up to
        128 MB are kept in memory, as they are decoded and as numbers.
    progress : callable, optional
        Called with the number of rows of each batch that has been read.

    Returns
    -------
    FileTable

    Raises
    ------
    TableError
        A ValueError: naming file, line and column where they are known, and what to do.
    TypeError
        Paths are none: a table in memory is trained with as it is, ``gdcore.fit(frame[columns], frame[target])``.

    Examples
    --------
    >>> import tempfile, gdcore
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with open(f"{folder}/rent.csv", "w") as file:
    ...         _ = file.write("area,town,rent\\n50,Ulm,500\\n70,Ulm,700\\n60,Bonn,800\\n80,Bonn,1000\\n20,Ulm,200\\n")
    ...     table = gdcore.open_table(f"{folder}/rent.csv", "rent")
    ...     run = gdcore.fit(table)
    >>> dict(zip(table.names, run.model.weights.round(6).tolist())), bool(abs(run.model.bias) < 1e-6)
    ({'area': 10.0, 'town=Bonn': 200.0}, True)
    """
    given = None if loss is None else losses.get(loss)
    policy = Policy.of(missing)
    checks.one_of(unseen, "unseen", ("base", "empty", "error"))
    checks.one_of(index, "index", ("drop", "keep"))
    test_size, seed = checks.number(test_size, "test_size", below=1), checks.integer(seed, "seed", 0)
    for name, column in (("target", target), ("weights", weights), ("split", split)):
        checks.optional(checks.text, column, name, "the name of a column")
    lists = {"exclude": exclude, "categorical": categorical, "dates": dates, "features": () if features is None else features}
    named = {name: checks.texts(names, name) for name, names in lists.items()}
    source = open_source(paths, delimiter, decimal, Marks.of(na, na_keep), comment)
    roles, notes = roles_of(
        source, target, given, policy, unseen, index, features=named["features"], exclude=named["exclude"], weights=weights,
        codes=named["categorical"], moments=named["dates"], split=split,
    )  # fmt: skip
    kept = Kept(source, roles.read, cache)
    table = FileTable(kept, None if target is None else split_of(split, kept, test_size, seed, stratify, target))
    table.notes += [*source.remarks, *notes]
    table.progress = progress
    table.settle(roles)
    if stratify and not table.labels:
        what = " keeps the shares of classes, and the target is numbers; leave it out"
        raise TableError(Message(f"{source.label}: ", Option("stratify", True), what))
    return table
