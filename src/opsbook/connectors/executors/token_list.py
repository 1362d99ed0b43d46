"""Changes of the kind `token-list`: the tokens of opsbook's own API that let somebody in, as evidence of a run.

effect: nothing. result: `count`; `summary`, a sentence for each of the first ones; `tokens`, each with `id`, `name`,
`owner`, `role`, `scopes`, `systems`, `environments`, `made_by`; `made`, `expires`, `used` as ISO 8601 in UTC (`used`
is empty where it never was). An empty list of scopes, systems or environments is all. Nothing of their text is known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from opsbook.clock import SystemClock
from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.registry import executor
from opsbook.errors import OpsbookError
from opsbook.store.database import open_store, reading
from opsbook.store.tokens import TokenRow, listed

SHOWN = 20
"""So many are told in the summary; the result has them all."""


@executor("token-list")
class TokenList:
    """Looks into the store of this opsbook."""

    def __init__(self, connections: Connections) -> None:
        self.store = connections.store

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises ChangeFailed where the store cannot be read."""
        found = await asyncio.to_thread(self._living)
        for one in found:
            await out.write(f"{_sentence(one)}\n")
        return Done({"count": len(found), "summary": summary(found), "tokens": [_told(one) for one in found]})

    def _living(self) -> list[TokenRow]:
        if not self.store:
            raise ChangeFailed("no store is open here", "tokens are listed by `opsbook run` or `opsbook serve`")
        now = SystemClock().now().timestamp()
        try:
            engine = open_store(self.store)
            try:
                with reading(engine) as connection:
                    return [one for one in listed(connection) if not one.dead(now)]
            finally:
                engine.dispose()
        except OpsbookError as error:
            raise ChangeFailed(error.message, error.hint) from error

    async def end(self, key: str, change: Change) -> bool:
        """It only looks."""
        return True


def summary(found: Sequence[TokenRow]) -> str:
    """All of them in one line."""
    if not found:
        return "no token lets anybody in"
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return "; ".join(map(_sentence, found[:SHOWN])) + more


def _sentence(one: TokenRow) -> str:
    only = [*one.scopes, *one.systems, *one.environments]
    bounds = f" for {', '.join(only)} only" if only else ""
    used = f"last used {_moment(one.used_at)[:10]}" if one.used_at else "never used"
    return f"{one.name} ({one.id}) of {one.owner}: {one.role}{bounds}, until {_moment(one.expires_at)[:10]}, {used}"


def _told(one: TokenRow) -> dict[str, Any]:
    return {
        "id": one.id, "name": one.name, "owner": one.owner, "role": one.role, "scopes": list(one.scopes),
        "systems": list(one.systems), "environments": list(one.environments), "made_by": one.made_by,
        "made": _moment(one.made_at), "expires": _moment(one.expires_at), "used": _moment(one.used_at),
    }  # fmt: skip


def _moment(at: float | None) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds") if at else ""
