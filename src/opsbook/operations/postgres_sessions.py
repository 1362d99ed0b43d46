"""Ending sessions and statements, always by a scope: never all, never replication, never opsbook itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal

from pydantic import Field, model_validator

from opsbook.book.catalogue import Risk
from opsbook.book.values import Duration
from opsbook.connectors.change import Change, Json
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation
from opsbook.operations.statements import statement

State = Literal["active", "idle", "idle in transaction", "idle in transaction (aborted)"]

# The age of a session is that of what it is doing: its statement while it runs one, else since it last changed state.
# pg_stat_activity is the same all through a transaction, so that guard and statement see the same sessions.
SCOPE = """
FROM pg_stat_activity
WHERE backend_type = 'client backend'
  AND pid <> pg_backend_pid()
  AND application_name NOT LIKE 'opsbook%%'
  AND datname IS NOT DISTINCT FROM coalesce(%(database)s, current_database())
  AND (%(state)s::text IS NULL OR state = %(state)s)
  AND (%(user)s::text IS NULL OR usename = %(user)s)
  AND (%(application)s::text IS NULL OR application_name = %(application)s)
  AND (%(older_than)s::float IS NULL
       OR clock_timestamp() - CASE state WHEN 'active' THEN query_start ELSE state_change END
          > make_interval(secs => %(older_than)s))
"""
SEEN = """
SELECT pid, usename AS user, application_name AS application, state, left(query, 200) AS query,
       extract(epoch FROM clock_timestamp()
                          - CASE state WHEN 'active' THEN query_start ELSE state_change END) AS seconds
"""
# A role that is no superuser may not signal one, and the whole statement would fail in the middle. Such sessions are
# told with `ended` null.
END = """
SELECT pid, usename AS user, state,
       CASE WHEN current_setting('is_superuser')::bool OR NOT EXISTS (
                     SELECT FROM pg_roles AS r WHERE r.oid = usesysid AND r.rolsuper)
            THEN {function}(pid) END AS ended
"""
FEW_ENOUGH = f"SELECT count(*) <= %(most)s {SCOPE}"


class Scope(OperationParameters):
    older_than: Duration | None = Field(None, description="only what its statement or idleness is older than")
    state: State | None = Field(None, description="only sessions in this state")
    user: str | None = Field(None, description="only sessions of this role")
    application: str | None = Field(None, description="only sessions that give this application_name")
    database: str | None = Field(None, description="only sessions of this database; the component's own where left out")
    most: int = Field(100, gt=0, description="the most sessions that may be met; with more nothing is ended")

    @model_validator(mode="after")
    def _scoped(self) -> Scope:
        if self.older_than is not None and not self.older_than:
            raise ValueError("older_than is 0s, which would meet every session; give an age, such as 5m")
        if not (self.older_than or self.user or self.application):
            raise ValueError(
                "give at least one of older_than, user, application: sessions are never ended without a scope"
            )
        return self

    def bound(self) -> dict[str, Json]:
        """The values of the predicate."""
        return {
            "database": self.database,
            "state": self.state,
            "user": self.user,
            "application": self.application,
            "older_than": self.older_than.total_seconds() if self.older_than else None,
        }


class Cancelled(Scope):
    state: Literal["active"] = Field("active", description="only running statements can be cancelled")


class _End(Repeatable):
    function: str
    gone: str

    async def plan(self, parameters: Scope, facts: Facts) -> AsyncIterator[Change]:
        bound = parameters.bound()
        seen = await facts.rows(parameters.of, SEEN + SCOPE, bound)
        yield statement(
            parameters.of,
            END.format(function=self.function) + SCOPE,
            bound,
            evidence={"sessions": seen, "count": len(seen)},
            guard={
                "statement": FEW_ENOUGH,
                "parameters": {**bound, "most": parameters.most},
                "says": f"more than {parameters.most} sessions are met",
            },
            inverse=self.gone,
        )


@operation(
    "postgres.terminate",
    Risk.DISRUPTIVE,
    of="postgres",
    idempotent=True,
    parameters=Scope,
    doc="Ends client sessions in a scope; their transactions are rolled back. Never replication, background workers or "
    "opsbook's own sessions.",
)
class _Terminate(_End):
    function = "pg_terminate_backend"
    gone = "a session that was ended is gone; its client connects again"


@operation(
    "postgres.cancel",
    Risk.DISRUPTIVE,
    of="postgres",
    idempotent=True,
    parameters=Cancelled,
    doc="Cancels the running statements of client sessions in a scope; the sessions stay.",
)
class _Cancel(_End):
    function = "pg_cancel_backend"
    gone = "a statement that was cancelled is rolled back; its client may send it again"
