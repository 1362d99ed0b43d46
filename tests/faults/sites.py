"""What the operations are tried on: real servers, each started when the first operation asks for its site."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar


class Site:
    """A set of real servers with the components of a book."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self) -> None:
        """Everything answers when this returns."""

    def stop(self) -> None:
        """Nothing of it is left running."""

    @property
    def components(self) -> dict[str, dict[str, Any]]:
        raise NotImplementedError

    @property
    def environment(self) -> dict[str, Any]:
        """Further keys of the book's environment."""
        return {}

    @property
    def keys(self) -> dict[str, Any]:
        """Further keys of the book."""
        return {}


S = TypeVar("S", bound=Site)


@dataclass(frozen=True)
class Case:
    """One operation with what it is given, the state it finds, and how its effect is counted at the target."""

    of: str
    parameters: Callable[[Any], Mapping[str, Any]]
    prepare: Callable[[Any], None]
    """Brings the target to the state before, and the counter to zero."""
    count: Callable[[Any], int]
    """How often the effect has happened at the target since then."""


def given(**parameters: Any) -> Callable[[Any], Mapping[str, Any]]:
    """Parameters that do not depend on the site."""
    return lambda site: parameters
