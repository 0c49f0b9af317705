"""What an optimizer is: parameters by name, the state that it keeps, and the formula of a step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from gdcore._types import Array

Rule = tuple["str | Optimizer", dict[str, Any]]
"""An optimizer as the backends take it."""


class Optimizer:
    """How weights follow their gradient; it holds no learning rate, which is `fit`'s, and no state, which is the run's.

    An optimizer of your own is a subclass with an `update`; its `slots` say how many numbers it keeps of each weight, and what
    it is told goes to ``super().__init__`` by name. ``docs/extend/add-a-loss.md`` adds one.

    >>> class Signs(Optimizer):
    ...     def update(self, parameters, gradient, lr, state, number):
    ...         parameters -= lr * ((gradient > 0) * 1.0 - (gradient < 0))
    >>> import gdcore
    >>> gdcore.fit([[1.0], [2.0]], [2.0, 4.0], gdcore.Linear([0.0], None), optimizer=Signs(), lr=0.5, epochs=4,
    ...            backend="reference").model.weights
    array([2.])
    """

    slots: int = 0
    """How many rows of state it keeps, each with a number for every parameter."""
    lr: float | None = None
    """PyTorch's default learning rate, where it does not depend on the data: what ``lr="auto"`` takes."""
    compiled: ClassVar[bool] = False
    """Whether the kernel has the formula under this name, or a solver makes the steps; every class says so for itself."""

    def __init_subclass__(cls, compiled: bool = False, **options: object) -> None:
        super().__init_subclass__(**options)
        cls.compiled = compiled  # not inherited: another formula is not the kernel's

    def __init__(self, **parameters: Any) -> None:
        self.parameters = parameters

    @classmethod
    def of(cls, parameters: dict[str, Any]) -> Self:
        """The optimizer of a `rule`, whose parameters were checked when it was made."""
        made = cls.__new__(cls)
        made.parameters = parameters
        return made

    @property
    def rule(self) -> Rule:
        """What the backends take: its name where the kernel has the formula, else itself; and its parameters."""
        return type(self).__name__.lower() if self.compiled else self, self.parameters

    @property
    def initial(self) -> float:
        """What the state begins with."""
        return 0.0

    def update(self, parameters: Array, gradient: Array, lr: float, state: Array | None, number: int) -> None:
        """Step ``number`` (from 1): changes ``parameters`` (p,) and ``state`` (slots, p), None where it keeps none."""
        wanted = "update(parameters, gradient, lr, state, number)"
        raise NotImplementedError(f"the optimizer {self!r} has no formula: its class must define {wanted}")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), repr(self)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.parameters.items())})"
