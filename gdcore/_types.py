"""Names for the types in signatures; imported by type checkers only."""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]
Path = str | os.PathLike[str]
