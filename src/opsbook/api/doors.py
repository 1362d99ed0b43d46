"""The doors of the routes: each says, in one place, which role and scope it takes to pass.

A route is one of three: `needs(role, scope)` for whoever has shown who they are, `by_link(why)` where the address
itself proves it, `public(why)` for what anybody may see. What changes something is never a GET, and never opens to a
viewer.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import Connection

from opsbook.api.answers import Route
from opsbook.api.callers import Caller, Recent, caller
from opsbook.api.house import House
from opsbook.api.problems import PROBLEM, Denied, NotFound, TooMany
from opsbook.api.scopes import SCOPES
from opsbook.book.people import Role
from opsbook.book.system import System
from opsbook.engine.access import ROLES, Actor
from opsbook.engine.service import Service
from opsbook.engine.setting import Setting
from opsbook.store.runs import RunRow
from opsbook.watch.waking import wake

T = TypeVar("T")

BEARER = HTTPBearer(
    auto_error=False,
    description="a token of `opsbook token make`, or one of the identity provider under `access.oidc` of the book",
)
ENVIRONMENT = Query(
    max_length=100,
    pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
    description="an environment of the book; the one that is watched where left out",
    examples=["production"],
)
RECENT = Recent()


@dataclass(frozen=True)
class Door:
    """What it takes to pass. `role` is empty where nobody need say who they are; `why` says why not."""

    role: str
    scope: str = ""
    why: str = ""


@dataclass(frozen=True)
class Visit:
    """Somebody who has passed a door, and where they stand."""

    house: House
    caller: Caller
    environment: str
    role: str

    @property
    def actor(self) -> Actor:
        return self.caller.actor

    @property
    def setting(self) -> Setting:
        return self.house.watch.setting

    @property
    def here(self) -> tuple[str, str]:
        """System and environment, as the tables name them."""
        return self.house.name, self.environment

    @property
    def where(self) -> dict[str, str]:
        """The same as the watch's rows have it."""
        return {"system": self.house.name, "environment": self.environment}

    @property
    def system(self) -> System:
        """The book as it is now. Blocking. Raises InvalidBook."""
        return self.house.system(self.environment)

    @property
    def known(self) -> System:
        """The book as it was read last. Blocking. Who works an incident need not wait until a book is mended."""
        return self.house.last_system(self.environment)

    async def write(self, do: Callable[[Connection, System, datetime], T], wakes: tuple[str, ...] = ()) -> T:
        """One act in one transaction, recorded: in the thread that writes. `wakes` are the parts of the watch that it
        brings work; all of them where left out."""
        setting = self.setting

        def act() -> T:
            system, said = self.known, list[T]()
            setting.check_audit()
            setting.write([lambda connection: said.append(do(connection, system, setting.clock.now()))])
            setting.write_head()
            return said[0]

        found = await self.house.act(act)
        wake(*wakes)
        return found

    def service(self) -> Service:
        """The engine, acting for them. Blocking. Raises InvalidBook."""
        return self.house.service(self.system, self.actor)

    def must_reach(self, run: RunRow) -> RunRow:
        """Raises NotFound for a run of a place that is not theirs to see: as if there were none."""
        if run.system != self.house.name or not self.caller.reaches(run.system, run.environment):
            raise NotFound(f"there is no run {run.id!r}", "GET /api/v1/runs lists them")
        return run


def house_of(request: Request) -> House:
    """The house that an app serves."""
    house = request.app.state.house
    assert isinstance(house, House)
    return house


def address_of(request: Request) -> str:
    """From where somebody asks."""
    return request.client.host if request.client else "unknown"


def needs(role: Role, scope: str, *, whole: bool = False) -> Any:
    """The door of a route that takes this role and scope; the route gets a `Visit`.

    With `whole`, what is behind it is of all environments: a token that is bound to some does not pass.
    """
    assert role in ROLES and scope in SCOPES

    def door(
        request: Request,
        _: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)] = None,
        environment: Annotated[str | None, ENVIRONMENT] = None,
    ) -> Visit:
        house = house_of(request)
        asks = caller(house, request.headers.get("Authorization", ""), address_of(request), RECENT)
        if wait := house.rates.wait(asks.key, *house.limits.token):
            raise TooMany(wait)
        return let_in(house, asks, Door(role, scope), environment or "", whole=whole)

    return _depends(door, Door(role, scope))


def let_in(house: House, asks: Caller, door: Door, environment: str = "", *, whole: bool = False) -> Visit:
    """Somebody who has said who they are, at a door. Blocking. Raises Denied, or NotFound."""
    if asks.scopes and door.scope not in asks.scopes:
        raise Denied(f"this token is not for {door.scope}", f"it is for {', '.join(asks.scopes)}")
    where = environment or house.usual
    if not asks.reaches(house.name, where):
        raise Denied(f"this token is not for {where} of {house.name}", "make one that is, or name another environment")
    if whole and asks.bound:
        raise Denied("this is of all environments, and this token is not", "make one without --system and --for-env")
    model = house.last_system(where).model
    if door.role not in (roles := asks.roles(model.access)):
        has = max(roles, key=ROLES.index, default="none")
        raise Denied(f"this needs the role {door.role}; {asks.actor.name} has {has} here", "ask somebody who has it")
    return Visit(house, asks, where, door.role)


def public(why: str) -> Any:
    """The door of what anybody may see; the route gets the `House`."""
    return _depends(_house, Door("", why=why))


def by_link(why: str) -> Any:
    """The door of what an address that cannot be guessed opens; the route proves it itself, and gets the `House`."""
    return _depends(_house, Door("", "link", why))


def _house(request: Request) -> House:
    return house_of(request)


class _Said:
    """A dependency that says what it takes."""

    def __init__(self, door: Callable[..., Any], says: Door) -> None:
        self.says = says
        self.door = door
        # FastAPI reads the parameters of a dependency from its signature.
        self.__signature__ = inspect.signature(door, eval_str=True)

    def __call__(self, *words: Any, **named: Any) -> Any:
        return self.door(*words, **named)


def _depends(door: Callable[..., Any], says: Door) -> Any:
    return Depends(_Said(door, says))


def door_of(route: Any) -> Door | None:
    """The door of a route; None where it has none."""
    for dependency in route.dependant.dependencies:
        if isinstance(dependency.call, _Said):
            return dependency.call.says
    return None


def _told(*codes: int) -> dict[int | str, dict[str, Any]]:
    meaning = {
        400: "the request cannot be done as it is", 401: "nobody has said who asks", 403: "whoever asks may not",
        404: "there is nothing of this name", 409: "policy or a guard says no", 413: "the body is too large",
        422: "the request has another form", 429: "too many requests", 502: "something is unreachable",
        503: "the store or the book cannot be read",
    }  # fmt: skip
    content = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {code: {"description": meaning[code], "content": content} for code in codes}


def subject(name: str, prefix: str = "/api/v1") -> APIRouter:
    """The routes of one subject."""
    return APIRouter(
        prefix=prefix,
        tags=[name],
        route_class=Route,
        responses=_told(400, 401, 403, 404, 409, 413, 422, 429, 502, 503),
    )


def shown(example: Any, description: str = "what was asked for", media: str = "application/json") -> dict[Any, Any]:
    """The answer of a route, by an example."""
    return {200: {"description": description, "content": {media: {"example": example}}}}
