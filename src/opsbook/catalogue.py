"""All that the rooms offer, in the form in which a book is validated against it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Protocol, TypeVar

from opsbook.book.catalogue import Catalogue
from opsbook.connectors.offered import import_room
from opsbook.connectors.registry import registered
from opsbook.observations.registry import observations
from opsbook.operations.registry import operations

S = TypeVar("S", covariant=True)


class Specified(Protocol[S]):
    """What has a spec."""

    @property
    def spec(self) -> S: ...


class Specs(Mapping[str, S]):
    """The specs of what a room offers."""

    def __init__(self, offered: Mapping[str, Specified[S]]) -> None:
        self._offered = offered

    def __getitem__(self, name: str) -> S:
        return self._offered[name].spec

    def __iter__(self) -> Iterator[str]:
        return iter(self._offered)

    def __len__(self) -> int:
        return len(self._offered)


def import_rooms() -> None:
    """Import all that the rooms offer: a process that stays must not stop for it in the middle of its work."""
    for room in ("opsbook.connectors", "opsbook.observations", "opsbook.operations"):
        import_room(room)


@cache
def catalogue() -> Catalogue:
    """Component kinds, observations and operations by name."""
    return Catalogue(
        components=registered().components, observations=Specs(observations()), operations=Specs(operations())
    )
