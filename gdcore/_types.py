"""Names for the types in signatures; imported by type checkers only."""

import os
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike as ArrayLike
from numpy.typing import DTypeLike as DTypeLike
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]
Path = str | os.PathLike[str]
JSON = None | bool | int | float | str | list["JSON"] | dict[str, "JSON"]
"""What a file's metadata can hold."""


class ProgressBar(Protocol):
    """What is asked of a bar like tqdm's."""

    n: float
    total: float | None

    def set_postfix(self, ordered_dict: dict[str, str], refresh: bool) -> None: ...
    def update(self, n: int) -> object: ...
    def reset(self) -> None: ...
    def close(self) -> None: ...
