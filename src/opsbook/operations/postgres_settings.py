"""Server settings: set, reloaded, read back; a restart that is still needed is told, never done by the way."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.connectors.change import Change
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation
from opsbook.operations.statements import Identifier, quoted, statement

SETTING = """
SELECT s.name, s.setting, s.unit, s.context, s.vartype, s.enumvals, s.min_val, s.max_val, s.pending_restart,
       current_setting(s.name) AS shown, s.sourcefile LIKE '%%postgresql.auto.conf' AS by_system
FROM pg_settings AS s WHERE s.name = %(name)s
"""
NEEDS_RESTART = "postmaster"
CANNOT = ("internal",)


class Setting(OperationParameters):
    name: Identifier = Field(description="the setting, e.g. work_mem")
    value: str = Field(description="its value as PostgreSQL reads it, e.g. 16MB")


@operation(
    "postgres.setting",
    Risk.DISRUPTIVE,
    of="postgres",
    idempotent=True,
    parameters=Setting,
    doc="Sets a server setting by ALTER SYSTEM and reloads. Where only a restart makes it hold, the plan says so. Undo "
    "puts back what ALTER SYSTEM said before.",
)
class _Setting(Repeatable):
    async def plan(self, parameters: Setting, facts: Facts) -> AsyncIterator[Change]:
        rows = await facts.rows(parameters.of, SETTING, {"name": parameters.name})
        if not rows:
            raise Refused(f"PostgreSQL has no setting {parameters.name}", "see `SELECT name FROM pg_settings`")
        (row,) = rows
        if row["context"] in CANNOT:
            raise Refused(f"{parameters.name} is fixed when the server is built or initialised", "it cannot be set")
        restart = row["context"] == NEEDS_RESTART
        name = quoted(parameters.name)
        before = f"SET {name} = {_literal(str(row['shown']))}" if row["by_system"] else f"RESET {name}"
        evidence = {"now": row["shown"], "to": parameters.value, "restart needed": restart}
        yield statement(
            parameters.of,
            f"ALTER SYSTEM SET {name} = {_literal(parameters.value)}",
            transaction=False,
            evidence=evidence,
            inverse=statement(parameters.of, f"ALTER SYSTEM {before}", transaction=False),
        )
        reload = statement(parameters.of, "SELECT pg_reload_conf()", evidence={"restart needed": restart})
        yield Change(
            reload.kind, reload.effect, reload.evidence, None, statement(parameters.of, "SELECT pg_reload_conf()")
        )


def _literal(value: str) -> str:
    """A text as SQL literal, because ALTER SYSTEM takes no bound values (standard_conforming_strings is on)."""
    if "\0" in value:
        raise Refused("a setting cannot hold a NUL", "give the value without it")
    return "'" + value.replace("'", "''") + "'"


class Reset(OperationParameters):
    name: Identifier = Field(description="the setting")


@operation(
    "postgres.reset_setting",
    Risk.DISRUPTIVE,
    of="postgres",
    idempotent=True,
    parameters=Reset,
    doc="Takes back what ALTER SYSTEM said of a setting, and reloads.",
)
class _Reset(Repeatable):
    async def plan(self, parameters: Reset, facts: Facts) -> AsyncIterator[Change]:
        rows = await facts.rows(parameters.of, SETTING, {"name": parameters.name})
        if not rows:
            raise Refused(f"PostgreSQL has no setting {parameters.name}", "see `SELECT name FROM pg_settings`")
        name, shown = quoted(parameters.name), str(rows[0]["shown"])
        undo: Change | str = "it was not set by ALTER SYSTEM"
        if rows[0]["by_system"]:
            undo = statement(parameters.of, f"ALTER SYSTEM SET {name} = {_literal(shown)}", transaction=False)
        evidence = {"now": shown, "restart needed": rows[0]["context"] == NEEDS_RESTART}
        yield statement(parameters.of, f"ALTER SYSTEM RESET {name}", transaction=False, evidence=evidence, inverse=undo)
        yield statement(
            parameters.of, "SELECT pg_reload_conf()", inverse=statement(parameters.of, "SELECT pg_reload_conf()")
        )
