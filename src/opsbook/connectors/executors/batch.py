"""Changes of the kind `batch`: many rows deleted, a bounded batch a transaction.

effect: `component`; `before`, a query for the moment that fixes what is meant; `count`, how many that is, up to
`limit`; `delete`, which takes `batch` and answers `rows` and `last`; `parameters` of all three; `batch`; `ceiling`.

Nothing is deleted where more than the ceiling is meant. After each second it yields, with the fixed moment and the
count in its cursor: cut off, it goes on from there, and at most one batch is missing in the count.

result: `deleted`, `before`.
"""

from __future__ import annotations

import time
from typing import Any

from opsbook.connectors.change import Change, Done, Json, More, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.sql import SqlExecutor
from opsbook.connectors.registry import executor
from opsbook.errors import Refused

SLICE_SECONDS = 1.0


@executor("batch")
class Batch:
    """Deletes in batches, each by the executor of `sql`, under the key of the change."""

    def __init__(self, connections: Connections) -> None:
        self.sql = SqlExecutor(connections)

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done | More:
        """Raises Refused at the ceiling, and what `sql` raises."""
        effect, started = change.effect, time.monotonic()
        state = dict(cursor) if cursor else await self.begin(key, effect)
        while True:
            left = effect["ceiling"] - state["deleted"]
            row = await self._run(key, effect, "delete", batch=max(1, min(effect["batch"], left)), **_place(state))
            if not row["rows"]:
                if not state.get("from"):
                    break
                # Rows that came late with an old time lie before where it is: once more from the beginning.
                state["from"] = None
                continue
            state |= {"deleted": state["deleted"] + row["rows"], "from": row["last"]}
            if state["deleted"] > effect["ceiling"]:
                raise Refused(
                    f"{state['deleted']:,} rows are deleted, and more came than were counted", "plan anew for the rest"
                )
            if time.monotonic() - started > SLICE_SECONDS:
                return More(state, f"{state['deleted']:,} rows deleted")
        await out.write(f"{state['deleted']:,} rows deleted, older than {state['before']}\n")
        return Done({"deleted": state["deleted"], "before": state["before"]})

    async def end(self, key: str, change: Change) -> bool:
        """Terminate the session that carries the key."""
        return await self.sql.end(key, _statement(change.effect, "delete", {}))

    async def begin(self, key: str, effect: dict[str, Any]) -> dict[str, Json]:
        """The fixed moment, where what is older than that is not more than the ceiling. Raises Refused."""
        before = (await self._run(key, effect, "before"))["before"]
        counted = await self.count(key, effect, before)
        if counted > effect["ceiling"]:
            raise Refused(
                f"more than {effect['ceiling']:,} rows are meant; nothing was deleted", "raise `most` if that is meant"
            )
        return {"before": before, "deleted": 0, "from": None}

    async def count(self, key: str, effect: dict[str, Any], before: str) -> int:
        """How many rows are older than the moment; one more than the ceiling says that there are more."""
        told = await self._run(key, effect, "count", before=before, limit=effect["ceiling"] + 1)
        return int(told["rows"])

    async def _run(self, key: str, effect: dict[str, Any], name: str, **more: Json) -> dict[str, Any]:
        told = await self.sql.apply(key, _statement(effect, name, more), None, _Quiet())
        return dict(told.result["records"][0])


class _Quiet:
    """Takes what the single batches say."""

    async def write(self, text: str) -> None:
        return None


def _place(state: dict[str, Json]) -> dict[str, Json]:
    return {"before": state["before"], "from": state["from"]}


def _statement(effect: dict[str, Any], name: str, more: dict[str, Json]) -> Change:
    parameters = {**effect["parameters"], **more}
    told = {"component": effect["component"], "statement": effect[name], "parameters": parameters, "write": True}
    return Change("sql", {**told, "timeout": 300.0})
