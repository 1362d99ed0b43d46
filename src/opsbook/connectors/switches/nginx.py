"""nginx, told to read its files again: by a signal to its process here, or by its own command where it runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from opsbook.book.references import Reference
from opsbook.book.system import System
from opsbook.connectors.change import Change, ChangeFailed, Done
from opsbook.connectors.contract import Connections
from opsbook.connectors.http import MaintenanceSwitch, ProxyReload
from opsbook.connectors.nginx_reload import check_configuration, reload
from opsbook.connectors.runtimes.contract import Seen, Verb
from opsbook.connectors.runtimes.kubernetes import Kubernetes
from opsbook.connectors.runtimes.kubernetes_api import STRATEGIC, ApiFault, NotThere
from opsbook.connectors.switches.service import patiently
from opsbook.errors import OpsbookError

COMMAND_SECONDS = 30.0
MOUNTED_SECONDS = 150.0
"""A kubelet renews what it mounts when it looks at a pod again: at once where the pod changes, else within 90 s."""
LOOK_SECONDS = 0.5
NUDGE = "opsbook/mounted"
"""Annotation of a pod, whose change makes its kubelet look at it."""


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


@dataclass(frozen=True)
class ProxyPods:
    """All pods of a proxy, which mount what it includes from a config map."""

    connections: Connections
    runtime: Kubernetes
    proxy: str
    commands: ProxyReload
    file: str
    """As its pods name it."""

    async def take(self, content: bytes) -> None:
        """Each pod reads it once its kubelet has put it there, and only when all find it valid. Raises ChangeFailed."""
        workload = self.connections.system.components[self.proxy].workload or self.proxy
        await self._nudge(workload)
        names = await self._mounted(workload, content.decode())
        for argv in filter(None, (self.commands.check, self.commands.command)):
            words = [self.connections.system.resolve(Reference(word)) for word in argv]
            for seen in await self._in_each(workload, words, names):
                if seen.code != 0:
                    said = next((line.strip() for line in seen.said.splitlines() if line.strip()), seen.trouble)
                    raise ChangeFailed(f"{words[0]} in {seen.instance}: {said}", "mend its configuration first")

    async def _nudge(self, workload: str) -> None:
        """Where the credential may not annotate pods, it takes until their kubelets look by themselves."""
        body = {"metadata": {"annotations": {NUDGE: f"{time.time():.3f}"}}}
        for pod in await patiently(lambda: self.runtime.pods(workload)):
            path = self.runtime.namespace.core("pods", pod.name)
            with suppress(ApiFault, NotThere):
                await self.runtime.api.patch(path, body, STRATEGIC)

    async def _mounted(self, workload: str, content: str) -> list[str]:
        """The pods that run, once each has it. One that is started later has it from its start."""
        deadline = time.monotonic() + MOUNTED_SECONDS
        while True:
            seen = await self._in_each(workload, ["cat", self.file], None)
            late = [one for one in seen if one.code != 0 or one.said != content]
            if not late:
                return [one.instance for one in seen]
            if time.monotonic() > deadline:
                one = late[0]
                why = one.trouble or (one.said.strip()[:200] if one.code else "it is still what it was")
                raise ChangeFailed(
                    f"{self.file} of {one.instance} is not what its config map says: {why}",
                    "is the map mounted there as a folder? One that is mounted by `subPath` is never renewed",
                )
            await asyncio.sleep(LOOK_SECONDS)

    async def _in_each(self, workload: str, argv: Sequence[str], names: Sequence[str] | None) -> Sequence[Seen]:
        """What it says in every pod, also in those that are not ready: they will be."""

        async def ask() -> Sequence[Seen]:
            return await self.runtime.look_inside(workload, argv, COMMAND_SECONDS, instances=names, every=True)

        return await patiently(ask)


def _plain(change: Change) -> Change:
    return Change(change.kind, change.effect, guard=change.guard)


class _Heard:
    """Keeps what a command says."""

    def __init__(self) -> None:
        self.text = ""

    async def write(self, text: str) -> None:
        self.text += text
