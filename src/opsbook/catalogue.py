"""All that the rooms have registered, in the form in which a book is validated against it."""

from __future__ import annotations

from functools import cache

from opsbook.book.catalogue import Catalogue
from opsbook.connectors.registry import registered
from opsbook.observations.registry import observations
from opsbook.operations.registry import operations


@cache
def catalogue() -> Catalogue:
    """Component kinds, observations and operations by name."""
    return Catalogue(
        components=dict(sorted(registered().components.items())),
        observations={name: observation.spec for name, observation in observations().items()},
        operations={name: operation.spec for name, operation in operations().items()},
    )
