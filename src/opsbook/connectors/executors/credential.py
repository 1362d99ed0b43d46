"""Changes of the kind `credential`: one act of a rotation, each of which may be done again.

effect: `rotation` (its id in the book), `component`, `act`:
  "prepare": a new secret is made, written beside its first place, made valid, and tried. The old one stays valid.
  "distribute": every place gets the new one. "withdraw": every place gets the old one again.
  "retire": waits up to `within` seconds until nobody lives by the old one, makes it invalid, and tries that it is dead.

No value of a credential is in an effect, a result or an output.

result: `login`, and what the act has proven.
"""

from __future__ import annotations

import asyncio
import time

from opsbook.book.planned import Rotation
from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.credentials import pending as kept
from opsbook.connectors.credentials.application import ApplicationSecret
from opsbook.connectors.credentials.contract import Keeper
from opsbook.connectors.credentials.pending import Pending, places_of, rotation_of
from opsbook.connectors.credentials.places import Credential, Place, renewed
from opsbook.connectors.credentials.postgres_logins import PostgresLogins
from opsbook.connectors.credentials.redis_users import RedisUsers
from opsbook.connectors.executors.secrets import hear
from opsbook.connectors.postgres import PostgresComponent
from opsbook.connectors.redis import RedisComponent
from opsbook.connectors.registry import executor

LOOK_SECONDS = 0.5


def keeper_of(connections: Connections, rotation: Rotation) -> Keeper:
    """Where its credential is valid."""
    component = connections.system.components[rotation.of]
    if rotation.kind == "password" and isinstance(component, PostgresComponent):
        return PostgresLogins(connections, rotation.of)
    if rotation.kind == "password" and isinstance(component, RedisComponent):
        return RedisUsers(connections, rotation.of)
    return ApplicationSecret(connections, rotation.of)


@executor("credential")
class CredentialExecutor:
    """Rotates."""

    def __init__(self, connections: Connections) -> None:
        self.connections, self.system = connections, connections.system

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises Refused, NotReached or ChangeFailed; at least one credential that the workloads hold is valid then."""
        rotation = rotation_of(self.system, change.effect["rotation"])
        places = places_of(self.system, rotation)
        keeper = keeper_of(self.connections, rotation)
        match change.effect["act"]:
            case "prepare":
                return Done(await self._prepare(rotation, places, keeper, out))
            case "retire":
                return Done(await self._retire(rotation, places, keeper, change.effect["within"], out))
            case act:
                return Done(await self._write(rotation, places, act, out))

    async def end(self, key: str, change: Change) -> bool:
        """Nothing of it outlives this process, but for the pending file that the next attempt reads."""
        return True

    async def _prepare(self, rotation: Rotation, places: list[Place], keeper: Keeper, out: Sink) -> dict[str, Json]:
        pending = await asyncio.to_thread(kept.read, rotation, places)
        if pending is None:
            old = await asyncio.to_thread(kept.current, rotation, places)
            new = Credential(keeper.next_login(rotation.role, old.login), kept.generated(rotation.length))
            pending = Pending(old, new)
            await asyncio.to_thread(kept.write, rotation, places, pending)
        _masked(pending)
        await keeper.allow(rotation.role, pending.new)
        works = await keeper.accepts(pending.new)
        if works is False:
            raise ChangeFailed(
                f"{rotation.of} does not let the new credential in", "look at its rules of access, such as pg_hba.conf"
            )
        await out.write(
            f"the new credential{_named(pending.new)} is valid{', tried' if works else ''}; the old one too\n"
        )
        return {"login": pending.new.login, "tried": works}

    async def _write(self, rotation: Rotation, places: list[Place], act: str, out: Sink) -> dict[str, Json]:
        pending = await self._known(rotation, places)
        wanted = pending.new if act == "distribute" else pending.old
        for place in places:
            value = await asyncio.to_thread(place.value)
            await asyncio.to_thread(place.write, renewed(value, wanted))
            await out.write(f"{place} holds the {'new' if act == 'distribute' else 'old'} credential\n")
        self.system.forget_variables()
        return {"login": wanted.login, "places": [str(place) for place in places]}

    async def _retire(
        self, rotation: Rotation, places: list[Place], keeper: Keeper, within: float, out: Sink
    ) -> dict[str, Json]:
        pending = await asyncio.to_thread(kept.read, rotation, places)
        if pending is None:
            return {"login": "", "dead": True}  # an attempt that was cut off has ended it
        _masked(pending)
        if await asyncio.to_thread(kept.current, rotation, places) != pending.new:
            raise ChangeFailed(f"the places of {rotation.id} do not hold the new credential", "distribute it first")
        deadline = time.monotonic() + within
        while pending.old.login != pending.new.login and (using := await keeper.users(pending.old)):
            if time.monotonic() > deadline:
                raise ChangeFailed(
                    f"{using} sessions still live by the old credential{_named(pending.old)}; it stays valid",
                    "find out whose they are; restart them, and go on",
                )
            await asyncio.sleep(LOOK_SECONDS)
        await keeper.forbid(rotation.role, pending.old)
        alive = await keeper.accepts(pending.old)
        if alive:
            raise ChangeFailed(f"{rotation.of} still lets the old credential in", "look at its rules of access")
        await asyncio.to_thread(kept.forget, rotation, places)
        said = "tried, and refused" if alive is False else "only the application can say whether it is dead"
        await out.write(f"the old credential{_named(pending.old)}: {said}\n")
        return {"login": pending.new.login, "dead": None if alive is None else True}

    async def _known(self, rotation: Rotation, places: list[Place]) -> Pending:
        pending = await asyncio.to_thread(kept.read, rotation, places)
        if pending is None:
            raise ChangeFailed(f"no rotation of {rotation.id} is under way", "begin with credential.prepare")
        _masked(pending)
        return pending


def _masked(pending: Pending) -> None:
    hear([pending.old.secret, pending.new.secret])


def _named(credential: Credential) -> str:
    return f" of {credential.login}" if credential.login else ""
