"""gdcore trains linear models, and small networks, by gradient descent whose gradients were derived by hand.

`train` is the loop of the textbook, `fit` the same loop with everything around it: history, validation, weights of rows,
stopping, resuming. Both run in a Cython kernel that reads the data once per epoch; ``backend="reference"`` runs the same
formulas in plain NumPy.
"""

from gdcore import losses, optimizers, plots, schedules
from gdcore.check import check_gradient
from gdcore.files import load, save
from gdcore.mlp import MLP
from gdcore.models import Linear
from gdcore.optimizers import SGD, Adagrad, Adam, AdamW, Nesterov, RMSprop
from gdcore.run import (
    Checkpoint,
    CheckpointWarning,
    ConditionWarning,
    DivergenceError,
    Epoch,
    History,
    LearningRateWarning,
    Run,
)
from gdcore.spectrum import Spectrum, spectrum
from gdcore.train import fit, train

__version__ = "0.1.0"

__all__ = [
    "MLP", "SGD", "Adagrad", "Adam", "AdamW", "Checkpoint", "CheckpointWarning", "ConditionWarning", "DivergenceError",
    "Epoch", "History", "LearningRateWarning", "Linear", "Nesterov", "RMSprop", "Run", "Spectrum", "check_gradient", "fit",
    "load", "losses", "optimizers", "plots", "save", "schedules", "spectrum", "train",
]  # fmt: skip
