"""What is to come of a rotation, written beside its first place before anything is made valid.

A process that dies loses no secret: the next attempt finds here what the one before has made, and what was there. Where
somebody else makes it, the name under which it is asked for stands here first, and the secret only once it is known.
"""

from __future__ import annotations

import json
import re
import secrets
import string
from dataclasses import asdict, dataclass

from opsbook.book.planned import Rotation
from opsbook.book.system import System
from opsbook.book.words import nearest
from opsbook.connectors.contract import Connections
from opsbook.connectors.credentials.places import Credential, Place, credential_in, place_of
from opsbook.connectors.held.contract import Held
from opsbook.connectors.held.contract import write as write_held
from opsbook.errors import Refused

ALPHABET = string.ascii_letters + string.digits
"""Of generated secrets: none of these means anything to a shell, a URL, an env file or SQL."""


@dataclass(frozen=True)
class Pending:
    """The credential before and after."""

    old: Credential
    new: Credential
    since: float = 0.0
    """When every place held the new one, in seconds of the epoch; 0 before that."""
    name: str = ""
    """What the new one was asked for under, where somebody else makes it."""

    @property
    def unknown(self) -> bool:
        """Whether its issuer was asked, and what it may have made is not known here."""
        return not self.new.secret


def rotation_of(system: System, name: str) -> Rotation:
    """Raises Refused with the nearest name."""
    found = {one.id: one for one in system.model.rotations if system.holds(one.environments)}
    if name not in found:
        raise Refused(f"the book has no rotation named {name!r} here", nearest(name, found) or "see `rotations`")
    return found[name]


def places_of(connections: Connections, rotation: Rotation) -> list[Place]:
    """Every place that holds it, `to` first. Raises Refused."""
    if rotation.to is None:
        raise Refused(
            f"the book does not say where {rotation.id} is read",
            "set its `to`: file:PATH, env:FILE#NAME, secret:NAME/KEY",
        )
    return [place_of(connections, one) for one in (rotation.to, *rotation.also)]


async def current(rotation: Rotation, places: list[Place]) -> Credential:
    """What the places hold now; they must agree. Raises Refused."""
    found = [credential_in(await place.value()) for place in places]
    logins, values = {one.login for one in found} - {""}, {one.secret for one in found} - {""}
    if len(logins) > 1 or len(values) > 1:
        raise Refused(f"the places of {rotation.id} do not hold the same credential", "make them agree first")
    if not values:
        raise Refused(f"none of the places of {rotation.id} holds its secret", "check `to` and `also`")
    return Credential(next(iter(logins), rotation.role), next(iter(values)))


def name_of(rotation: Rotation, key: str) -> str:
    """A name for what an issuer is asked to make: of this run, and of this attempt, so that it is taken by nobody."""
    run = re.sub(r"[^A-Za-z0-9]+", "-", key)
    return f"{rotation.id}-{run}-{secrets.token_hex(3)}"


def generated(length: int) -> str:
    """A new secret."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


async def read(rotation: Rotation, places: list[Place]) -> Pending | None:
    """None where no rotation is under way. Raises Refused for what cannot be read."""
    held = _held(rotation, places)
    content = await held.read()
    if content is None:
        return None
    try:
        told = json.loads(content)
        return Pending(
            Credential(**told["old"]), Credential(**told["new"]), float(told.get("since", 0)), str(told.get("name", ""))
        )
    except (ValueError, KeyError, TypeError):
        # Without its cause, which may quote it.
        raise Refused(f"{held} cannot be read", "look at it: it may hold the only copy of a secret") from None


async def write(rotation: Rotation, places: list[Place], pending: Pending) -> None:
    """Raises ChangeFailed; nothing is valid yet then."""
    await write_held(_held(rotation, places), json.dumps(asdict(pending)).encode())


async def forget(rotation: Rotation, places: list[Place]) -> None:
    """The rotation is over."""
    await _held(rotation, places).remove()


def _held(rotation: Rotation, places: list[Place]) -> Held:
    return places[0].held.beside(f"{rotation.id}.pending")
