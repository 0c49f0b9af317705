"""A descent as an animation for slides: the path over the loss of two numbers, and beside it the loss curve."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from gdcore import drawing
from gdcore.checks import integer, must_be, number
from gdcore.container import write
from gdcore.drawing import BLUE, ORANGE
from gdcore.surface import ground, pair

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from PIL import Image

    from gdcore._types import Array, Floats, Path


class Linear(Protocol):
    """What is asked of a `gdcore.Linear`."""

    @property
    def bias(self) -> Any: ...

    def parameters(self, dtype: Any) -> tuple[Array, Array | None]: ...


_REST = 2000.0  # milliseconds that the last picture stays, at least


def save(
    path: Path, models: Sequence[Linear], losses: Callable[[Floats], Floats], title: str, frames: int, fps: float
) -> None:
    """Writes a GIF, whole or not at all: what `gdcore.Run.animate` says.

    Parameters
    ----------
    path : path
    models : list of Linear
        The start, and where each epoch has led.
    losses : callable
        The losses (p,) of pairs of numbers (p, 2).
    title : str
    frames, fps
        As for `gdcore.Run.animate`.
    """
    if os.path.splitext(os.fspath(path))[1].lower() != ".gif":
        raise ValueError(must_be("path", "the name of a .gif file", repr(os.fspath(path))))
    frames, fps = integer(frames, "frames", 2), number(fps, "fps", above=0)
    steps = np.array([pair(*model.parameters(np.float64)) for model in models])
    names = ("weight of column 0", "weight of column 1") if models[0].bias is None else ("weight", "bias")
    figure, (over, beside) = drawing.figure(2, title)  # where matplotlib is missing, this tells
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image  # matplotlib needs it, too

    far = ground(over, steps, losses)
    last = len(steps) - 1 if far is None else far
    shown = shown_epochs(last, frames)
    heights = losses(steps[shown])
    over.plot(*steps[0], "o", color=ORANGE, markerfacecolor="white", markersize=8)
    over.set(xlabel=names[0], ylabel=names[1], title="The path over the loss")
    beside.plot(shown, heights, color=BLUE, alpha=0.25, linewidth=1.8)
    beside.set(xlabel="epoch", ylabel="loss", title=" ")
    if np.nanmin(heights) > 0:
        beside.set_yscale("log")
    drawing.finish(over).grid(visible=False)
    drawing.finish(beside)
    # What moves is drawn anew over what does not.
    (line,) = over.plot([], [], color=ORANGE, linewidth=1.4, animated=True)
    (point,) = over.plot([], [], "o", color=ORANGE, markersize=8, animated=True)
    (curve,) = beside.plot([], [], color=BLUE, linewidth=1.8, animated=True)
    (spot,) = beside.plot([], [], "o", color=BLUE, markersize=6, animated=True)
    told = beside.title
    told.set_animated(True)
    canvas: Any = FigureCanvasAgg(figure)  # whose methods have no types
    canvas.draw()
    still = canvas.copy_from_bbox(figure.bbox)
    pictures = []
    for i, epoch in enumerate(shown.tolist()):
        line.set_data(*steps[: epoch + 1].T)
        point.set_data(steps[epoch, :1], steps[epoch, 1:])
        curve.set_data(shown[: i + 1], heights[: i + 1])
        spot.set_data([epoch], heights[i : i + 1])
        told.set_text(f"Epoch {epoch:,}: loss {heights[i]:.4g}")
        canvas.restore_region(still)
        for ax, artists in ((over, (line, point)), (beside, (curve, spot, told))):
            for artist in artists:
                ax.draw_artist(artist)
        pictures.append(Image.fromarray(np.array(canvas.buffer_rgba())).convert("RGB"))
    write(path, _gif(pictures, 1000 / fps))


def _gif(pictures: list[Image.Image], pause: float) -> bytes:
    """The pictures in the colours of the last one, which has all; each stays for so many milliseconds, the last one longer."""
    from PIL import Image

    colours = pictures[-1].quantize(256, dither=Image.Dither.NONE)
    first, *others = (picture.quantize(palette=colours, dither=Image.Dither.NONE) for picture in pictures)
    pauses = [*[pause] * len(others), max(pause, _REST)]
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=others, duration=pauses, loop=0)
    return file.getvalue()


def shown_epochs(last: int, frames: int) -> Array:
    """The epochs that are shown: every one where there are few, else ever sparser ones.

    >>> shown_epochs(3, 10).tolist(), shown_epochs(1000, 5).tolist()
    ([0, 1, 2, 3], [0, 1, 10, 100, 1000])
    """
    if last < frames:
        return np.arange(last + 1)
    return np.unique(np.append(0, np.round(np.geomspace(1, last, frames - 1)).astype(np.int64)))
