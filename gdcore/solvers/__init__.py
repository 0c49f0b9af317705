"""Who runs the epochs of a plan: a solver a file, each with `begin` and `advance` (`gdcore.solvers.base`).

They know problems, plans and states (`gdcore.descent`), and nothing of who looks on or of what becomes of a run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gdcore.solvers.backtracking import Backtracking
from gdcore.solvers.batches import Batches
from gdcore.solvers.closed import Closed
from gdcore.solvers.nesterov import Nesterov
from gdcore.solvers.newton import Newton
from gdcore.solvers.stream import Stream

if TYPE_CHECKING:
    from gdcore.solvers.base import Solver

SOLVERS: dict[str, type[Solver[Any]]] = {
    "newton": Newton,
    "nesterov": Nesterov,
    "closed": Closed,
    "stream": Stream,
    "batches": Batches,
    "backtracking": Backtracking,
}
"""By the names that a plan calls them."""
