"""Tokens as they are stored: who may come in over the network, as what, until when. Their text is never stored."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from opsbook.store.watch_tables import tokens


@dataclass(frozen=True)
class TokenRow:
    """A token. Times are UTC seconds; an empty list of scopes, systems or environments is all."""

    id: str
    name: str
    owner: str
    hash: str
    role: str
    scopes: tuple[str, ...]
    systems: tuple[str, ...]
    environments: tuple[str, ...]
    made_by: str
    made_at: float
    expires_at: float
    revoked_at: float | None = None
    used_at: float | None = None

    def dead(self, now: float) -> str | None:
        """Why it no longer lets anybody in; None where it does."""
        if self.revoked_at is not None:
            return "it was revoked"
        return "it has expired" if self.expires_at <= now else None


def add(connection: Connection, token: TokenRow) -> None:
    """Store a new token."""
    lists = {name: json.dumps(getattr(token, name)) for name in ("scopes", "systems", "environments")}
    connection.execute(insert(tokens).values({**vars(token), **lists}))


def token_of(connection: Connection, id: str) -> TokenRow | None:
    """The token of this id."""
    row = connection.execute(select(tokens).where(tokens.c.id == id)).first()
    return _token(row) if row else None


def listed(connection: Connection) -> list[TokenRow]:
    """All of them, revoked and expired ones too, oldest first."""
    return [_token(row) for row in connection.execute(select(tokens).order_by(tokens.c.made_at, tokens.c.id))]


def any_alive(connection: Connection, now: float) -> bool:
    """Whether one of them lets somebody in now."""
    alive = tokens.c.revoked_at.is_(None) & (tokens.c.expires_at > now)
    return connection.execute(select(tokens.c.id).where(alive).limit(1)).first() is not None


def revoke(connection: Connection, id: str, now: float) -> bool:
    """End a token. False where it was revoked before."""
    open_one = (tokens.c.id == id) & tokens.c.revoked_at.is_(None)
    return connection.execute(update(tokens).where(open_one).values(revoked_at=now)).rowcount > 0


def used(connection: Connection, id: str, now: float) -> None:
    """Note that it was used."""
    connection.execute(update(tokens).where(tokens.c.id == id).values(used_at=now))


def _token(row: Row[Any]) -> TokenRow:
    told = dict(row._mapping)
    lists = {name: tuple(json.loads(told[name] or "[]")) for name in ("scopes", "systems", "environments")}
    return TokenRow(**{**told, **lists})
