"""The app: every route that there is, found by importing the modules of `routes`."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from opsbook import __version__
from opsbook.api import routes
from opsbook.api.doors import Door, door_of
from opsbook.api.guard import Guard
from opsbook.api.house import House
from opsbook.api.problems import tell_problems
from opsbook.api.scopes import SCOPES

ABOUT = """\
Everything that opsbook knows and does, for programs. The same functions as behind the command line: an answer of the
API is what the verb prints with `--format json`.

Every request says who asks: `Authorization: Bearer TOKEN`. Errors are problem details (RFC 9457) with `detail` and
`hint`. Lists come in pages: pass `next` back as `cursor`. Reads carry an `ETag`; send it as `If-None-Match`.
"""
PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "urn:opsbook:problem:KIND"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "what happened, to what"},
        "hint": {"type": "string", "description": "the next step"},
        "exit_code": {"type": "integer", "description": "what the command line would end with"},
    },
}


def make_app(house: House) -> FastAPI:
    """The app that serves a house. Raises ValueError for a route that nobody has given a door."""
    app = _routed()
    app.state.house = house
    tell_problems(app)
    app.add_middleware(Guard, house=house)
    app.openapi = lambda: openapi(app)  # type: ignore[method-assign]
    return app


def description() -> dict[str, Any]:
    """OpenAPI of all routes, without serving any."""
    return openapi(_routed())


def _routed() -> FastAPI:
    app = FastAPI(
        title="opsbook",
        version=__version__,
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        openapi_tags=[{"name": name, "description": text} for name, text in SCOPES.items()],
        # A slash more is another address: a redirect would send a change twice, or lose its body.
        redirect_slashes=False,
    )
    for router in routers():
        for route in router.routes:
            assert isinstance(route, APIRoute)
            check_door(route)
            app.router.routes.append(route)
    return app


def routers() -> list[APIRouter]:
    """The routers of all modules of `routes`, by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(routes.__path__))
    return [importlib.import_module(f"{routes.__name__}.{name}").router for name in names]


def check_door(route: APIRoute) -> None:
    """Raises ValueError where a route has no door, or lets a viewer change something."""
    door = door_of(route)
    if door is None:
        raise ValueError(f"{route.path} has no door: give it needs(role, scope), by_link(why) or public(why)")
    changes = bool((route.methods or set()) - {"GET"})
    if changes and door.role == "viewer":
        raise ValueError(f"{route.path} changes something and opens to a viewer")
    if changes and not door.role and door.scope != "link":
        raise ValueError(f"{route.path} changes something and opens to everybody")


def openapi(app: FastAPI) -> dict[str, Any]:
    """The description of all routes, made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            tags=app.openapi_tags,
        )
        made["components"].setdefault("schemas", {})["Problem"] = PROBLEM_SCHEMA
        for route in app.routes:
            assert isinstance(route, APIRoute)
            for method in route.methods or ():
                _finish(made["paths"][route.path][method.lower()], door_of(route))
        app.openapi_schema = made
    return app.openapi_schema


def _finish(operation: dict[str, Any], door: Door | None) -> None:
    """Say who may ask, and leave out what cannot be answered."""
    assert door is not None
    if not operation.get("parameters") and "requestBody" not in operation:
        operation["responses"].pop("422", None)
    operation["x-role"] = door.role or ("signed" if door.scope == "link" else "public")
    if door.role:
        operation["x-scope"] = door.scope
