"""Changes of the kind `maintenance`: what nginx includes is written or put back, checked, reloaded and seen as served.

effect: `component`; `include`, the file as the book names it; `content`, or None to put back what was there before.

What was included before maintenance is kept beside it (`connectors.switches.include`). Where nginx finds its
configuration invalid, or does not serve what was written, it is put back and it is a failure.

result: `served`, the status that users get.
"""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import suppress

from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.file import FileExecutor
from opsbook.connectors.http import HttpConnector, MaintenanceSwitch, ProxyComponent
from opsbook.connectors.registry import executor
from opsbook.connectors.switches.include import MARK, HostFile, MountedMap, include_for, without_maintenance
from opsbook.connectors.switches.nginx import MasterProcess, ProxyPods, ProxyWorkload
from opsbook.errors import OpsbookError

HEADER = "x-opsbook-maintenance"
SERVED_SECONDS = 15.0
"""Old workers of nginx answer for a moment after a reload, and end when their requests have."""
LOOK_SECONDS = 0.1
IN_A_ROW = 3


@executor("maintenance")
class Maintenance:
    """Puts a proxy in maintenance and takes it out."""

    def __init__(self, connections: Connections) -> None:
        self.connections, self.system = connections, connections.system
        self.files = FileExecutor(connections)

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises NotReached and ChangeFailed; the file is as it was then."""
        effect = change.effect
        switch = self._switch(effect["component"])
        include = include_for(self.connections, switch)
        before, keep = await include.now(), None
        if effect["content"] is None:
            wanted = await without_maintenance(include)
        else:
            wanted = effect["content"]
            keep = None if before.startswith(MARK) else before
        await self._write(key, include, wanted, out, keep)
        nginx = self._nginx(effect["component"], switch)
        try:
            await nginx.take(wanted.encode())
            served = await self._served(effect["component"], switch, wanted)
        except OpsbookError:
            await self._write(key, include, before, out)
            with suppress(OpsbookError):
                await nginx.take(before.encode())
            raise
        await out.write(f"{effect['component']} answers {served}\n")
        return Done({"served": served, "maintenance": bool(_mark(wanted))})

    async def end(self, key: str, change: Change) -> bool:
        """Nothing of it outlives this process."""
        return True

    def _switch(self, component: str) -> MaintenanceSwitch:
        settings = self.system.components[component]
        assert isinstance(settings, ProxyComponent), "planned for a proxy"
        assert settings.maintenance is not None, "planned for one with a switch"
        return settings.maintenance

    def _nginx(self, component: str, switch: MaintenanceSwitch) -> MasterProcess | ProxyWorkload | ProxyPods:
        """How it is told to read it: by a signal to its process here, or by its own command where it runs."""
        settings, include = self.system.components[component], include_for(self.connections, switch)
        assert isinstance(settings, ProxyComponent)
        if isinstance(include, MountedMap):
            assert settings.reload is not None, "the book is refused without"
            return ProxyPods(self.connections, include.runtime, component, settings.reload, switch.include)
        if not switch.pid_file and settings.reload is not None:
            return ProxyWorkload(self.connections, component, settings.reload)
        return MasterProcess(self.system, switch)

    async def _write(
        self, key: str, include: HostFile | MountedMap, content: str, out: Sink, keep: str | None = None
    ) -> None:
        if isinstance(include, MountedMap):
            await include.write(content, keep=keep)
        else:
            await include.write(self.files, key, content, out, keep=keep)

    async def _served(self, component: str, switch: MaintenanceSwitch, wanted: str) -> int:
        connector = self.connections.of(component)
        assert isinstance(connector, HttpConnector)
        mark, good, said = _mark(wanted), 0, "nothing"
        deadline = time.monotonic() + SERVED_SECONDS
        while time.monotonic() < deadline:
            try:
                answer = await connector.client.get(switch.path)
                seen = answer.headers.get(HEADER, "")
                said = f"{answer.words}" + (", the banner" if seen else "")
                good = good + 1 if seen == mark else 0
                if good >= IN_A_ROW:
                    return answer.status
            except OpsbookError as error:
                good, said = 0, error.message
            await asyncio.sleep(LOOK_SECONDS)
        what = "its banner" if mark else "what is behind it"
        included = f"does the server's block of nginx include {switch.include or 'the key of its config map'}?"
        raise ChangeFailed(
            f"{component} does not serve {what} after the reload: {said}",
            included if mark else f"is what is behind it well? if it is, {included}",
        )


def _mark(include: str) -> str:
    found = re.search(r"add_header X-Opsbook-Maintenance (\w+)", include) if include.startswith(MARK) else None
    return found[1] if found else ""
