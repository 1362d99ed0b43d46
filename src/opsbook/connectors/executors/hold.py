"""Changes of the kind `hold`: checks are held for some time, which changes nothing.

effect: `component`, `checks` (ids), `seconds`, `every` (seconds between two looks). With no seconds it looks once, and
fails for nothing. A check that is bad twice in a row ends it at once.

result: `bad`, the ids of those that were bad at the one look; `seconds`.
"""

from __future__ import annotations

import asyncio
import time

from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.checks_held import bad_among, until_bad
from opsbook.connectors.registry import executor


@executor("hold")
class Hold:
    """Looks, and waits."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises ChangeFailed for a check that does not stay well."""
        effect, started = change.effect, time.monotonic()
        if not effect["seconds"]:
            bad = await bad_among(self.connections, effect["checks"])
            await out.write("".join(f"{said}\n" for said in bad.values()) or "all of them are well\n")
            return Done({"bad": list(bad), "seconds": 0.0})
        said = ""
        try:
            async with asyncio.timeout(effect["seconds"]):
                if effect["checks"]:
                    said = await until_bad(self.connections, effect["checks"], effect["every"])
                else:
                    await asyncio.sleep(effect["seconds"])
        except TimeoutError:
            pass  # well until the end
        if said:
            raise ChangeFailed(f"{effect['component']}: {said}", "it goes back where the step says so; see its logs")
        took = round(time.monotonic() - started, 1)
        await out.write(f"{', '.join(effect['checks'])}: well for {took:g} s\n" if effect["checks"] else "")
        return Done({"bad": [], "seconds": took})

    async def end(self, key: str, change: Change) -> bool:
        """Nothing of it outlives this process."""
        return True
