"""nginx, told to read its files again: by a signal to its process here, or by its own command where it runs."""

from __future__ import annotations

from dataclasses import dataclass

from opsbook.book.references import Reference
from opsbook.book.system import System
from opsbook.connectors.change import Change, ChangeFailed, Done
from opsbook.connectors.contract import Connections
from opsbook.connectors.http import MaintenanceSwitch, ProxyReload
from opsbook.connectors.nginx_reload import check_configuration, reload
from opsbook.connectors.runtimes.contract import Verb
from opsbook.errors import OpsbookError

COMMAND_SECONDS = 30.0


@dataclass(frozen=True)
class MasterProcess:
    """nginx on this host."""

    system: System
    switch: MaintenanceSwitch

    async def take(self, content: bytes) -> None:  # noqa: ARG002  it reads the file itself
        """Only a configuration that nginx finds valid is read."""
        await check_configuration(self.system, self.switch)
        await reload(self.system, self.switch)


@dataclass(frozen=True)
class ProxyWorkload:
    """A proxy in a container: the file lies in a folder that it mounts, and its commands are run in it."""

    connections: Connections
    proxy: str
    commands: ProxyReload

    async def take(self, content: bytes) -> None:  # noqa: ARG002  it reads the file itself
        """Only a configuration that it finds valid is read. Raises ChangeFailed with its words."""
        workload = self.connections.system.components[self.proxy].workload or self.proxy
        status = await self.connections.runtime.status(workload)
        if len(status.instances) != 1:
            raise ChangeFailed(
                f"{workload} has {len(status.instances)} instances, and one of them would be told alone",
                "run one proxy with this file, or switch by another way",
            )
        for argv in filter(None, (self.commands.check, self.commands.command)):
            await self._run(workload, [self.connections.system.resolve(Reference(word)) for word in argv])

    async def _run(self, workload: str, argv: list[str]) -> None:
        from opsbook.connectors.registry import registered

        change = await self.connections.runtime.change(workload, Verb.EXEC, {"argv": argv, "timeout": COMMAND_SECONDS})
        said = _Heard()
        try:
            done = (
                await registered().executors[change.kind](self.connections).apply("reload", _plain(change), None, said)
            )
        except OpsbookError as error:
            last = next((line.strip() for line in said.text.splitlines() if line.strip()), error.message)
            raise ChangeFailed(f"{argv[0]} in {workload}: {last}", "mend its configuration first") from error
        assert isinstance(done, Done), "a command is not done in slices"


def _plain(change: Change) -> Change:
    return Change(change.kind, change.effect, guard=change.guard)


class _Heard:
    """Keeps what a command says."""

    def __init__(self) -> None:
        self.text = ""

    async def write(self, text: str) -> None:
        self.text += text
