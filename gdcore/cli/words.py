"""What is written on the command line, and what it means."""

from __future__ import annotations

from gdcore import losses, optimizers


def loss(text: str) -> losses.Loss:
    """A loss: its name, and its parameter after a colon.

    >>> loss("quantile:0.9").parameter
    0.9
    """
    try:
        return losses.get(text)
    except ValueError as error:
        raise ValueError(f"--{error}") from None


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
