"""gdcore trains linear models, and small networks, by gradient descent whose gradients were derived by hand.

`train` is the loop of the textbook, `fit` the same loop with everything around it: history, validation, weights of rows,
stopping, resuming. Both run in a Cython kernel that reads the data once per epoch; ``backend="reference"`` runs the same
formulas in plain NumPy.
"""

from gdcore import losses, optimizers, plots, schedules
from gdcore.check import check_gradient
from gdcore.mlp import MLP
from gdcore.models import Linear
from gdcore.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop
from gdcore.run import DivergenceError, Epoch, History, Run
from gdcore.train import fit, train

__version__ = "0.1.0"

__all__ = [
    "MLP", "SGD", "Adagrad", "Adam", "AdamW", "DivergenceError", "Epoch", "History", "Linear", "RMSprop", "Run",
    "check_gradient", "fit", "losses", "optimizers", "plots", "schedules", "train",
]  # fmt: skip
