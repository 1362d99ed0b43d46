"""Who judges whether an assertion of the book holds. Expressions are the engine's, a room above: it hands one down."""

from __future__ import annotations

from collections.abc import Mapping

from opsbook.connectors.backups.postgres_verify import Judge
from opsbook.connectors.change import Json
from opsbook.errors import OpsbookError

_judges: list[Judge] = []


def judged_by(judge: Judge) -> None:
    """From now on this one judges. Called once, by the recovery room."""
    _judges[:] = [judge]


def holds(expression: str, names: Mapping[str, Json]) -> bool:
    """Whether the expression holds for these names. Raises OpsbookError where it cannot be told."""
    if not _judges:
        raise OpsbookError("nothing here can judge an expression")
    return _judges[0](expression, names)
