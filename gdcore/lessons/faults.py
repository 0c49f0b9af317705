"""The faults by name, what to do about each, and how a diagnosis is written."""

from __future__ import annotations

from typing import NamedTuple

MENDS = {
    "gradients not reset": "Set the gradients to zero at the head of every epoch and every batch, before they are added up.",
    "plus for minus": "Step against the gradient: weights = weights − lr·gradient.",
    "broadcasting": "Give predictions and targets one shape, (n,) and (n,) or (n, 1) and (n, 1), before they are subtracted.",
    "lr past the limit": "Take an lr below gdcore.spectrum(X).lr_limit, or centre and scale the columns, which moves it.",
    "lr far too small": "Take an lr near gdcore.spectrum(X).lr_best.",
    "no bias": "Add a bias to the predictions, or a column of ones to X.",
    "loss summed": "Divide loss and gradient by the number of rows, so that lr does not depend on it.",
    "integer weights": "Begin with floating-point weights: np.zeros(d), or X.astype(float).",
    "targets shuffled": "Shuffle rows and targets by one permutation: X[order] and Y[order].",
}


class Diagnosis(NamedTuple):
    """What `gdcore.diagnose` says."""

    fault: str | None
    """One of `MENDS`; None where none was found, or where it cannot be told."""
    evidence: str
    """The numbers that say so."""
    mend: str
    """What to do."""

    def __repr__(self) -> str:
        return f"{self.fault or 'no fault found'}: {self.evidence}{f'. {self.mend}' if self.mend else ''}"


def found(fault: str, evidence: str) -> Diagnosis:
    """A fault with its mend."""
    return Diagnosis(fault, evidence, MENDS[fault])
