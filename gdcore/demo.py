"""The demo: NIST's Norris data, learned to the certified digits, the speed, and the Celsius lesson, honestly."""

from __future__ import annotations

import json
import math
import os
from importlib.resources import files
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

import gdcore
from gdcore import drawing, threads
from gdcore.backends import kernel
from gdcore.messages import Message, Option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from gdcore._types import Floats

CELSIUS = np.arange(0.0, 101.0, 20.0)[:, None]
FAHRENHEIT = 1.8 * CELSIUS[:, 0] + 32.0


LESSON = gdcore.Linear([0.4967], bias=-0.1383)
"""Where the Celsius lesson starts."""


def run(plot: str | None = None) -> None:
    """Prints the demo; draws it to the file ``plot`` where one is named."""
    if plot is not None:
        if not plot.lower().endswith((".png", ".svg", ".pdf")):
            raise ValueError(Message(Option("plot", plot), ": the file's name must end in .png, .svg or .pdf"))
        figure, axes = drawing.figure(2, "gdcore demo", rows=2)  # before the work, for matplotlib may be missing
    norris = json.loads((files("gdcore.data") / "norris.json").read_text())
    x, y = np.array(norris["x"])[:, None], np.array(norris["y"])
    line = _norris(x, y, norris["certified"]["coefficients"])
    _throughput()
    lessons = _celsius()
    if plot is not None:
        drawing.predictions(x, y, line, gdcore.Linear([0.0], 0.0), ax=axes[0])
        axes[0].set(title="Norris: ozone monitor against reference")
        _draw_celsius(lessons, list(axes[1:]))
        there = " (replaced)" if os.path.exists(plot) else ""
        figure.savefig(plot)
        print(f"\nPicture: {plot}{there}")


def _whole(run: gdcore.Run) -> gdcore.Run:
    """The run; Ctrl-C, which ends a fit, ends the demo too."""
    if run.status == "interrupted":
        raise KeyboardInterrupt
    return run


def _norris(x: Floats, y: Floats, certified: list[float]) -> gdcore.Linear:
    spectrum = gdcore.spectrum(x)
    lr = 1 / spectrum.largest
    print("1. A line through real data")
    print("   NIST's Norris data: 36 readings of an ozone monitor (y) against a reference monitor (x), as they stand.")
    print(f"   The textbook's descent at lr = 1/λmax = {lr:.3g} needs {spectrum.epochs_to(1e-3, lr):,} epochs for 3 digits")
    print('   (by formula, method="exact", they cost nothing). The default call, gdcore.fit(x, y), sees the data as round.\n')
    print(f"   {'':12}  {'epoch':>11}  {'loss':>14}  {'gradient norm':>13}  {'weight':>12}  {'bias':>12}")

    def trace(epoch: gdcore.Epoch, name: str = "") -> None:
        weight, bias = epoch.model.weights[0], float(epoch.model.bias)
        print(
            f"   {name:12}  {epoch.epoch:11,d}  {epoch.loss:14.8g}  {epoch.gradient_norm:13.3g}  {weight:12.6f}  {bias:12.6f}"
        )

    for epochs in (1, 10, 1_000, 100_000, 10_000_000, 100_000_000):
        run = _whole(gdcore.fit(x, y, lr=lr, epochs=[epochs], method="exact"))
        trace(gdcore.Epoch(epochs, run.loss, math.nan, run.gradient_norm, run.model, None), "textbook")
    began = perf_counter()
    run = _whole(gdcore.fit(x, y, callback=lambda epoch: trace(epoch, "default call")))
    seconds = perf_counter() - began
    print(f"\n   {'':12}  {'learned':>22}  {'certified by NIST':>22}  digits that agree")
    for name, learned, wanted in (
        ("intercept", float(run.model.bias), certified[0]),
        ("slope", float(run.model.weights[0]), certified[1]),
    ):
        print(f"   {name:12}  {learned:22.17g}  {wanted:22.15g}  {_digits(learned, wanted):.1f}")
    print(f"   The default call has {_words(run)}.\n   It took {1e3 * seconds:.1f} ms, printing included.")
    model: gdcore.Linear = run.model
    return model


def _words(run: gdcore.Run) -> str:
    """How a run ended and went."""
    ended = "converged" if run.status == "converged" else f"ended ({run.status})"
    how = {"stream": "over the rows", "gram": "over their second moments", "exact": "by formula"}[run.method]
    proof = "nothing is proved" if run.gap is None else f"the best loss is proved to be at most {run.gap:.0e} lower"
    return f"{ended} after {run.epochs} epoch{'' if run.epochs == 1 else 's'} {how}:\n   {proof}"


def _digits(value: float, certified: float) -> float:
    error = abs(value - certified) / abs(certified)
    return 15.0 if error == 0 else min(15.0, -math.log10(error))


