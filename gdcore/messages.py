"""What errors and warnings say: texts that know which arguments they name, which the command line then calls as its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Option(NamedTuple):
    """An argument that a message names, alone or with a value.

    >>> str(Option("batch_size")), str(Option("missing", "drop"))
    ('batch_size', "missing='drop'")
    """

    name: str
    value: object = ...
    """Ellipsis: the message names the argument alone."""

    def __str__(self) -> str:
        return self.name if self.value is ... else f"{self.name}={self.value!r}"


class Message(str):
    """A text whose arguments are written as Python has them, and that can be written anew with other words for them.

    The first argument of an error or a warning carries it: `said` finds it there. An f-string makes plain text of it.

    Attributes
    ----------
    parts : tuple of str and Option
        What it was made of.

    Examples
    --------
    >>> message = Message("a row lacks a value; ", Option("missing", "drop"), " leaves it out")
    >>> print(message)
    a row lacks a value; missing='drop' leaves it out
    >>> message.written(lambda option: f"{option.name.upper()}: {option.value}")
    'a row lacks a value; MISSING: drop leaves it out'
    """

    parts: tuple[str | Option, ...]

    def __new__(cls, *parts: str | Option) -> Message:
        flat: list[str | Option] = []
        for part in parts:
            flat += part.parts if isinstance(part, Message) else (part,)
        made = super().__new__(cls, "".join(map(str, flat)))
        made.parts = tuple(flat)
        return made

    def __getnewargs__(self) -> Any:
        return self.parts

    def written(self, option: Callable[[Option], str]) -> str:
        """The text with other words for its arguments."""
        return "".join(option(part) if isinstance(part, Option) else part for part in self.parts)


def joined(separator: str, messages: Iterable[str]) -> Message:
    """What ``separator.join`` gives, with the parts.

    >>> joined("; ", ["one", Message("other ", Option("l1"))]).parts
    ('one', '; ', 'other ', Option(name='l1', value=Ellipsis))
    """
    parts = [part for message in messages for part in (separator, message)]
    return Message(*parts[1:])


def said(error: BaseException) -> str:
    """What an error or a warning says, with its parts where it has some.

    >>> said(ValueError(Message("give ", Option("tol")))).parts, said(KeyError("tol"))
    (('give ', Option(name='tol', value=Ellipsis)), "'tol'")
    """
    first = error.args[0] if error.args else None
    return first if isinstance(first, Message) else str(error)
