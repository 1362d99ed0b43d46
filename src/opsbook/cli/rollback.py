"""`opsbook rollback`: take a component back to a version that ran before."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from opsbook.cli.engine import planning
from opsbook.cli.packaged_run import How, run_and_tell, run_options

if TYPE_CHECKING:
    from opsbook.engine.service import Service


@click.command("rollback")
@click.argument("component")
@click.option("--to-version", default="", help="Which version (default: the one before).")
@click.option("--to-revision", type=int, default=None, help="The same, by the number of its revision.")
@click.option("--schema", is_flag=True, help="Take the schema back too; what its downgrades drop is lost.")
@run_options
def command(
    component: str,
    to_version: str,
    to_revision: int | None,
    schema: bool,
    book: str | None,
    env: str | None,
    **how: Any,
) -> int:
    """Take COMPONENT back to the version before, or to a named one.

    Exit codes as of `opsbook deploy`.
    """
    from opsbook.book.words import nearest
    from opsbook.errors import UsageError

    with planning(book, env) as service:
        known = service.setting.packaged(service.system)
        if f"rollback-{component}" not in known:
            names = [one.removeprefix("rollback-") for one in known if one.startswith("rollback-")]
            raise UsageError(f"there is no component {component!r} that is deployed", nearest(component, names))
        if to_revision is not None or (schema and not to_version):
            to_version = asyncio.run(_version(service, component, to_revision, exact=not schema))
        name = f"rollback-{component}-with-schema" if schema else f"rollback-{component}"
        if name not in known:
            raise UsageError(
                "the book does not say how the schema changes", "set `deploys.migrations`, or omit --schema"
            )
        return run_and_tell(service, name, {"version": to_version} if to_version else {}, How(**how))


async def _version(service: Service, component: str, number: int | None, *, exact: bool) -> str:
    """The version of a revision; of the one before where none is named. Raises UsageError.

    `exact`: the number itself where several revisions are of that version, and differ in their configuration.
    """
    from opsbook.connectors.sides import serving_workload, version_before
    from opsbook.errors import UsageError

    async with service.setting.connections(service.system) as connections:
        if number is None and (before := await version_before(connections, component)):
            return before
        found = await connections.runtime.revisions(await serving_workload(connections, component))
    current = next((one.number for one in found if one.current), 0)
    for one in reversed(found):
        if one.number == number or (number is None and one.number < current and not one.left):
            several = sum(each.version == one.version for each in found) > 1
            number_of = "revision-" if service.system.environment.runtime.kind == "kubernetes" else ""
            return f"{number_of}{one.number}" if exact and several else one.version
    numbers = ", ".join(f"{one.number} ({one.version})" for one in found[-8:])
    raise UsageError(f"{component} has no such revision", f"it has: {numbers}")
