"""What a run writes: everything between two changes goes into one transaction, with its records in the audit chain.

The outcome of one change and the intent of the next are one write, and the fencing token is checked in it: a run whose
lock went to another one may not write an intent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, TextClause, text, update

from opsbook.connectors.change import Json
from opsbook.engine import locks
from opsbook.engine.setting import Setting, Write
from opsbook.errors import OpsbookError
from opsbook.store import audit, runs
from opsbook.store.tables import changes


class LockLost(OpsbookError):
    """Another run holds the locks: this one must not change anything any more."""


class Journal:
    """The pending writes of one run."""

    def __init__(self, setting: Setting, run: runs.RunRow, executor: str) -> None:
        self.setting, self.run, self.executor = setting, run, executor
        self.fence = 0
        self.claim: Write | None = None
        """Raises ClaimLost where another worker has taken the run over."""
        self._writes: list[Write] = []
        self._acts: list[audit.Act] = []
        self._begun: set[str] = set()

    def knows(self, begun: Iterable[str]) -> None:
        """Steps that have a row already."""
        self._begun.update(begun)

    def tell(
        self,
        event: str,
        *,
        step: str | None = None,
        attempt: int | None = None,
        outcome: str = "",
        actor: str = "",
        detail: Json = None,
    ) -> None:
        """A record for the audit chain. With step and attempt the store takes it only once."""
        run = self.run
        self._acts.append(
            audit.Act(
                self.setting.now(),
                actor or run.requester,
                # Who asked for a run is not whose rights it had.
                f"executed by {self.executor}",
                event,
                run.id,
                step,
                attempt,
                run.procedure,
                run.digest,
                outcome,
                {} if detail is None else detail,
            )
        )

    def set_run(self, **values: Any) -> None:
        """Change the run's row."""
        self._writes.append(lambda connection: runs.change_run(connection, self.run.id, **values))

    def set_step(self, step: str, position: int, **values: Any) -> None:
        """Change the row of a step, made where it has none yet."""
        if step in self._begun:
            self._execute(
                _update("steps", ("run", "step"), tuple(values)), {**values, "run": self.run.id, "step": step}
            )
            return
        self._begun.add(step)
        row = {"run": self.run.id, "step": step, "position": position, **values}
        self._execute(_insert("steps", tuple(row)), row)

    def add_change(self, row: dict[str, Any]) -> None:
        """The intent of a change."""
        self._execute(_insert("changes", tuple(row)), row)

    def set_change(self, key: str, **values: Any) -> None:
        """What became of a change."""
        self._execute(_update("changes", ("key",), tuple(values)), {**values, "key": key})

    def noted(self, key: str, cursor: Json, progress: Json) -> Write:
        """The write that says how far a batched change is."""
        message = "" if progress is None else progress if isinstance(progress, str) else as_text(progress)
        statement = update(changes).where(changes.c.key == key).values(cursor=as_text(cursor), message=message)
        return lambda connection: connection.execute(statement)

    def also(self, writes: Iterable[Write]) -> None:
        """Further writes of the same transaction."""
        self._writes += writes

    async def commit(self) -> None:
        """Write all of it, or raise StoreFailed and keep it for the next time. Raises LockLost."""
        writes, acts = list(self._writes), list(self._acts)
        if not writes and not acts:
            return
        await self.setting.in_writer(lambda: self.setting.write([self._hold, *writes, lambda c: audit.append(c, acts)]))
        del self._writes[: len(writes)]
        del self._acts[: len(acts)]

    def drop(self) -> None:
        """Forget what was not written."""
        self._writes.clear()
        self._acts.clear()

    def _execute(self, statement: TextClause, values: dict[str, Any]) -> None:
        self._writes.append(lambda connection: connection.execute(statement, values))

    def _hold(self, connection: Connection) -> None:
        if self.claim is not None:
            self.claim(connection)
        if not locks.holds(connection, self.run.id, self.fence):
            raise LockLost(
                f"run {self.run.id} no longer holds its locks (token {self.fence})", "`opsbook runs` shows who does"
            )


@lru_cache
def _insert(table: str, columns: tuple[str, ...]) -> TextClause:
    # As text, because building a statement anew for every step costs more than the disk does.
    names = ", ".join(f'"{column}"' for column in columns)
    return text(f"INSERT INTO {table} ({names}) VALUES ({', '.join(f':{column}' for column in columns)})")  # noqa: S608


@lru_cache
def _update(table: str, keys: tuple[str, ...], columns: tuple[str, ...]) -> TextClause:
    values = ", ".join(f'"{column}" = :{column}' for column in columns)
    place = " AND ".join(f'"{key}" = :{key}' for key in keys)
    return text(f"UPDATE {table} SET {values} WHERE {place}")  # noqa: S608


def as_text(value: Json) -> str:
    """JSON as it is stored."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
