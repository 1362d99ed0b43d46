"""The book: its environments and components. Secrets stand as the references that the book writes, never as values."""

from __future__ import annotations

from typing import Annotated, Any

from starlette.responses import Response

from opsbook.api.answers import answer
from opsbook.api.doors import Visit, needs, shown, subject
from opsbook.api.parameters import InPath
from opsbook.api.problems import NotFound
from opsbook.book.system import System
from opsbook.book.words import nearest

router = subject("books")
Viewer = Annotated[Visit, needs("viewer", "books")]
COMPONENT = {"name": "database", "kind": "postgres", "needs": [], "settings": {"dsn": "${DATABASE_URL}"}}


@router.get("/book", responses=shown({"system": "kiln", "environments": [{"name": "production", "watched": True}]}))
def book(visit: Viewer) -> Response:
    """The system, where it runs, and which environment is watched."""
    system, house = visit.system, visit.house
    seen = [name for name in system.model.environments if visit.caller.reaches(house.name, name)]
    told = [
        {"name": name, "policy": one.policy, "disposable": one.disposable, "description": one.description,
         "runtime": one.runtime.kind, "watched": name == house.usual}
        for name, one in system.model.environments.items() if name in seen
    ]  # fmt: skip
    model = system.model
    return answer(
        {"system": model.system, "title": model.title, "description": model.description, "owner": model.owner,
         "timezone": str(model.timezone), "environments": told, "checks": len(system.checks)}
    )  # fmt: skip


@router.get("/components", responses=shown([COMPONENT]))
def components(visit: Viewer) -> Response:
    """The parts of the system, as they are in the environment."""
    system = visit.system
    return answer([_component(system, name) for name in system.components])


@router.get("/components/{name}", responses=shown(COMPONENT))
def component(visit: Viewer, name: InPath) -> Response:
    """One part of the system."""
    system = visit.system
    if name not in system.components:
        raise NotFound(f"there is no component named {name!r}", nearest(name, system.components))
    checks = [check.id for check in system.checks if check.of == name]
    return answer({**_component(system, name), "checks": checks})


def _component(system: System, name: str) -> dict[str, Any]:
    settings = system.components[name]
    written = settings.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    kind = written.pop("kind", "")
    return {"name": name, "kind": kind, "needs": list(system.upstream(name)), "settings": written}
