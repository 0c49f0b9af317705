"""What is written on the command line, and what it means."""

from __future__ import annotations

from gdcore import losses, optimizers


def loss(text: str) -> losses.Loss:
    """A loss: its name, and its parameter after a colon.

    >>> loss("quantile:0.9").parameter
    0.9
    """
    name, colon, parameter = text.partition(":")
    if colon and name not in ("huber", "quantile"):
        raise ValueError(f"--loss {text}: only huber:δ and quantile:τ have a parameter")
    try:
        value = float(parameter) if colon else 0.0
    except ValueError:
        raise ValueError(f"--loss {text}: after the colon a number is wanted, as in {name}:0.5") from None
    try:
        chosen: losses.Loss = losses.LOSSES[name](value) if colon else losses.get(name)
    except ValueError as error:
        raise ValueError(f"--loss {text}: {error}") from None
    return chosen


def optimizer(text: str | None) -> str | None:
    """An optimizer's name, None for the one that gdcore chooses.

    >>> optimizer("adam")
    'adam'
    """
    optimizers.get(text)
    return text


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
