"""Rows in files, in tables of one's own, in Dask."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

import gdcore
from gdcore.tables import Piece, Table

from .arrays import NAMES, data
from .record import asked


def calls():
    yield from _files()
    yield from _wrong()
    yield from _pieces()
    yield from _dask()


def homes(n=160):
    """A table with columns of all kinds, as a data frame."""
    import pandas as pd

    rng = np.random.default_rng(0)
    table = pd.DataFrame({"area": (50 + 20 * rng.normal(size=n)).round(3), "rooms": rng.integers(1, 6, n)})
    table["town"] = rng.choice(["Bonn", "Kiel", "Ulm"], n, p=[0.2, 0.3, 0.5])
    table["new"] = rng.random(n) < 0.3
    signal = 10 * table.area + 50 * table.rooms + 200 * (table.town == "Bonn") + 100 * table.new
    table["price"] = (signal + 20 * rng.normal(size=n)).round(2)
    table["cheap"] = np.where(signal + 100 * rng.normal(size=n) < signal.median(), "yes", "no")
    table["kind"] = rng.integers(0, 3, n)
    table["weight"] = rng.integers(0, 4, n)
    return table


def gaps():
    """The same with missing values."""
    table = homes()
    table.loc[3:9, "area"] = np.nan
    table.loc[8:20, "town"] = None
    table.loc[30:31, "price"] = np.nan
    return table


_REST = ["cheap", "kind", "weight"]


def opened(frame, name="homes.csv", target="price", train=True, exclude=_REST, write=None, **options):
    """The table of a frame that was written to a file, and what it trains."""
    frame = frame()
    if write is not None:
        write(frame)
    elif name.endswith(".parquet"):
        frame.to_parquet(name)
    else:
        frame.to_csv(name, index=False)
    table = gdcore.open_table(name, target, exclude=exclude, **options)
    run = gdcore.fit(table, loss=table.loss, epochs=40) if train else None
    held = table.held_out
    return {
        "names": table.names,
        "labels": table.labels,
        "loss": table.loss.name,
        "rows": table.rows,
        "dropped": table.dropped,
        "notes": table.notes,
        "card": table.card(),
        "run": run and asked(run),
        "predictions": None if run is None or held is None else run.model.predict(held),
    }


def folder(frame):
    """Two files in a folder."""
    Path("folder").mkdir()
    frame[:70].to_csv("folder/a.csv", index=False)
    frame[70:].to_csv("folder/b.csv", index=False)


def _files():
    many = {
        "csv": {},
        "parquet": {"name": "homes.parquet"},
        "folder": {"name": "folder", "write": folder},
        "test rows": {"test_size": 0.25, "seed": 3},
        "two classes": {"target": "cheap", "exclude": ["price", "weight"]},
        "three classes": {"target": "town"},
        "codes": {"exclude": ["cheap"], "categorical": ["kind"]},
        "weights": {"exclude": ["cheap", "kind"], "weights": "weight"},
        "features": {"features": ["rooms", "town"], "exclude": []},
        "semicolons": {
            "write": lambda frame: frame.to_csv("homes.csv", index=False, sep=";", decimal=","),
            "delimiter": ";",
            "decimal": ",",
        },
        "index": {"write": lambda frame: frame.to_csv("homes.csv")},
        "index kept": {"write": lambda frame: frame.to_csv("homes.csv"), "index": "keep"},
        "parquet, index": {
            "name": "homes.parquet",
            "write": lambda frame: frame.set_index("kind").to_parquet("homes.parquet"),
            "exclude": ["cheap", "weight"],
        },
        "cache": {"cache": "."},
        "na": {"na": ["Ulm"], "missing": "drop"},
        "a loss": {"loss": gdcore.losses.huber(5.0)},
        "dollars": {
            "write": lambda frame: frame.assign(price=frame.price.map("${:,.2f}".format)).to_csv("homes.csv", index=False)
        },
    }
    for name, options in many.items():
        yield f"table {name}", partial(opened, homes, **options)
    for missing in ("drop", "mean"):
        for name in ("homes.csv", "homes.parquet"):
            yield f"table {name}, missing {missing}", partial(opened, gaps, name, missing=missing, test_size=0.2)

    def npy(order):
        X, Y, _ = data()
        np.save("rows.npy", np.asarray(np.c_[X, Y], order=order))
        table = gdcore.open_table("rows.npy", "4")
        return [table.names, asked(gdcore.fit(table)), asked(gdcore.fit(table, loss="mae", l2=0.1)), gdcore.spectrum(table)]

    for order in ("C", "F"):
        yield f"table npy, {order}", partial(npy, order)

    def whole(**options):
        homes().to_csv("homes.csv", index=False)
        table = gdcore.open_table("homes.csv", "price", exclude=_REST)
        X, Y, _ = table.read()
        return [gdcore.fit(table, **options), gdcore.fit(X, Y, **options)]

    yield "table as arrays: batches", partial(whole, lr=1e-5, batch_size=20, epochs=3)
    yield "table as arrays: quantile", partial(whole, loss="quantile")


def _wrong():
    def spoiled(text):
        def write(frame):
            lines = frame.to_csv(index=False).splitlines()
            Path("homes.csv").write_text("\n".join([*lines[:50], *text, *lines[50:]]) + "\n")

        return write

    many = {
        "no such column": {"target": "rent"},
        "no such column, close": {"target": "prise"},
        "no such feature": {"features": ["aera"]},
        "missing": {"frame": gaps},
        "missing, parquet": {"frame": gaps, "name": "homes.parquet"},
        "two roles": {"features": ["price"]},
        "missing text": {"missing": "zero"},
        "test_size": {"test_size": 1.0},
        "unseen": {"unseen": "drop"},
        "index": {"index": "all"},
        "short line": {"write": spoiled(["1,2,3"])},
        "long line": {"write": spoiled(["1,2,3,4,5,6,7,8,9,10"])},
        "a word": {"write": spoiled(["1,two,Ulm,True,5,yes,1,1"])},
        "infinite": {"write": spoiled(["inf,2,Ulm,True,5,yes,1,1"])},
        "a quote": {"write": spoiled(['1,2,"Ulm,True,5,yes,1,1'])},
        "empty file": {"write": lambda frame: Path("homes.csv").write_text("")},
        "no rows": {"write": lambda frame: frame[:0].to_csv("homes.csv", index=False)},
        "no file": {"write": lambda frame: None},
        "an ending": {"name": "homes.xlsx", "write": lambda frame: Path("homes.xlsx").write_text("x")},
        "no parquet": {"name": "homes.parquet", "write": lambda frame: Path("homes.parquet").write_text("PAR1")},
        "empty folder": {"name": "folder", "write": lambda frame: Path("folder").mkdir()},
        "text weights": {"weights": "town"},
        "other columns": {
            "name": "folder",
            "write": lambda frame: [folder(frame), Path("folder/c.csv").write_text("a,b\n1,2\n")],
        },
        "a loss": {"target": "town", "loss": "mse"},
        "logistic of three": {"target": "town", "loss": "logistic"},
        "nothing left": {"features": []},
        "twice": {"write": lambda frame: Path("homes.csv").write_text("a,a,price\n1,2,3\n4,5,6\n")},
    }
    for name, options in many.items():
        yield f"table, wrong: {name}", partial(opened, **{"frame": homes} | options)


class Cut(Table):
    """Arrays in pieces, as a user's own table brings them."""

    def __init__(self, X, Y, s):
        self.X, self.Y, self.s = X, Y, s
        self.names, self.target_shape = [f"x{i}" for i in range(X.shape[1])], Y.shape[1:]
        self.classes, self.weighted = 3, s is not None

    def blocks(self):
        for low in range(0, len(self.X), 3700):
            here = slice(low, low + 3700)
            Y = self.Y[here]
            yield Piece(self.X[here], Y.reshape(len(Y), -1), None if self.s is None else self.s[here])


