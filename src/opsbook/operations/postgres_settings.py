"""Server settings: set, reloaded, read back; a restart that is still needed is told, never done by the way."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.connectors.change import Change, Json
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.postgres_values import LISTS, stored
from opsbook.operations.registry import operation
from opsbook.operations.statements import Identifier, literal, quoted

SETTING = """
SELECT s.name, s.setting, s.unit, s.context, s.vartype, s.enumvals, s.min_val, s.max_val, s.pending_restart, s.source,
       current_setting(s.name) AS shown, s.sourcefile LIKE '%%postgresql.auto.conf' AS by_system,
       (SELECT array_agg(coalesce(d.datname, 'every database') || ', ' || coalesce(r.rolname, 'every role'))
          FROM pg_db_role_setting AS o
          LEFT JOIN pg_database AS d ON d.oid = o.setdatabase
          LEFT JOIN pg_roles AS r ON r.oid = o.setrole
         WHERE EXISTS (SELECT FROM unnest(o.setconfig) AS c WHERE lower(c) LIKE lower(s.name) || '=%%')) AS overridden
FROM pg_settings AS s
WHERE lower(s.name) = lower(%(name)s)
"""
NEEDS_RESTART, FIXED = "postmaster", "internal"
SECRET = ("primary_conninfo", "ssl_passphrase_command")
"""Settings that hold a password: it would stand in the plan."""


class Setting(OperationParameters):
    name: Identifier = Field(description="the setting, e.g. work_mem")
    value: str = Field(description="its value as PostgreSQL reads it, e.g. 16MB")


async def _setting(facts: Facts, component: str, name: str) -> dict[str, Json]:
    """The setting as it is. Raises Refused where it cannot be set at all."""
    if name.lower() in SECRET:
        raise Refused(f"{name} holds a secret: it would stand in the plan", "set it by hand")
    rows = await facts.rows(component, SETTING, {"name": name})
    if not rows:
        raise Refused(f"PostgreSQL has no setting {name}", "see `SELECT name FROM pg_settings`")
    if rows[0]["context"] == FIXED:
        raise Refused(f"{name} is fixed when the server is built or initialised", "it cannot be set")
    return rows[0]


def _change(component: str, row: dict[str, Json], value: str | None) -> dict[str, Json]:
    """The effect. `wanted` is what pg_settings shows then; None where only the server knows (its default)."""
    name = str(row["name"])
    sql = f"ALTER SYSTEM RESET {quoted(name)}"
    if value is not None:
        sql = f"ALTER SYSTEM SET {quoted(name)} = {_written(name, value)}"
    wanted = None if value is None else stored(row, value)
    return {"component": component, "name": name, "statement": sql, "wanted": wanted, "kind": row["vartype"]}


def _written(name: str, value: str) -> str:
    if name not in LISTS:
        return literal(value)
    elements = [element.strip().strip('"') for element in re.split(r",", value)]
    if not all(elements):
        # PostgreSQL would write "" into its file and then not start for want of a library without a name.
        raise Refused(f"an empty element cannot be set in {name}", "use postgres.reset_setting to take it back")
    return ", ".join(literal(element) for element in elements)


def _back(component: str, row: dict[str, Json]) -> Change | str:
    if row["pending_restart"]:
        return "a change of it waits for a restart already, and what that was cannot be read"
    before = str(row["shown"]) if row["by_system"] else None
    return Change("postgres-setting", _change(component, row, before))


def _evidence(row: dict[str, Json], value: str) -> dict[str, Json]:
    told: dict[str, Json] = {"now": row["shown"], "to": value, "restart needed": row["context"] == NEEDS_RESTART}
    if row["overridden"]:
        told["does not reach"] = row["overridden"]
    return told


async def setting_change(facts: Facts, component: str, name: str, value: str) -> tuple[Change, dict[str, Json]]:
    """The change that sets a setting, for operations of which it is a part; and the setting as it is now.

    Raises Refused.
    """
    row = await _setting(facts, component, name)
    effect = _change(component, row, value)
    return Change("postgres-setting", effect, _evidence(row, value), inverse=_back(component, row)), row


@operation(
    "postgres.setting",
    Risk.DISRUPTIVE,
    of="postgres",
    idempotent=True,
    parameters=Setting,
    doc="Sets a server setting by ALTER SYSTEM, reloads, and reads it back. Where only a restart makes it hold, plan "
    "and result say so; it is not done by the way. Undo puts back what ALTER SYSTEM said before.",
)
class _Setting(Repeatable):
    async def plan(self, parameters: Setting, facts: Facts) -> AsyncIterator[Change]:
        row = await _setting(facts, parameters.of, parameters.name)
        effect = _change(parameters.of, row, parameters.value)
        yield Change("postgres-setting", effect, _evidence(row, parameters.value), inverse=_back(parameters.of, row))


class Reset(OperationParameters):
    name: Identifier = Field(description="the setting")


@operation(
    "postgres.reset_setting",
    Risk.DISRUPTIVE,
    of="postgres",
    idempotent=True,
    parameters=Reset,
    doc="Takes back what ALTER SYSTEM said of a setting, reloads, and reads it back.",
)
class _Reset(Repeatable):
    async def plan(self, parameters: Reset, facts: Facts) -> AsyncIterator[Change]:
        row = await _setting(facts, parameters.of, parameters.name)
        inverse = _back(parameters.of, row) if row["by_system"] else "ALTER SYSTEM said nothing of it"
        evidence = _evidence(row, "what the configuration file says, or the default")
        yield Change("postgres-setting", _change(parameters.of, row, None), evidence, inverse=inverse)
