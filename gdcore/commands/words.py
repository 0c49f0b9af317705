"""What is written on the command line, and what it means."""

from __future__ import annotations

from gdcore import losses


def number(text: str, name: str) -> float:
    """
    >>> number("0.1", "--lr")
    0.1
    """
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name} must be a number, found {text!r}") from None


def loss(text: str) -> losses.Loss:
    """A loss: its name, and its parameter after a colon.

    >>> loss("quantile:0.9").parameter
    0.9
    """
    name, colon, parameter = text.partition(":")
    if not colon:
        return losses.get(name)
    if name not in ("huber", "quantile"):
        raise ValueError(f"--loss {text}: only huber:δ and quantile:τ have a parameter")
    chosen: losses.Loss = losses.LOSSES[name](number(parameter, f"--loss {name}:"))
    return chosen


def hidden(text: str) -> list[int] | None:
    """The hidden layers of a network, or None for a linear model.

    >>> hidden("mlp:64,32")
    [64, 32]
    """
    if text == "linear":
        return None
    kind, _, sizes = text.partition(":")
    try:
        layers = [int(size) for size in sizes.split(",")]
    except ValueError:
        layers = [0]
    if kind != "mlp" or min(layers) < 1:
        raise ValueError(f"--model {text}: there is linear, and mlp:64,32 for a network with hidden layers of 64 and 32")
    return layers
