"""The warnings that `gdcore.fit` may give; each kind has a class, so that it can be filtered by itself."""

from __future__ import annotations

import itertools
import os
import sys
import warnings

_HERE = os.path.dirname(__file__) + os.sep


def warn(message: str, kind: type[Warning], between: str = _HERE) -> None:
    """Warns at the line that called into gdcore, however many of its functions lie between, and of those in another folder."""
    frame = sys._getframe()
    for level in itertools.count(1):
        if frame.f_back is None or not frame.f_code.co_filename.startswith((_HERE, between)):
            warnings.warn(message, kind, stacklevel=level)
            return
        frame = frame.f_back


class LearningRateWarning(UserWarning):
    """The learning rate is past its limit: gradient descent will diverge."""


class DivergenceWarning(UserWarning):
    """The run has ended above the loss of the all-zero model: worse than no training."""


class ConditionWarning(UserWarning):
    """The columns of X are dependent, or so nearly that the weights cannot be told apart."""


class ScaleWarning(UserWarning):
    """Columns of X, or Y, are of sizes that gradient descent without a metric learns badly from."""


class ConvergenceWarning(UserWarning):
    """The epochs ended, or no step lowered the loss any more, before the loss was proved to be within tol of the best one."""


class SeparationWarning(UserWarning):
    """The classes are separated, so that there are no best weights: larger ones are always better."""


class UniquenessWarning(UserWarning):
    """Other weights than the model's are as good, though no column depends on others: mae and quantile have an edge there."""


class PrecisionWarning(UserWarning):
    """An integer is too large for float64 to hold it as it is."""


class SpeedWarning(UserWarning):
    """A loss or an optimizer of one's own runs in NumPy, for the kernel does not know it."""


class LabelWarning(UserWarning):
    """The labels leave out a class: the model has an output for it that no row trains."""


class CheckpointWarning(UserWarning):
    """A checkpoint could not be written, or a run goes on from it on a machine whose bits differ."""
