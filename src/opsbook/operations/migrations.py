"""The schema of a database, brought to what a version wants, and back with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.book.values import Duration
from opsbook.connectors.change import Change
from opsbook.connectors.migrations.alembic import BASE, Alembic, alembic_of
from opsbook.connectors.migrations.locks import lock_of, statements_of
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation

MOST_SHOWN = 200
PLACES = """
SELECT format('%%I.%%I', n.nspname, c.relname) AS place
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relname = 'alembic_version' AND c.relkind = 'r'
ORDER BY n.nspname <> 'public', n.nspname
"""
"""Where Alembic keeps its revision; that of `public` first."""
ALREADY = "nothing to undo: the schema is there already"


class Migrate(OperationParameters):
    version: str = Field("", description="the version whose migrations they are; fills {version} of the book's folder")
    lock_timeout: Duration = Field(timedelta(seconds=5), description="how long a statement may wait for a lock")
    timeout: Duration = Field(timedelta(minutes=30), description="how long all of it may take")


@operation(
    "migrations.upgrade",
    Risk.DISRUPTIVE,
    of="postgres",
    idempotent=True,
    parameters=Migrate,
    doc="Brings the schema to the newest revision of a version, by the application's own tool (Alembic). The plan "
    "shows each statement and what it keeps from others, and whether there is a way back; undo goes it.",
)
class _Upgrade(Repeatable):
    async def plan(self, parameters: Migrate, facts: Facts) -> AsyncIterator[Change]:
        tool = alembic_of(facts.system, parameters.version)
        now, head = await _revision(facts, parameters.of), await tool.head()
        if not await tool.knows(now):
            raise Refused(
                f"the schema is at {now}, which the migrations of {parameters.version or tool.folder} do not know",
                "a newer version brought it there: deploy one that has its migrations, or take the schema back first",
            )
        yield await _change(tool, parameters, "upgrade", now, head)


@operation(
    "migrations.back_to",
    Risk.DESTRUCTIVE,
    of="postgres",
    idempotent=True,
    parameters=Migrate,
    doc="Takes the schema back to what a version wants, by the downgrades of the version that runs now. Refused where "
    "one of its migrations cannot be reversed. What the downgrades drop is lost.",
)
class _BackTo(Repeatable):
    async def plan(self, parameters: Migrate, facts: Facts) -> AsyncIterator[Change]:
        wanted = alembic_of(facts.system, parameters.version)
        now, target = await _revision(facts, parameters.of), await wanted.head()
        tool = await _knowing(facts, wanted, now)
        if now != target and not await tool.knows(target):
            raise Refused(f"{tool.version} does not know the revision {target} of {parameters.version}", "plan by hand")
        yield await _change(tool, parameters, "downgrade" if now != target else "upgrade", now, target)


async def _revision(facts: Facts, component: str) -> str:
    """Where the schema is. Asked of the database itself: a version does not know the revisions of newer ones.

    Raises Refused for more than one.
    """
    places = await facts.rows(component, PLACES)
    if not places:
        return BASE
    rows = await facts.rows(component, f"SELECT version_num FROM {places[0]['place']}")  # noqa: S608  (quoted there)
    found = [str(row["version_num"]) for row in rows]
    if len(found) > 1:
        raise Refused(f"the schema is at several revisions: {', '.join(found)}", "merge them: alembic merge")
    facts.record(f"{component}: schema revision", found[0] if found else BASE)
    return found[0] if found else BASE


async def _knowing(facts: Facts, wanted: Alembic, revision: str) -> Alembic:
    """The version whose migrations know how the schema came to be as it is. Raises Refused."""
    if await wanted.knows(revision):
        return wanted
    if "{version}" in wanted.settings.folder:
        folders = wanted.settings.folder.partition("{version}")[0]
        for version in sorted(_versions(facts, folders), reverse=True):
            other = alembic_of(facts.system, version)
            if await other.knows(revision):
                return other
    raise Refused(f"no version that is here knows the schema's revision {revision}", "go back by hand")


def _versions(facts: Facts, folders: str) -> list[str]:
    root = facts.system.path(folders or ".")
    return (
        [one.name for one in root.iterdir() if one.is_dir() and not one.name.startswith(".")] if root.is_dir() else []
    )


async def _change(tool: Alembic, parameters: Migrate, verb: str, now: str, to: str) -> Change:
    effect: dict[str, Any] = {
        "component": parameters.of, "version": tool.version, "verb": verb, "to": to,
        "lock_timeout": parameters.lock_timeout.total_seconds(), "timeout": parameters.timeout.total_seconds(),
    }  # fmt: skip
    if now == to:
        return Change("migrate", effect, {"revision": f"{now} already"}, {"revision": now}, ALREADY)
    statements = statements_of(await tool.script(verb, now, to))
    evidence: dict[str, Any] = {
        "revision": f"{now} → {to}",
        "statements": statements[:MOST_SHOWN],
        "locks": {one[:80]: said for one in statements if (said := lock_of(one))},
    }
    back = await _way_back(tool, effect, verb, now, to)
    # An attempt that was cut off may have stopped after any of them.
    guard = {"revision": now, "between": await tool.between(*((now, to) if verb == "upgrade" else (to, now)))}
    evidence["way back"] = back if isinstance(back, str) else "by its downgrades"
    return Change("migrate", effect, evidence, guard, back)


async def _way_back(tool: Alembic, effect: dict[str, Any], verb: str, now: str, to: str) -> Change | str:
    """The migrations the other way round, where they can be written out: known before it is needed."""
    if verb == "downgrade":
        return "what the downgrades dropped is lost"
    try:
        statements = statements_of(await tool.script("downgrade", to, now))
    except Refused as error:
        return f"there is no way back: {error.message}"
    if not statements:
        return "there is no way back: the downgrades of these migrations do nothing"
    return Change(
        "migrate", {**effect, "verb": "downgrade", "to": now}, guard={"revision": to}, inverse="it is an undo"
    )
