"""Tokens as they are stored: who may come in over the network, as what, until when. Their text is never stored.

Their text is `opsbook_ID_SECRET`: the id finds its row, the secret (256 random bits) is compared in constant time. So
much randomness needs no slow hash.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from opsbook.store.watch_tables import tokens

TEXT = re.compile(r"opsbook_(?P<id>[a-z0-9]{10})_(?P<secret>[A-Za-z0-9_-]{43})")
ID_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def new_text() -> str:
    """The text of a token that nobody has yet."""
    id = "".join(secrets.choice(ID_LETTERS) for _ in range(10))
    return f"opsbook_{id}_{secrets.token_urlsafe(32)}"


def parts(text: str) -> tuple[str, str] | None:
    """The id of a token's text, and the hash of its secret; None for what is no token of opsbook."""
    found = TEXT.fullmatch(text)
    return None if found is None else (found["id"], hashlib.sha256(found["secret"].encode()).hexdigest())


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


def known(connection: Connection, text: str) -> TokenRow | None:
    """The row of a token's text, also of one that has ended; None where no token is so."""
    found = parts(text)
    if found is None:
        return None
    row = token_of(connection, found[0])
    # Compared also where there is none, so that the time tells nothing of which ids there are.
    return row if compare_digest(found[1], row.hash if row else "0" * 64) else None


def told_of(token: TokenRow) -> dict[str, Any]:
    """A token as the record of its making and its end has it."""
    return {
        "token": token.id, "name": token.name, "owner": token.owner, "role": token.role, "scopes": list(token.scopes),
        "systems": list(token.systems), "environments": list(token.environments), "expires_at": token.expires_at,
    }  # fmt: skip


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
