"""Tokens of opsbook's own API: the next one lets its owner do what the one before did, and lasts as long.

opsbook makes its text, writes it down as pending, and then gives the store its hash: no token is ever unknown. Both are
tried as anybody would, at the address where `opsbook serve` answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

from sqlalchemy import Connection

from opsbook.clock import SystemClock
from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.contract import Connections, ReadFailed
from opsbook.connectors.credentials.contract import MadeHere
from opsbook.connectors.credentials.places import Credential
from opsbook.connectors.executors.secrets import NotReached
from opsbook.connectors.http import HttpConnector
from opsbook.errors import OpsbookError, Refused, Unreachable
from opsbook.store import audit, tokens
from opsbook.store.database import open_store, writing

ME = "/api/v1/me"
ITSELF = "opsbook"
ALIVE, DEAD = (200, 403), 401
"""403: it is known, and its scopes leave this page out."""
T = TypeVar("T")


class OwnTokens(MadeHere):
    """Those of the store that this opsbook works with."""

    def __init__(self, connections: Connections, component: str, rotation: str) -> None:
        self.connections, self.component, self.rotation = connections, component, rotation

    def next_login(self, role: str, login: str) -> str:
        if not isinstance(self.connections.of(self.component), HttpConnector):
            raise Refused(
                f"{self.component} has no address at which a token could be tried",
                "set `of` of the rotation to the http component where `opsbook serve` answers",
            )
        return login

    async def new(self, name: str, length: int) -> str:
        return tokens.new_text()

    async def allow(self, role: str, new: Credential, old: Credential) -> None:
        await self._written(lambda connection: self._add(connection, new.secret, old.secret))

    def _add(self, connection: Connection, new: str, old: str) -> None:
        found, now = tokens.parts(new), SystemClock().now().timestamp()
        assert found is not None, "made here"
        if tokens.known(connection, new) is not None:
            return  # an attempt that was cut off has done it
        before = tokens.known(connection, old)
        why = "nobody has made it" if before is None else before.dead(now)
        if before is None or why:
            raise ChangeFailed(
                f"what the places of {self.rotation} hold lets nobody into this opsbook: {why}",
                "make one with `opsbook token make`, write it there, and rotate it from then on",
            )
        row = replace(
            before, id=found[0], hash=found[1], made_by=ITSELF, made_at=now, used_at=None,
            expires_at=now + before.expires_at - before.made_at,
        )  # fmt: skip
        tokens.add(connection, row)
        self._recorded(connection, "token made", row, now)

    async def accepts(self, credential: Credential) -> bool | None:
        connector = self.connections.of(self.component)
        assert isinstance(connector, HttpConnector), "planned for one"
        try:
            answer = await connector.client.get(ME, {"Authorization": f"Bearer {credential.secret}"})
        except (Unreachable, ReadFailed) as error:
            raise NotReached(f"{self.component}: {error.message}", "does `opsbook serve` run?") from None
        if answer.status == DEAD:
            return False
        if answer.status not in ALIVE:
            raise NotReached(f"{self.component} answers {answer.words} to {ME}", "is that `opsbook serve`?")
        return True

    async def users(self, old: Credential) -> int | None:
        return None  # a request is over before anybody counts

    async def forbid(self, role: str, old: Credential) -> None:
        await self._written(lambda connection: self._end(connection, old.secret))

    def _end(self, connection: Connection, old: str) -> None:
        row, now = tokens.known(connection, old), SystemClock().now().timestamp()
        if row is not None and tokens.revoke(connection, row.id, now):
            self._recorded(connection, "token revoked", row, now)

    def _recorded(self, connection: Connection, event: str, row: tokens.TokenRow, now: float) -> None:
        """The run's next record signs it, too."""
        act = audit.Act(now, ITSELF, f"rotation {self.rotation}", event, detail=tokens.told_of(row))
        audit.append(connection, [act])

    async def _written(self, write: Callable[[Connection], T]) -> T:
        """In one transaction of the store. Raises ChangeFailed."""

        def work() -> T:
            with self._store() as connection:
                return write(connection)

        return await asyncio.to_thread(work)

    @contextmanager
    def _store(self) -> Iterator[Connection]:
        if not self.connections.store:
            raise Refused("no store is open here", "tokens are rotated by `opsbook run` or `opsbook serve`")
        try:
            engine = open_store(self.connections.store)
            try:
                with writing(engine) as connection:
                    yield connection
            finally:
                engine.dispose()
        except (ChangeFailed, Refused):
            raise
        except OpsbookError as error:
            raise NotReached(error.message, error.hint) from error
