"""What can be observed, and what can be changed."""

from __future__ import annotations

from typing import Annotated

from starlette.responses import Response

from opsbook.api.answers import answer
from opsbook.api.doors import Visit, needs, shown, subject
from opsbook.api.parameters import InPath
from opsbook.api.problems import NotFound
from opsbook.book.observed import described as described_fact
from opsbook.book.words import nearest
from opsbook.catalogue import catalogue
from opsbook.operations.described import described as described_change
from opsbook.operations.registry import operations as all_operations

router = subject("books")
Viewer = Annotated[Visit, needs("viewer", "books")]


@router.get("/observations", responses=shown([{"name": "postgres.replication_lag", "dimension": "duration"}]))
def observations(_: Viewer) -> Response:
    """The facts that can be observed."""
    return answer([described_fact(spec) for spec in catalogue().observations.values()])


@router.get("/observations/{name}", responses=shown({"name": "postgres.replication_lag", "dimension": "duration"}))
def observation(_: Viewer, name: InPath) -> Response:
    """One fact: its parameters, its unit, and a check of it."""
    known = catalogue().observations
    if name not in known:
        raise NotFound(f"there is no observation named {name!r}", nearest(name, known))
    return answer(described_fact(known[name]))


@router.get("/operations", responses=shown([{"name": "postgres.terminate", "risk": "disruptive"}]))
def operations(_: Viewer) -> Response:
    """The changes that procedures can make."""
    return answer([described_change(one) for one in all_operations().values()])


@router.get("/operations/{name}", responses=shown({"name": "postgres.terminate", "risk": "disruptive"}))
def operation(_: Viewer, name: InPath) -> Response:
    """One change: its parameters and its risk."""
    known = all_operations()
    if name not in known:
        raise NotFound(f"there is no operation named {name!r}", nearest(name, known))
    return answer(described_change(known[name]))
