"""Changes of the kind `credential`: one act of a rotation, each of which may be done again.

effect: `rotation` (its id in the book), `component`, `act`:
  "prepare": a new secret is made, written beside its first place, made valid, and tried. The old one stays valid.
  "distribute": every place gets the new one. "withdraw": every place gets the old one again.
  "expire": waits until the application has accepted the one from before for as long as the book says, and empties its
  place.
  "retire": waits up to `within` seconds until nobody lives by the old one, makes it invalid, and tries that it is dead.

No value of a credential is in an effect, a result or an output.

result: `login`, and what the act has proven.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import replace

from opsbook.book.planned import Rotation
from opsbook.book.units import show_duration
from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.credentials import pending as kept
from opsbook.connectors.credentials.application import ApplicationSecret
from opsbook.connectors.credentials.contract import Keeper
from opsbook.connectors.credentials.http_issuer import HttpTokens
from opsbook.connectors.credentials.own_tokens import OwnTokens
from opsbook.connectors.credentials.pending import Pending, places_of, rotation_of
from opsbook.connectors.credentials.places import Credential, Place, place_of
from opsbook.connectors.credentials.postgres_logins import PostgresLogins
from opsbook.connectors.credentials.redis_users import RedisUsers
from opsbook.connectors.executors.secrets import NotReached, hear
from opsbook.connectors.postgres import PostgresComponent
from opsbook.connectors.redis import RedisComponent
from opsbook.connectors.registry import executor
from opsbook.errors import OpsbookError, Refused

LOOK_SECONDS = 0.5
QUIET_LOOKS = 4
"""So many looks in a row find nobody: who connects anew for each request is not there at every moment."""


def keeper_of(connections: Connections, rotation: Rotation) -> Keeper:
    """Where its credential is valid."""
    component = connections.system.components[rotation.of]
    if rotation.kind == "password" and isinstance(component, PostgresComponent):
        return PostgresLogins(connections, rotation.of)
    if rotation.kind == "password" and isinstance(component, RedisComponent):
        return RedisUsers(connections, rotation.of)
    issuer = rotation.issuer
    if issuer is not None and issuer.opsbook:
        return OwnTokens(connections, rotation.of, rotation.id)
    if issuer is not None and issuer.http is not None:
        return HttpTokens(connections, rotation.of, issuer.http)
    return ApplicationSecret(connections, rotation.of, issuer)


@executor("credential")
class CredentialExecutor:
    """Rotates."""

    def __init__(self, connections: Connections) -> None:
        self.connections, self.system = connections, connections.system

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises Refused, NotReached or ChangeFailed; at least one credential that the workloads hold is valid then."""
        rotation = rotation_of(self.system, change.effect["rotation"])
        places = places_of(self.connections, rotation)
        keeper = keeper_of(self.connections, rotation)
        match change.effect["act"]:
            case "prepare":
                return Done(await self._prepare(key, rotation, places, keeper, out))
            case "expire":
                return Done(await self._expire(rotation, places, out))
            case "retire":
                cut = bool(change.effect.get("cut"))
                return Done(await self._retire(rotation, places, keeper, change.effect["within"], out, cut=cut))
            case act:
                return Done(await self._write(rotation, places, keeper, act, out))

    async def end(self, key: str, change: Change) -> bool:
        """Nothing of it outlives this process, but for the pending file that the next attempt reads."""
        return True

    async def _prepare(
        self, key: str, rotation: Rotation, places: list[Place], keeper: Keeper, out: Sink
    ) -> dict[str, Json]:
        pending = await kept.read(rotation, places)
        if pending is not None and pending.unknown:
            await _recall(rotation, pending, keeper, out)
            await kept.forget(rotation, places)
            pending = None
        if pending is not None and await _is_stale(rotation, places, pending, keeper):
            await out.write("the places hold another credential than this rotation began with: it begins anew\n")
            pending = None
        if pending is None:
            pending = await self._made(key, rotation, places, keeper)
        _masked(pending)
        await keeper.allow(rotation.role, pending.new, pending.old)
        works = await keeper.accepts(pending.new)
        if works is False:
            raise ChangeFailed(
                f"{rotation.of} does not let the new credential in", "look at its rules of access, such as pg_hba.conf"
            )
        await out.write(
            f"the new credential{_named(pending.new)} is valid{', tried' if works else ''}; the old one too\n"
        )
        return {"login": pending.new.login, "tried": works}

    async def _made(self, key: str, rotation: Rotation, places: list[Place], keeper: Keeper) -> Pending:
        """A new one, written down: before it is valid where opsbook makes it, else its name before it is asked for."""
        old = await kept.current(rotation, places)
        login = keeper.next_login(rotation.role, old.login)
        if not keeper.issues:
            pending = Pending(old, Credential(login, await keeper.new("", rotation.length)))
            await kept.write(rotation, places, pending)
            return pending
        pending = Pending(old, Credential(login, ""), name=kept.name_of(rotation, key))
        await kept.write(rotation, places, pending)
        made = replace(pending, new=Credential(login, await keeper.new(pending.name, rotation.length)))
        try:
            await kept.write(rotation, places, made)
        except ChangeFailed as error:
            if not isinstance(error, NotReached):
                # It is valid already, and nobody would ever know of it.
                with suppress(OpsbookError):
                    await keeper.forbid(rotation.role, made.new)
            raise
        return made

    async def _write(
        self, rotation: Rotation, places: list[Place], keeper: Keeper, act: str, out: Sink
    ) -> dict[str, Json]:
        pending = await self._known(rotation, places)
        forward = act == "distribute"
        if pending.unknown:
            if forward:
                raise ChangeFailed(f"the new credential of {rotation.id} is not known", "begin with credential.prepare")
            await _recall(rotation, pending, keeper, out)
            await kept.forget(rotation, places)
            return {"login": pending.old.login, "places": [str(place) for place in places]}
        wanted, other = (pending.new, pending.old) if forward else (pending.old, pending.new)
        if rotation.previous is not None:
            # First: what was made by the one must be accepted by whoever has the other already.
            await place_of(self.connections, rotation.previous).write(other.secret)
        for place in places:
            await place.put(wanted)
            await out.write(f"{place} holds the {'new' if forward else 'old'} credential\n")
        since = (pending.since or time.time()) if forward else 0.0
        await kept.write(rotation, places, replace(pending, since=since))
        self.system.forget_variables()
        return {"login": wanted.login, "places": [str(place) for place in places]}

    async def _expire(self, rotation: Rotation, places: list[Place], out: Sink) -> dict[str, Json]:
        pending = await kept.read(rotation, places)
        if pending is None or rotation.previous is None:
            return {"login": ""}  # an attempt that was cut off has ended it
        _masked(pending)
        await self._hold_new(rotation, places, pending)
        left = (pending.since or time.time()) + rotation.overlap.total_seconds() - time.time()
        if left > 0:
            await out.write(f"the one from before is accepted for {show_duration(left)} more\n")
            await asyncio.sleep(left)
        place = place_of(self.connections, rotation.previous)
        await place.write("")
        await out.write(f"{place} is empty\n")
        self.system.forget_variables()
        return {"login": pending.new.login}

    async def _retire(
        self, rotation: Rotation, places: list[Place], keeper: Keeper, within: float, out: Sink, *, cut: bool
    ) -> dict[str, Json]:
        pending = await kept.read(rotation, places)
        if pending is None:
            return {"login": "", "dead": True}  # an attempt that was cut off has ended it
        _masked(pending)
        await self._hold_new(rotation, places, pending)
        deadline = time.monotonic() + within
        # In a breach whoever lives by it must not be waited for.
        quiet = QUIET_LOOKS if cut or pending.old.login == pending.new.login else 0
        while quiet < QUIET_LOOKS:
            using = await keeper.users(pending.old)
            quiet = 0 if using else quiet + 1
            if using and time.monotonic() > deadline:
                raise ChangeFailed(
                    f"{using} sessions still live by the old credential{_named(pending.old)}; it stays valid",
                    "find out whose they are; restart them, and go on",
                )
            await asyncio.sleep(LOOK_SECONDS if quiet < QUIET_LOOKS else 0)
        await keeper.forbid(rotation.role, pending.old)
        alive = await keeper.accepts(pending.old)
        if alive:
            raise ChangeFailed(f"{rotation.of} still lets the old credential in", "look at its rules of access")
        await kept.forget(rotation, places)
        said = "tried, and refused" if alive is False else "only the application can say whether it is dead"
        await out.write(f"the old credential{_named(pending.old)}: {said}\n")
        return {"login": pending.new.login, "dead": None if alive is None else True}

    async def _hold_new(self, rotation: Rotation, places: list[Place], pending: Pending) -> None:
        if await kept.current(rotation, places) != pending.new:
            raise ChangeFailed(f"the places of {rotation.id} do not hold the new credential", "distribute it first")

    async def _known(self, rotation: Rotation, places: list[Place]) -> Pending:
        pending = await kept.read(rotation, places)
        if pending is None:
            raise ChangeFailed(f"no rotation of {rotation.id} is under way", "begin with credential.prepare")
        _masked(pending)
        return pending