def _pieces():
    def pieces(loss, **options):
        X, Y, s = data(loss, 12_000, 30)
        return asked(gdcore.fit(Cut(X, Y, s), loss=loss, **options))

    for loss in NAMES:
        yield f"pieces: {loss}", partial(pieces, loss, l2=1e-3, epochs=15)
    yield "pieces: textbook", partial(pieces, "logistic", lr=0.01, epochs=3)
    yield "pieces: batches", partial(pieces, "mse", batch_size=32, lr=0.001)
    yield "pieces: gram", partial(pieces, "mse", method="gram", lr=0.01, epochs=30)


def _dask():
    def parts(loss, frame=False, **options):
        import dask.array as da
        import dask.dataframe as dd

        import gdcore.distributed

        X, Y, s = data(loss, 900, 5)
        if frame:
            import pandas as pd

            table = dd.from_pandas(pd.DataFrame(np.c_[X, Y, s], columns=list("abcdeys")), npartitions=3)
            X, Y, s = table[list("abcde")], table["y"], table["s"]
        else:
            X, Y, s = (da.from_array(array, chunks=(250, *array.shape[1:])) for array in (X, Y, s))
        run = gdcore.distributed.fit(X, Y, loss=loss, sample_weight=s, n_threads=1, **options)
        return [asked(run), np.asarray(gdcore.distributed.predict(run, X).compute()), gdcore.distributed.spectrum(X)]

    yield "dask: mse", partial(parts, "mse")
    yield "dask: mse, textbook", partial(parts, "mse", lr=0.01, epochs=5)
    yield "dask: logistic, frames", partial(parts, "logistic", frame=True, l2=1e-3)
    yield "dask: softmax", partial(parts, "softmax", l2=1e-2)
    yield "dask: mae", partial(parts, "mae", epochs=20)
    yield "dask: wrong, batches", partial(parts, "mse", batch_size=32)
    yield "dask: wrong, network", partial(parts, "mse", model=gdcore.MLP([5, 1]))
