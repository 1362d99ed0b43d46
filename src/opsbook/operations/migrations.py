"""The schema of a database, brought to what a version wants, and back with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.book.values import Duration, Name
from opsbook.connectors.change import Change
from opsbook.connectors.going_back import version_to_go_back_to
from opsbook.connectors.migrations.alembic import Alembic
from opsbook.connectors.migrations.locks import lock_of, statements_of
from opsbook.connectors.migrations.revision import revision
from opsbook.connectors.migrations.tool import tool_of
from opsbook.connectors.sides import serving_workload
from opsbook.errors import OpsbookError, Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation

MOST_SHOWN = 200
OUTLOOK_SECONDS = 60.0
"""What a look at the way back may take: whoever goes back in an emergency does not wait for longer."""
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
        tool = await _tool(facts, parameters.of, parameters.version)
        now = await _revision(facts, parameters.of)
        await tool.prepare(("heads",), ("show", now))
        head = await tool.head()
        if not await tool.knows(now):
            raise Refused(
                f"the schema is at {now}, which the migrations of {parameters.version or tool.where} do not know",
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
        wanted = await _tool(facts, parameters.of, parameters.version)
        now = await _revision(facts, parameters.of)
        await wanted.prepare(("heads",), ("show", now))
        target = await wanted.head()
        tool = await _knowing(facts, parameters.of, wanted, now)
        if now != target and not await tool.knows(target):
            raise Refused(f"{tool.version} does not know the revision {target} of {parameters.version}", "plan by hand")
        yield await _change(tool, parameters, "downgrade" if now != target else "upgrade", now, target)


class Outlook(OperationParameters):
    component: Name = Field(description="the component that would go back")
    version: str = Field("", description="the version that it would go back to; the one before where left out")


@operation(
    "migrations.outlook",
    Risk.READ,
    of="postgres",
    idempotent=True,
    parameters=Outlook,
    doc="Tells whether the schema could go back with an application: what the older version was made for, and whether "
    "the migrations since have a way back. Where that cannot be asked it says so and keeps nobody from going back.",
)
class _Outlook(Repeatable):
    async def plan(self, parameters: Outlook, facts: Facts) -> AsyncIterator[Change]:
        try:
            async with asyncio.timeout(OUTLOOK_SECONDS):
                evidence = await _outlook(parameters, facts)
        except (OpsbookError, OSError) as error:
            told = error.message if isinstance(error, OpsbookError) else str(error)
            said = f"{OUTLOOK_SECONDS:g} s were not enough to ask" if isinstance(error, TimeoutError) else told
            evidence = {"schema": f"whether it could go back is not known: {said}"}
        effect = {"component": parameters.of, "verb": "look", "version": parameters.version}
        yield Change("migrate", effect, evidence, inverse="nothing to undo: it only looks")


async def _outlook(parameters: Outlook, facts: Facts) -> dict[str, Any]:
    version = await version_to_go_back_to(facts.connector(parameters.component).connections, parameters.component,
                                          parameters.version)  # fmt: skip
    wanted = await _tool(facts, parameters.of, version)
    now = await _revision(facts, parameters.of)
    await wanted.prepare(("heads",), ("show", now))
    target = await wanted.head()
    if now == target:
        return {"schema": f"{now} is what {version} was made for: it stays"}
    tool = await _knowing(facts, parameters.of, wanted, now)
    told = {"schema": f"it is at {now}, and {version} was made for {target}"}
    if not await tool.knows(target):
        return {**told, "way back": f"there is none: {tool.version} does not know {target}"}
    try:
        statements = statements_of(await tool.script("downgrade", now, target))
    except Refused as error:
        return {**told, "way back": f"there is none, so the older code runs on the newer schema: {error.message}"}
    if not statements:
        return {**told, "way back": "there is none: the downgrades of these migrations do nothing"}
    return {
        **told,
        "way back": "by its downgrades, with --schema; it stays without",
        "statements": statements[:MOST_SHOWN],
    }


async def _tool(facts: Facts, component: str, version: str) -> Alembic:
    return await tool_of(facts.connector(component).connections, version)


async def _revision(facts: Facts, component: str) -> str:
    """Where the schema is. Raises Refused for more than one."""

    async def rows(statement: str) -> list[str]:
        return [str(next(iter(row.values()))) for row in await facts.rows(component, statement)]

    found = await revision(rows)
    facts.record(f"{component}: schema revision", found)
    return found


async def _knowing(facts: Facts, component: str, wanted: Alembic, now: str) -> Alembic:
    """The version whose migrations know how the schema came to be as it is. Raises Refused."""
    if await wanted.knows(now):
        return wanted
    for version in await _versions(facts, component, wanted):
        other = await _tool(facts, component, version)
        try:
            if await other.knows(now):
                return other
        except OpsbookError:
            continue  # the image of an old revision may be gone
    raise Refused(f"no version that is here knows the schema's revision {now}", "go back by hand")


async def _versions(facts: Facts, component: str, tool: Alembic) -> list[str]:
    """Versions whose migrations can be asked, the newest first."""
    inside = tool.settings.inside
    if inside:
        settings = facts.system.model.deploys.components.get(inside)
        sides = [settings.blue, settings.green] if settings is not None and settings.blue and settings.green else []
        connections = facts.connector(component).connections
        workloads = dict.fromkeys([await serving_workload(connections, inside) or inside, *sides])
        found = [one for name in workloads for one in reversed(await facts.runtime.revisions(name))]
        return [one for one in dict.fromkeys(each.version for each in found) if one != tool.version]
    if "{version}" not in tool.settings.folder:
        return []
    root = facts.system.path(tool.settings.folder.partition("{version}")[0] or ".")
    names = [one.name for one in root.iterdir() if one.is_dir()] if root.is_dir() else []
    return sorted((name for name in names if not name.startswith(".")), reverse=True)


async def _change(tool: Alembic, parameters: Migrate, verb: str, now: str, to: str) -> Change:
    effect: dict[str, Any] = {
        "component": parameters.of, "version": tool.version, "verb": verb, "to": to,
        "lock_timeout": parameters.lock_timeout.total_seconds(), "timeout": parameters.timeout.total_seconds(),
    }  # fmt: skip
    if now == to:
        asked = {"asked in": tool.asked} if tool.asked else {}
        return Change("migrate", effect, {"revision": f"{now} already", **asked}, {"revision": now}, ALREADY)
    span = (now, to) if verb == "upgrade" else (to, now)
    back = [("downgrade", f"{to}:{now}", "--sql")] if verb == "upgrade" else []
    await tool.prepare((verb, f"{now}:{to}", "--sql"), ("history", "-r", ":".join(span)), *back)
    statements = statements_of(await tool.script(verb, now, to))
    evidence: dict[str, Any] = {
        "revision": f"{now} → {to}",
        "statements": statements[:MOST_SHOWN],
        "locks": {one[:80]: said for one in statements if (said := lock_of(one))},
    }
    # An attempt that was cut off, or failed half way, may have stopped after any of them.
    between = await tool.between(*span)
    way = await _way_back(tool, effect, verb, now, to, between)
    evidence["way back"] = way if isinstance(way, str) else "by its downgrades"
    if tool.asked:
        evidence["asked in"] = tool.asked
    return Change("migrate", effect, evidence, {"revision": now, "between": between}, way)


async def _way_back(
    tool: Alembic, effect: dict[str, Any], verb: str, now: str, to: str, between: list[str]
) -> Change | str:
    """The migrations the other way round, where they can be written out: known before it is needed."""
    if verb == "downgrade":
        return "what the downgrades dropped is lost"
    try:
        statements = statements_of(await tool.script("downgrade", to, now))
    except Refused as error:
        return f"there is no way back: {error.message}"
    if not statements:
        return "there is no way back: the downgrades of these migrations do nothing"
    guard = {"revision": to, "between": between}
    return Change("migrate", {**effect, "verb": "downgrade", "to": now}, guard=guard, inverse="it is an undo")