async def _recall(rotation: Rotation, pending: Pending, keeper: Keeper, out: Sink) -> None:
    """End what its issuer may have made for an attempt that was cut off before it knew."""
    hear([pending.old.secret])
    ended = await keeper.recall(pending.name)
    if ended is None:
        said = f"what its issuer may have made for {rotation.id} as {pending.name} is known to nobody: end it there"
    else:
        said = f"what its issuer had made as {pending.name} is ended" if ended else "its issuer had made nothing yet"
    await out.write(f"an attempt was cut off: {said}\n")


async def _is_stale(rotation: Rotation, places: list[Place], pending: Pending, keeper: Keeper) -> bool:
    """Whether somebody has written another credential into the places since; what was prepared is given up then."""
    try:
        now = await kept.current(rotation, places)
    except Refused:
        return False  # some hold the old one and some the new: a rotation that was cut off
    if now.secret in (pending.old.secret, pending.new.secret):
        return False
    hear([now.secret])
    _masked(pending)
    if not now.login or now.login != pending.new.login:
        await keeper.forbid(rotation.role, pending.new)
    await kept.forget(rotation, places)
    return True


def _masked(pending: Pending) -> None:
    hear([one for one in (pending.old.secret, pending.new.secret) if one])


def _named(credential: Credential) -> str:
    return f" of {credential.login}" if credential.login else ""
