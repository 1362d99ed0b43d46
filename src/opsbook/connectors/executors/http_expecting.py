"""Changes of the kind `http-expecting`: a request as of the kind `http`, with the one `status` that it must have."""

from __future__ import annotations

from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections, ReadFailed
from opsbook.connectors.executors.http import READS, HttpExecutor
from opsbook.connectors.registry import executor


@executor("http-expecting")
class Expecting:
    """Sends it, and holds its status against what is expected."""

    def __init__(self, connections: Connections) -> None:
        self.http = HttpExecutor(connections)

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises ChangeFailed (ReadFailed of a GET) for another status, and what `http` raises."""
        effect = {name: value for name, value in change.effect.items() if name != "status"}
        done = await self.http.apply(key, Change("http", effect), cursor, out)
        status, wanted = done.result["status"], change.effect["status"]
        if status != wanted:
            error = ReadFailed if effect["method"] in READS else ChangeFailed
            raise error(f"{effect['method']} {effect['url']} answers {status}, not {wanted}", "look at its server")
        return done

    async def end(self, key: str, change: Change) -> bool:
        """As of `http`."""
        return await self.http.end(key, change)
