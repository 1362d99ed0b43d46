"""Making, reading and ending tokens. A token is shown once, when it is made; the store keeps its SHA-256."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from opsbook.api.scopes import SCOPES
from opsbook.book.people import Access
from opsbook.book.words import nearest
from opsbook.engine.access import ROLES, Actor, asker_of
from opsbook.engine.setting import Setting
from opsbook.errors import Refused, UsageError
from opsbook.store import audit, tokens
from opsbook.store.database import reading, writing
from opsbook.store.tokens import TokenRow

LONGEST = timedelta(days=366)
"""Longer ones are forgotten before they end."""
USED_SECONDS = 60.0
"""How exactly the last use is known: it is written at most so often."""
ITSELF = "opsbook"
"""The name under which opsbook acts by itself: nobody else has it."""


@dataclass(frozen=True)
class Bounds:
    """What a token lets its owner do. Empty lists are all."""

    role: str = "viewer"
    scopes: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()


def make(
    setting: Setting, access: Access, actor: Actor, name: str, bounds: Bounds, lasts: timedelta, owner: str = ""
) -> tuple[str, TokenRow]:
    """A new token and its text, which is nowhere else. Raises UsageError, or Refused for who may not.

    Everybody may make one of their own, not above their own role; one for somebody else needs an admin.
    """
    owner = owner or actor.name
    _must_be_valid(name, owner, bounds, lasts)
    who = asker_of(access, actor)
    if owner != actor.name and not who.one_of(["admin"]):
        raise Refused(f"{actor.name} may not make a token for {owner}", "it needs the role admin")
    if not who.one_of([bounds.role]):
        raise Refused(f"{actor.name} has not the role {bounds.role}", "make the token with a lower --role")
    text, now = tokens.new_text(), setting.now()
    id, digest = tokens.parts(text) or ("", "")
    row = TokenRow(
        id, name, owner, digest, bounds.role, bounds.scopes, bounds.systems, bounds.environments, actor.name,
        now, now + lasts.total_seconds(),
    )  # fmt: skip
    _write(setting, actor, "token made", row, lambda connection: tokens.add(connection, row))
    return text, row


def revoke(setting: Setting, access: Access, actor: Actor, wanted: str) -> TokenRow:
    """End a token, named by its id or its name. Raises UsageError, or Refused for who may not."""
    row = find(setting, wanted)
    if row.owner != actor.name and not asker_of(access, actor).one_of(["admin"]):
        raise Refused(f"{actor.name} may not revoke the token of {row.owner}", "it needs the role admin")
    if row.revoked_at is not None:
        raise UsageError(f"token {row.id} was revoked before", "`opsbook token list --all` shows when")
    _write(setting, actor, "token revoked", row, lambda connection: tokens.revoke(connection, row.id, setting.now()))
    return row


def find(setting: Setting, wanted: str) -> TokenRow:
    """The token that is meant: by its id, or by its name where only one that lives has it. Raises UsageError."""
    with reading(setting.store) as connection:
        found = tokens.listed(connection)
    for one in found:
        if one.id == wanted:
            return one
    named = [one for one in found if one.name == wanted and not one.dead(setting.now())]
    if len(named) == 1:
        return named[0]
    if named:
        raise UsageError(f"{len(named)} tokens are named {wanted!r}", f"name its id: {', '.join(o.id for o in named)}")
    raise UsageError(f"there is no token {wanted!r}", nearest(wanted, [o.id for o in found] + [o.name for o in found]))


def known(setting: Setting, text: str) -> TokenRow | None:
    """The row of a token's text, also of one that has ended; None where no token is so. Blocking."""
    with reading(setting.store) as connection:
        return tokens.known(connection, text)


def told(row: TokenRow, now: float) -> dict[str, Any]:
    """A token for people and programs, without its hash."""
    shown: Mapping[str, Any] = {name: value for name, value in vars(row).items() if name != "hash"}
    return {**shown, "state": row.dead(now) or "lives"}


def _must_be_valid(name: str, owner: str, bounds: Bounds, lasts: timedelta) -> None:
    for what, value in (("the name", name), ("the owner", owner)):
        if not value or len(value) > 100 or not value.isprintable():
            raise UsageError(f"{what} of a token is 1 to 100 printable characters", "give another")
    if owner == ITSELF:
        raise UsageError(f"{ITSELF} acts by itself and needs no token", "name a person or a service as its owner")
    if bounds.role not in ROLES:
        raise UsageError(f"there is no role {bounds.role!r}", nearest(bounds.role, ROLES))
    for scope in bounds.scopes:
        if scope not in SCOPES:
            raise UsageError(f"there is no scope {scope!r}", nearest(scope, SCOPES))
    if not timedelta(0) < lasts <= LONGEST:
        raise UsageError("a token lasts at most a year", "give --expires such as 90d, and make another in time")


def _write(setting: Setting, actor: Actor, event: str, row: TokenRow, write: Any) -> None:
    setting.check_audit()
    with writing(setting.store) as connection:
        write(connection)
        audit.append(
            connection, [audit.Act(setting.now(), actor.name, actor.origin, event, detail=tokens.told_of(row))]
        )
    setting.write_head()
