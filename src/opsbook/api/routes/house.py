"""The house itself: whether it lives, who asks, the description of all routes, the tokens."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Request
from starlette.responses import Response

from opsbook import __version__
from opsbook.api import tokens as making
from opsbook.api.answers import answer
from opsbook.api.doors import Visit, needs, public, shown, subject
from opsbook.api.house import House
from opsbook.api.parameters import InPath
from opsbook.api.problems import Denied, NotFound
from opsbook.engine.access import ROLES
from opsbook.errors import UsageError
from opsbook.store.database import reading
from opsbook.store.tokens import listed

router = subject("status", prefix="")
TOKEN = {"id": "k3v9x0a1b2", "name": "ci", "owner": "ann", "role": "viewer", "scopes": [], "state": "lives"}


@router.get("/healthz", responses=shown({"alive": True}))
def healthz(_: Annotated[House, public("a load balancer asks it, and it tells nothing")]) -> Response:
    """Whether this process answers. Nothing of the system is told."""
    return answer({"alive": True})


@router.get("/api/v1/openapi.json", responses=shown({"openapi": "3.1.0"}))
def description(request: Request, _: Annotated[Visit, needs("viewer", "status")]) -> Response:
    """This description."""
    return answer(request.app.openapi())


@router.get("/api/v1/me", responses=shown({"name": "ann", "roles": ["viewer"], "scopes": [], "version": "0.1.0"}))
def me(visit: Annotated[Visit, needs("viewer", "status")]) -> Response:
    """Who asks, and as what."""
    caller = visit.caller
    roles = sorted(caller.roles(visit.house.last_system().model.access), key=ROLES.index)
    bounds = {name: list(getattr(caller, name)) for name in ("scopes", "systems", "environments")}
    return answer({"name": caller.actor.name, "roles": roles, **bounds, "version": __version__})


@router.get("/api/v1/tokens", responses=shown([TOKEN]))
def tokens(visit: Annotated[Visit, needs("admin", "tokens", whole=True)]) -> Response:
    """The tokens, without their text: that is shown once, to whoever makes one on the host of opsbook."""
    now = visit.setting.now()
    with reading(visit.setting.store) as connection:
        return answer([making.told(one, now) for one in listed(connection)])


@router.delete("/api/v1/tokens/{id}", responses=shown({**TOKEN, "state": "it was revoked"}))
async def revoke(visit: Annotated[Visit, needs("responder", "tokens")], id: InPath) -> Response:
    """End a token at once: one of your own, or as an admin any."""

    def end() -> dict[str, Any]:
        try:
            meant = making.find(visit.setting, id)
        except UsageError as error:
            raise NotFound(error.message, error.hint) from error
        if visit.caller.bound and meant.owner != visit.actor.name:
            raise Denied("tokens are of all environments, and yours is not", "make one without --system and --for-env")
        row = making.revoke(visit.setting, visit.house.last_system().model.access, visit.actor, id)
        return making.told(making.find(visit.setting, row.id), visit.setting.now())

    return answer(await visit.house.act(end))
