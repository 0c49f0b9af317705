"""gdcore trains linear models, and small networks, by gradient descent whose gradients were derived by hand.

`train` is the loop of the textbook, `fit` the same loop with everything around it: history, validation, weights of rows,
stopping, resuming. Both run in a Cython kernel that reads the data once per epoch; ``backend="reference"`` runs the same
formulas in plain NumPy.

Names are imported when they are first used, so that the command line, asked for help, need not wait for NumPy.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gdcore import losses, optimizers, plots, scores
    from gdcore.covariance.conformal import Conformal, conformal
    from gdcore.covariance.inference import inference
    from gdcore.covariance.intervals import Interval
    from gdcore.covariance.result import Inference
    from gdcore.facts.spectrum import Spectrum, spectrum
    from gdcore.models.linear import Linear
    from gdcore.models.mlp import MLP
    from gdcore.notices import (
        CheckpointWarning,
        ConditionWarning,
        ConvergenceWarning,
        DivergenceWarning,
        LabelWarning,
        LearningRateWarning,
        PrecisionWarning,
        ScaleWarning,
        SeparationWarning,
        SpeedWarning,
        UniquenessWarning,
    )
    from gdcore.optimizers import SGD, Adagrad, Adam, AdamW, Nesterov, Newton, RMSprop, schedules
    from gdcore.paths.path import path
    from gdcore.paths.result import Path
    from gdcore.quantiles import quantiles
    from gdcore.report.explore import explore
    from gdcore.rows.arrow import TableError
    from gdcore.rows.filetable import TableWarning
    from gdcore.rows.open_table import open_table
    from gdcore.run import Checkpoint, DivergenceError, Epoch, History, Run
    from gdcore.store.files import load, save
    from gdcore.train import fit, train
    from gdcore.training.check import check_gradient

__version__ = "0.1.0"

__all__ = [
    "MLP", "SGD", "Adagrad", "Adam", "AdamW", "Checkpoint", "CheckpointWarning", "ConditionWarning", "Conformal",
    "ConvergenceWarning", "DivergenceError", "DivergenceWarning", "Epoch", "History", "Inference", "Interval",
    "LabelWarning", "LearningRateWarning", "Linear", "Nesterov",
    "Newton", "Path", "PrecisionWarning", "RMSprop", "Run", "ScaleWarning", "SeparationWarning", "Spectrum", "SpeedWarning",
    "TableError", "TableWarning", "UniquenessWarning", "check_gradient", "conformal", "explore", "fit", "inference",
    "load", "losses", "open_table", "optimizers", "path", "plots", "quantiles", "save",
    "schedules", "scores", "spectrum", "train",
]  # fmt: skip

_HOME = {
    "training.check": ("check_gradient",),
    "store.files": ("load", "save"),
    "rows.filetable": ("TableWarning",),
    "rows.open_table": ("open_table",),
    "models.mlp": ("MLP",),
    "models.linear": ("Linear",),
    "optimizers": ("SGD", "Adagrad", "Adam", "AdamW", "Nesterov", "Newton", "RMSprop"),
    "notices": (
        "CheckpointWarning", "ConditionWarning", "ConvergenceWarning", "DivergenceWarning", "LabelWarning",
        "LearningRateWarning", "PrecisionWarning", "ScaleWarning", "SeparationWarning", "SpeedWarning",
        "UniquenessWarning",
    ),
    "run": ("Checkpoint", "DivergenceError", "Epoch", "History", "Run"),
    "report.explore": ("explore",),
    "rows.arrow": ("TableError",),
    "facts.spectrum": ("Spectrum", "spectrum"),
    "covariance.conformal": ("Conformal", "conformal"),
    "covariance.inference": ("inference",),
    "covariance.intervals": ("Interval",),
    "covariance.result": ("Inference",),
    "paths.path": ("path",),
    "paths.result": ("Path",),
    "quantiles": ("quantiles",),
    "train": ("fit", "train"),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}


def __getattr__(name: str) -> Any:
    home = f"gdcore.{_MODULE_OF.get(name, name)}"
    try:
        module = importlib.import_module(home)
    except ModuleNotFoundError as error:
        if error.name != home:
            raise
        raise AttributeError(f"module 'gdcore' has no attribute {name!r}") from None
    value = getattr(module, name) if name in _MODULE_OF else module
    setattr(sys.modules[__name__], name, value)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """After ``import gdcore.train`` too, ``gdcore.train`` is the function, and so is ``gdcore.spectrum``."""

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and name in _MODULE_OF:
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