def _throughput(rows: int = 500_000, columns: int = 50) -> None:
    print("\n2. The textbook's loop on a large batch, every epoch over all rows")
    rng = np.random.default_rng(0)
    X = rng.random((rows, columns))
    Y = X @ rng.random(columns)
    seconds = {}
    for backend, epochs in (("reference", 10), ("kernel", 30)):
        # As the user waits for them; "stream", for else gdcore would find a cheaper way to the same epochs.
        run = _whole(gdcore.fit(X, Y, lr=0.01, epochs=epochs, method="stream", backend=backend))
        seconds[backend] = float(np.median(run.history.seconds))
    for backend, per_epoch in seconds.items():
        name = "NumPy" if backend == "reference" else f"kernel ({kernel.variant()})"
        print(
            f"   {name:16}  {rows:,} × {columns} float64: {1e3 * per_epoch:6.2f} ms an epoch, "
            f"{rows / per_epoch / 1e6:6.1f} million samples/s, {X.nbytes / per_epoch / 1e9:5.1f} GB/s"
        )
    print(f"   {seconds['reference'] / seconds['kernel']:.1f} times NumPy, on {threads.resolve(None)} thread(s)")


def _celsius() -> dict[str, gdcore.Run]:
    print("\n3. The Celsius lesson, honestly")
    print("   A widely copied lesson fits °F = w·°C + b to six rows (0, 20, … 100 °C) and says that 1,000 epochs at")
    print("   lr = 0.0001 from w = 0.4967, b = -0.1383 learn w = 1.799, b = 31.96. What the spectrum says before training:\n")
    spectrum = gdcore.spectrum(CELSIUS)
    limit, best, tol = spectrum.lr_limit, spectrum.lr_best, 0.001 / 32
    slow, needed = spectrum.epochs_to(tol, lr=1e-4), spectrum.epochs_to(tol)
    assert isinstance(slow, int)
    assert isinstance(needed, int)
    assert best is not None
    print(f"   The loss is a long, narrow valley: its condition number, λmax/λmin, is {spectrum.condition:,.0f}.")
    print(f"   Past lr = 2/λmax = {limit:.6f} training diverges. b must go 32 far; to bring it to 0.001, the slow direction")
    print(f"   needs about {round(slow, -3):,} epochs at lr = 0.0001, and {needed:,} at the best lr, just below the limit.\n")
    print("   What training gives:\n")
    default = _whole(gdcore.fit(CELSIUS, FAHRENHEIT, LESSON))
    runs = {
        "lr = 0.0001": _whole(gdcore.fit(CELSIUS, FAHRENHEIT, LESSON, lr=1e-4, epochs=1000)),
        'lr = 0.0001, method="exact"': _whole(
            gdcore.fit(CELSIUS, FAHRENHEIT, LESSON, lr=1e-4, epochs=200_000, method="exact")
        ),
        "lr = spectrum.lr_best": _whole(gdcore.fit(CELSIUS, FAHRENHEIT, LESSON, lr=best, epochs=needed)),
        'lr = "auto", the default': default,
    }
    for name, run in runs.items():
        weight, bias, body = run.model.weights[0], run.model.bias, run.model.predict([[37.0]])[0]
        print(f"   {name:28} {run.epochs:7,d} epochs: w = {weight:.3f}, b = {bias:.3f}, 37 °C = {body:.1f} °F.")
    print(f"\n   The truth is 1.8, 32 and 98.6 °F. The default call has\n   {_words(default)}.")
    return runs


def _draw_celsius(runs: dict[str, gdcore.Run], axes: Sequence[Axes]) -> None:
    """Data and lines, loss curves, and the spectrum's prediction."""
    lesson, exact, best, default = runs.values()
    drawing.predictions(CELSIUS, FAHRENHEIT, default.model, lesson.model, ax=axes[0])
    for drawn, label in zip(axes[0].get_lines(), ("data", "lr = 0.0001, 1,000 epochs", 'lr = "auto"'), strict=True):
        drawn.set_label(label)
    axes[0].set(title="Celsius: what is learned", xlabel="°C", ylabel="°F")
    for run, label, style in (
        (exact, "lr = 0.0001", {"color": "#8a8a8a"}),
        (best, "the best lr", {}),
        (default, 'lr = "auto"', {"color": "black", "marker": "o", "markersize": 4}),
    ):
        drawing.losses(run.history, ax=axes[1])
        axes[1].get_lines()[-1].set(label=label, **style)
    axes[1].set(xscale="log", title="Celsius: loss")
    for ax in axes[:2]:
        ax.legend(frameon=False)
    drawing.spectrum(gdcore.spectrum(CELSIUS), ax=axes[2]).set_title("Celsius: what the spectrum says of learning rates")
