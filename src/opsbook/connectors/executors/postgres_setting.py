"""Changes of the kind `postgres-setting`: ALTER SYSTEM, reload, and the value read back, as one change with one undo.

effect: `component`, `name`, `statement` (the ALTER SYSTEM), `wanted` (as pg_settings shows it; None: whatever it is
then), `kind` (pg_settings.vartype).

result: `now`, `pending_restart`.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.sql import SqlExecutor
from opsbook.connectors.registry import executor

READ_BACK_SECONDS = 10.0
"""The postmaster reloads within milliseconds; a server under load may take longer."""
LOOK_SECONDS = 0.1
# A new session each time: it has what the postmaster has. reset_val: no setting of opsbook's own session is met.
NOW = """
SELECT current_setting(name) AS now, reset_val, pending_restart,
       source IN ('database', 'user', 'database user', 'override') AS overridden,
       pg_conf_load_time() > %(before)s::timestamptz AS reloaded
FROM pg_settings
WHERE name = %(name)s
"""


@executor("postgres-setting")
class Setting:
    """Sets and reads back."""

    def __init__(self, connections: Connections) -> None:
        self.sql = SqlExecutor(connections)

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises what `sql` raises, and ChangeFailed where the server does not take the value up."""
        effect = change.effect
        before = (await self._run(key, effect, "SELECT pg_conf_load_time()::text AS at", {}))["at"]
        await self._run(key, effect, effect["statement"], {}, write=True)
        await self._run(key, effect, "SELECT pg_reload_conf()", {}, write=True)
        deadline = time.monotonic() + READ_BACK_SECONDS
        while True:
            row = await self._run(key, effect, NOW, {"name": effect["name"], "before": before})
            if row["reloaded"] and (row["pending_restart"] or row["overridden"] or _taken(effect, row)):
                break
            if time.monotonic() > deadline:
                raise ChangeFailed(
                    f"{effect['component']}: {effect['name']} is {row['now']} after the reload",
                    "see the server's log: another file may set it, or the reload failed",
                )
            await asyncio.sleep(LOOK_SECONDS)
        result = {"now": row["now"], "pending_restart": row["pending_restart"]}
        if row["overridden"]:
            result["note"] = "the database or the role has a value of its own, which holds here"
        await out.write(
            f"{effect['name']} is {row['now']}"
            + (", and changes with the next restart of the server\n" if row["pending_restart"] else "\n")
        )
        return Done(result)

    async def end(self, key: str, change: Change) -> bool:
        """Terminate the session that carries the key."""
        return await self.sql.end(key, _statement(change.effect, "SELECT 1", {}, write=True))

    async def _run(
        self, key: str, effect: dict[str, Any], sql: str, parameters: dict[str, Json], *, write: bool = False
    ) -> dict[str, Any]:
        """The first row that it yields."""
        told = await self.sql.apply(key, _statement(effect, sql, parameters, write=write), None, _Quiet())
        records = told.result.get("records") or [{}]
        return dict(records[0])


class _Quiet:
    """Takes what the single statements say."""

    async def write(self, text: str) -> None:
        return None


def _statement(effect: dict[str, Any], sql: str, parameters: dict[str, Json], *, write: bool) -> Change:
    told = {"component": effect["component"], "statement": sql, "parameters": parameters, "write": write}
    return Change("sql", {**told, "timeout": 30.0})


def _taken(effect: dict[str, Any], row: dict[str, Any]) -> bool:
    wanted, now = effect["wanted"], row["reset_val"]
    if wanted is None:
        return True
    if effect["kind"] == "real":
        return abs(float(wanted) - float(now)) <= 1e-6 * max(1.0, abs(float(wanted)))
    # Lists are shown as the server quotes them.
    return str(wanted).replace(" ", "") == str(now).replace(" ", "").replace('"', "") or str(wanted) == str(now)
