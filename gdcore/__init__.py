"""gdcore trains linear models by gradient descent whose gradients were derived by hand.

`train` is the loop of the textbook, `fit` the same loop with everything around it: history, validation, weights of rows,
stopping, resuming. Both run in a Cython kernel that reads the data once per epoch; ``backend="reference"`` runs the same
formulas in plain NumPy.
"""

from gdcore.models import Linear
from gdcore.run import DivergenceError, Epoch, History, Run
from gdcore.train import fit, train

__version__ = "0.1.0"

__all__ = ["DivergenceError", "Epoch", "History", "Linear", "Run", "fit", "train"]
