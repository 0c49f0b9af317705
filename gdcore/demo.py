"""The demo: NIST's Norris data, learned to the certified digits, then the Celsius lesson, honestly."""

from __future__ import annotations

import json
import math
from importlib.resources import files
from time import perf_counter
from typing import Any

import numpy as np

import gdcore
from gdcore import plots, threads
from gdcore.backends import kernel

CELSIUS = np.arange(0.0, 101.0, 20.0)[:, None]
FAHRENHEIT = 1.8 * CELSIUS[:, 0] + 32.0


def run(plot: str | None = None) -> None:
    """Prints the demo; draws it to the file ``plot`` where one is named."""
    if plot is not None:
        if not plot.lower().endswith((".png", ".svg", ".pdf")):
            raise ValueError(f"--plot {plot}: the file's name must end in .png, .svg or .pdf")
        figure, axes = plots.figure(3, "gdcore demo")  # before the work, for matplotlib may be missing
    norris = json.loads((files("gdcore.data") / "norris.json").read_text())
    x, y = np.array(norris["x"])[:, None], np.array(norris["y"])
    before, trained, line = _norris(x, y, norris["certified"]["coefficients"])
    _throughput()
    celsius = _celsius()
    if plot is not None:
        plots.predictions(x, y, line, before, ax=axes[0]).set_title("Norris: ozone monitor against reference")
        plots.losses(trained.history, ax=axes[1]).set_title("Norris: loss")
        plots.predictions(CELSIUS, FAHRENHEIT, celsius.model, ax=axes[2]).set_title("Celsius: after 1,000 epochs")
        axes[2].set(xlabel="°C", ylabel="°F")
        figure.savefig(plot)
        print(f"\nPicture: {plot}")


def _norris(x: Any, y: Any, certified: list[float]) -> tuple[gdcore.Linear, gdcore.Run, gdcore.Linear]:
    print("1. A line through real data")
    print("   NIST's Norris data: 36 readings of an ozone monitor (y) against a reference monitor (x).")
    print("   x runs to 999, so training sees (x − mean) / sd, and the line is turned back into x's own units.\n")
    mean, sd = x.mean(), x.std()
    start = gdcore.Linear([0.0], bias=0.0)

    shown = {1, 2, 3, 5, 10, 20, 30, 40, 50, 60}
    print(f"   {'epoch':>5}  {'loss':>14}  {'gradient norm':>14}  {'weight':>12}  {'bias':>12}")

    def trace(epoch: gdcore.Epoch) -> None:
        if epoch.epoch in shown:
            weight, bias = epoch.model.weights[0], epoch.model.bias
            print(f"   {epoch.epoch:5d}  {epoch.loss:14.8g}  {epoch.gradient_norm:14.3g}  {weight:12.6f}  {bias:12.6f}")

    began = perf_counter()
    trained = gdcore.fit((x - mean) / sd, y, start, lr=0.2, epochs=60, callback=trace)
    seconds = perf_counter() - began
    _go_on(trained)

    weight = trained.model.weights[0] / sd
    bias = trained.model.bias - weight * mean
    print(f"\n   {'':12}  {'learned':>22}  {'certified by NIST':>22}  digits that agree")
    for name, learned, wanted in (("intercept", bias, certified[0]), ("slope", weight, certified[1])):
        print(f"   {name:12}  {learned:22.15g}  {wanted:22.15g}  {_digits(learned, wanted):.1f}")
    print(f"   60 epochs in {1e3 * seconds:.1f} ms, printing included")
    return _raw(start, mean, sd), trained, gdcore.Linear([weight], bias)


def _go_on(run: gdcore.Run) -> None:
    """Ctrl-C ends a fit, and here the demo too."""
    if run.status == "interrupted":
        raise KeyboardInterrupt


def _raw(model: gdcore.Linear, mean: float, sd: float) -> gdcore.Linear:
    return gdcore.Linear(model.weights / sd, model.bias - model.weights[0] / sd * mean)


def _digits(value: float, certified: float) -> float:
    error = abs(value - certified) / abs(certified)
    return 15.0 if error == 0 else min(15.0, -math.log10(error))


def _throughput(rows: int = 500_000, columns: int = 50, epochs: int = 10) -> None:
    print("\n2. The same loop on a large batch")
    rng = np.random.default_rng(0)
    X = rng.random((rows, columns))
    Y = X @ rng.random(columns)
    seconds = {}
    for backend in ("reference", "kernel"):
        run = gdcore.fit(X, Y, lr=0.01, epochs=epochs, backend=backend)
        _go_on(run)
        seconds[backend] = float(np.median(run.history.seconds))
    for backend, per_epoch in seconds.items():
        name = "NumPy" if backend == "reference" else f"kernel ({kernel.variant()})"
        print(
            f"   {name:16}  {rows:,} × {columns} float64: {1e3 * per_epoch:6.1f} ms an epoch, "
            f"{rows / per_epoch / 1e6:6.1f} million samples/s, {X.nbytes / per_epoch / 1e9:5.1f} GB/s"
        )
    print(f"   {seconds['reference'] / seconds['kernel']:.1f} times NumPy, on {threads.resolve(None)} thread(s)")


def _celsius() -> gdcore.Run:
    print("\n3. The Celsius lesson, honestly")
    print("   A widely copied lesson fits °F = w·°C + b to six rows (0, 20, … 100 °C) and says that 1,000 epochs at")
    print("   lr = 0.0001 from w = 0.4967, b = -0.1383 learn w = 1.799, b = 31.96. What they really give:\n")
    lesson = gdcore.fit(CELSIUS, FAHRENHEIT, gdcore.Linear([0.4967], -0.1383), lr=1e-4, epochs=1000)
    weight, bias = lesson.model.weights[0], lesson.model.bias
    body = lesson.model.predict([[37.0]])[0]
    print(f"   w = {weight:.3f}, b = {bias:.3f}, so that 37 °C would be {body:.1f} °F; the truth is 1.8, 32 and 98.6.")
    moments = np.array([[np.mean(CELSIUS**2), np.mean(CELSIUS)], [np.mean(CELSIUS), 1.0]])
    smallest, largest = 2 * np.linalg.eigvalsh(moments)
    print(
        f"   The slow direction shrinks by 1 − lr·λmin = 1 − {1e-4 * smallest:.2e} an epoch, the fast one allows no lr above\n"
        f"   2/λmax = {2 / largest:.6f}: the condition number is {largest / smallest:,.0f}, and 1,000 epochs are far too few."
    )
    more = lesson.resume(CELSIUS, FAHRENHEIT, epochs=199_000)
    _go_on(more)
    print(
        f"   Resumed to {more.epochs:,} epochs ({1e3 * more.history.seconds.sum():.0f} ms): "
        f"w = {more.model.weights[0]:.3f}, b = {more.model.bias:.3f}, 37 °C = {more.model.predict([[37.0]])[0]:.1f} °F."
    )
    return lesson
