"""How good a model is, beside what a person without one would say: always the mean, or the most frequent class.

`score` is for people, and the plain functions of targets and predictions: `roc`, `auc`, `confusion`, `f1`, `calibration`,
`coverage`. The others are for tables, whose rows come in pieces and are gone when they have been counted.
"""

from gdcore.scores.measures import Calibration, Coverage, auc, calibration, confusion, coverage, f1, roc
from gdcore.scores.named import Baseline, ClassScores, NumberScores, Scores, Spread, spread, spread_table, table
from gdcore.scores.scoring import of_loss, of_moments, predicted, score, summed, sums
from gdcore.scores.sums import Sums

__all__ = [
    "Baseline", "Calibration", "ClassScores", "Coverage", "NumberScores", "Scores", "Spread", "Sums", "auc", "calibration",
    "confusion", "coverage", "f1", "of_loss", "of_moments", "predicted", "roc", "score", "spread", "spread_table", "summed",
    "sums", "table",
]  # fmt: skip
