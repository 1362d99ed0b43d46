"""Every route of the app has a door, and whoever may only look cannot change anything through any of them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from sqlalchemy import text
from tests.unit.api.conftest import Doors

from opsbook.api.app import check_door, make_app
from opsbook.api.doors import Door, door_of
from opsbook.engine.access import ROLES
from opsbook.store.database import reading
from opsbook.store.tables import metadata

UNMARKED = {"events"}
"""Streams that never end are asked elsewhere."""
PUBLIC = {"/healthz"}
"""What anybody may see."""


def routes(app: FastAPI) -> Iterator[tuple[APIRoute, str, Door]]:
    """Each route with each of its methods and its door."""
    for route in app.routes:
        assert isinstance(route, APIRoute), f"{route} is none of ours"
        door = door_of(route)
        assert door is not None, f"{route.path} has no door"
        for method in sorted(route.methods or ()):
            yield route, method, door


def path_of(route: APIRoute) -> str:
    return re.sub(r"\{[^}]*\}", "api-up", route.path)


def everything(doors: Doors) -> dict[str, list[tuple[object, ...]]]:
    """All rows of the store, but for when tokens were used."""
    found = {}
    with reading(doors.setting.store) as connection:
        for name in metadata.tables:
            columns = ", ".join(f'"{c.name}"' for c in metadata.tables[name].columns if c.name != "used_at")
            found[name] = [tuple(row) for row in connection.execute(text(f"SELECT {columns} FROM {name}"))]
    return found


def test_every_route_says_what_it_takes_and_no_change_opens_to_a_viewer(doors: Doors) -> None:
    seen = list(routes(doors.app))
    assert len(seen) > 25
    for route, method, door in seen:
        if method != "GET":
            assert door.role in ROLES[1:] or door.scope == "link", f"{method} {route.path}"
        assert door.role or door.why, f"{route.path} opens to everybody and does not say why"
        if not door.role and door.scope != "link":
            assert route.path in PUBLIC or route.path.startswith("/status"), f"{route.path} is public"


def test_a_route_without_a_door_or_with_a_wrong_one_keeps_the_app_from_being_made() -> None:
    router = APIRouter()

    @router.get("/open")
    def naked() -> dict[str, str]:
        return {}

    with pytest.raises(ValueError, match="has no door"):
        check_door(router.routes[0])  # type: ignore[arg-type]


async def test_whoever_may_only_look_changes_nothing_by_any_route(doors: Doors) -> None:
    viewers = {"viewer token": doors.client("cleo", "viewer"), "viewer of the book": doors.client("vera", "admin")}
    nobody = doors.bearing("")
    before = everything(doors)
    for route, method, door in routes(doors.app):
        path = path_of(route)
        if path.rsplit("/", 1)[-1] in UNMARKED:
            continue
        for name, client in viewers.items():
            answer = await client.request(method, path, json={} if method != "GET" else None)
            told = f"{name}: {method} {path} answers {answer.status_code}: {answer.text[:300]}"
            if door.role not in ("", "viewer"):
                assert answer.status_code == 403, told
            # What a viewer may read may be of a component that nobody reaches here, but is never a fault.
            assert answer.status_code < 500 or (method == "GET" and answer.status_code == 502), told
        answer = await nobody.request(method, path, json={} if method != "GET" else None)
        if door.role:
            assert answer.status_code == 401, f"{method} {path} answers {answer.status_code}"
    assert everything(doors) == before


async def test_a_viewer_is_refused_before_the_body_is_judged(doors: Doors) -> None:
    body = {"procedure": "careful", "parameters": {}}
    for client in (doors.client("cleo", "viewer"), doors.client("vera", "admin")):
        assert (await client.post("/api/v1/runs", json=body)).status_code == 403
        assert (await client.post("/api/v1/runs/x/cancel", json={})).status_code == 403


def test_the_description_tells_of_every_route_with_an_example(doors: Doors) -> None:
    told = doors.app.openapi()
    described = {(path, method.upper()) for path, methods in told["paths"].items() for method in methods}
    for route, method, _ in routes(doors.app):
        assert (route.path, method) in described, route.path
        operation = told["paths"][route.path][method.lower()]
        assert operation.get("description"), route.path
    assert make_app(doors.house).openapi() == told
