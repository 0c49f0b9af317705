"""What stands here lives in `gdcore.training.run` and `gdcore.notices`; this path stays for those who import it."""

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
)  # fmt: skip
from gdcore.training.run import Checkpoint, DivergenceError, Epoch, History, Method, Run

__all__ = [
    "Checkpoint", "CheckpointWarning", "ConditionWarning", "ConvergenceWarning", "DivergenceError",
    "DivergenceWarning", "Epoch", "History", "LabelWarning", "LearningRateWarning", "Method", "PrecisionWarning",
    "Run", "ScaleWarning", "SeparationWarning",
]  # fmt: skip
