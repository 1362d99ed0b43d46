"""Which version a rollback would bring, told before it does."""

from __future__ import annotations

from opsbook.connectors.contract import Connections
from opsbook.connectors.sides import serving_workload, version_before
from opsbook.errors import Refused


async def version_to_go_back_to(connections: Connections, component: str, said: str = "") -> str:
    """The version that a rollback of a component would bring: of what is `said` (a version, or `revision-3`), or the
    one before where nothing is.

    Raises Refused where there is none.
    """
    number = said.removeprefix("revision-") if said.startswith("revision-") else ""
    if said and not number.isdigit():
        return said
    if not said and (before := await version_before(connections, component)):
        return before
    found = await connections.runtime.revisions(await serving_workload(connections, component))
    current = next((one.number for one in found if one.current), 0)
    for one in reversed(found):
        if one.number == int(number) if number else one.number < current and not one.left:
            return one.version
    raise Refused(f"{component} has no {said or 'version before this one'} to go back to", "name one")
