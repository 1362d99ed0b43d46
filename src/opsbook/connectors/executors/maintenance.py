"""Changes of the kind `maintenance`: what nginx includes is written or put back, checked, reloaded and seen as served.

effect: `component`; `include`, the file as the book names it; `content`, or None to put back what was there before.

What was included before maintenance is kept beside the file, as `.NAME.before-maintenance`. Where nginx finds its
configuration invalid, or does not serve what was written, the file is put back and it is a failure.

result: `served`, the status that users get.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from contextlib import suppress
from pathlib import Path

from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.file import FileExecutor
from opsbook.connectors.executors.secrets import NotReached
from opsbook.connectors.http import HttpConnector, MaintenanceSwitch, ProxyComponent
from opsbook.connectors.registry import executor
from opsbook.connectors.switches.nginx import MasterProcess, ProxyWorkload
from opsbook.errors import OpsbookError

MARK = "# opsbook: maintenance\n"
HEADER = "x-opsbook-maintenance"
SERVED_SECONDS = 15.0
"""Old workers of nginx answer for a moment after a reload, and end when their requests have."""
LOOK_SECONDS = 0.1
IN_A_ROW = 3


async def in_maintenance(include: Path) -> str:
    """The banner's include where opsbook has written one there; empty where it has not. Raises NotReached."""
    text = await asyncio.to_thread(_read, include)
    return text if text.startswith(MARK) else ""


async def included(include: Path) -> str:
    """What the proxy includes now; empty where the file is not there. Raises NotReached."""
    return await asyncio.to_thread(_read, include)


async def included_before(include: Path) -> str:
    """What the proxy would include when it is taken out of maintenance. Raises NotReached."""
    now = await included(include)
    return await included(_kept(include)) if now.startswith(MARK) else now


def _kept(include: Path) -> Path:
    return include.with_name(f".{include.name}.before-maintenance")


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
        include = self.system.path(switch.include)
        kept = _kept(include)
        before = await asyncio.to_thread(_read, include)
        if effect["content"] is None:
            wanted = await included_before(include)
        else:
            wanted = effect["content"]
            if not before.startswith(MARK):
                await self._write(key, kept, before, out)
        await self._write(key, include, wanted, out)
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

    def _nginx(self, component: str, switch: MaintenanceSwitch) -> MasterProcess | ProxyWorkload:
        """How it is told to read the file: by a signal to its process here, or by its own command where it runs."""
        settings = self.system.components[component]
        assert isinstance(settings, ProxyComponent)
        if not switch.pid_file and settings.reload is not None:
            return ProxyWorkload(self.connections, component, settings.reload)
        return MasterProcess(self.system, switch)

    async def _write(self, key: str, path: Path, content: str, out: Sink) -> None:
        digest = hashlib.sha256(content.encode()).hexdigest()
        effect = {"path": str(path), "content": content, "digest": digest, "mode": 0o644}
        await self.files.apply(key, Change("file", effect), None, out)

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
        raise ChangeFailed(
            f"{component} does not serve {what} after the reload: {said}",
            f"does the server's block of nginx include {switch.include}?",
        )


def _mark(include: str) -> str:
    found = re.search(r"add_header X-Opsbook-Maintenance (\w+)", include) if include.startswith(MARK) else None
    return found[1] if found else ""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise NotReached(f"{path}: {reason}", "check its path and permissions") from error
