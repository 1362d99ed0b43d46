"""Where what a proxy includes in maintenance lies: a file of this host, or a key of a config map that its pods mount.

A config map holds for every pod, also for one that is started in the middle of maintenance; a file that is copied into
a pod would be gone with it, and users let in.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from opsbook.book.system import System
from opsbook.connectors.change import Change, ChangeFailed, Sink
from opsbook.connectors.executors.file import FileExecutor
from opsbook.connectors.executors.secrets import NotReached
from opsbook.connectors.http import MaintenanceSwitch
from opsbook.connectors.runtimes.contract import Runtime
from opsbook.connectors.runtimes.kubernetes import Kubernetes
from opsbook.connectors.runtimes.kubernetes_api import ApiFault, NotThere, Object
from opsbook.connectors.runtimes.kubernetes_targets import CONFLICT, Target, send, verdict
from opsbook.connectors.switches.service import patiently
from opsbook.errors import Refused

MARK = "# opsbook: maintenance\n"
"""The first line of what opsbook writes there."""
ATTEMPTS = 20
BETWEEN_SECONDS = 0.1


class Surroundings(Protocol):
    """What both a plan and an executor know."""

    @property
    def system(self) -> System: ...
    @property
    def runtime(self) -> Runtime: ...


class Include(Protocol):
    """What the proxy includes, and what it included before maintenance."""

    @property
    def words(self) -> str:
        """As people name it."""
        ...

    async def now(self) -> str: ...
    async def kept(self) -> str: ...


@dataclass(frozen=True)
class HostFile:
    """A file of this host. What was included before is kept beside it, as `.NAME.before-maintenance`."""

    path: Path

    @property
    def words(self) -> str:
        return str(self.path)

    @property
    def _beside(self) -> Path:
        return self.path.with_name(f".{self.path.name}.before-maintenance")

    async def now(self) -> str:
        """Its text; empty where it is not there. Raises NotReached."""
        return await asyncio.to_thread(_read, self.path)

    async def kept(self) -> str:
        """Raises NotReached."""
        return await asyncio.to_thread(_read, self._beside)

    async def write(self, files: FileExecutor, key: str, content: str, out: Sink, *, keep: str | None = None) -> None:
        """Write it; `keep` is kept first, as what was included before."""
        if keep is not None:
            await files.apply(key, _file(self._beside, keep), None, out)
        await files.apply(key, _file(self.path, content), None, out)


@dataclass(frozen=True)
class MountedMap:
    """A key of a config map. What was included before is another key of it."""

    runtime: Kubernetes
    name: str
    key: str

    @property
    def words(self) -> str:
        return f"configmap/{self.name}, {self.key}"

    @property
    def _beside(self) -> str:
        return f"{self.key}.before-maintenance"

    async def now(self) -> str:
        """Raises Refused where there is no such map or key, or where it may not be changed."""
        data: dict[str, str] = (await self._read()).get("data") or {}
        return data[self.key]

    async def kept(self) -> str:
        data = (await self._read()).get("data") or {}
        return str(data.get(self._beside, ""))

    async def asked(self, content: str) -> None:
        """Ask the server whether it would take this. Raises Refused with its words."""
        await verdict(self.runtime, self._effect({self.key: content}), await self._read())

    async def write(self, content: str, *, keep: str | None = None) -> None:
        """Both keys in one patch, bound to the map as it was read; again while the API server is away."""
        values = {self.key: content} if keep is None else {self.key: content, self._beside: keep}
        await patiently(lambda: self._write(values))

    async def _write(self, values: dict[str, str]) -> None:
        for attempt in range(ATTEMPTS):
            try:
                await send(self.runtime, self._effect(values), await self._read(), dry=False)
                return
            except ApiFault as error:
                if error.code != CONFLICT or attempt == ATTEMPTS - 1:
                    raise ChangeFailed(f"{self.words}: {error.message}", error.hint) from error
                await asyncio.sleep(BETWEEN_SECONDS)

    def _effect(self, values: dict[str, str]) -> dict[str, object]:
        target = Target.of("ConfigMap", self.name)
        return {"object": target.said(), "patch": {"data": values}, "how": "merge", "manager": "opsbook"}

    async def _read(self) -> Object:
        try:
            now = await Target.of("ConfigMap", self.name).read_now(self.runtime)
        except NotThere as error:
            where = self.runtime.namespace.name
            raise Refused(
                f"there is no config map {self.name} in {where}", "make it, and mount it into the proxy"
            ) from error
        if self.key not in (now.get("data") or {}):
            raise Refused(
                f"the config map {self.name} has no key {self.key}", "add it, empty: the proxy's block includes it"
            )
        if now.get("immutable"):
            raise Refused(f"the config map {self.name} is immutable", "make one that may be changed")
        return now


def include_for(around: Surroundings, switch: MaintenanceSwitch) -> HostFile | MountedMap:
    """Raises Refused where a config map is named and the environment has no Kubernetes."""
    if not switch.config_map:
        return HostFile(around.system.path(switch.include))
    runtime = around.runtime
    if not isinstance(runtime, Kubernetes):
        raise Refused(
            f"`maintenance` names the config map {switch.config_map}, and this environment has no Kubernetes",
            "name the file that nginx includes alone, in this environment",
        )
    return MountedMap(runtime, switch.config_map, PurePosixPath(str(switch.include)).name)


async def in_maintenance(include: Include) -> str:
    """The banner's include where opsbook has written one there; empty where it has not."""
    text = await include.now()
    return text if text.startswith(MARK) else ""


async def without_maintenance(include: Include) -> str:
    """What the proxy would include when it is taken out of maintenance."""
    now = await include.now()
    return await include.kept() if now.startswith(MARK) else now


def _file(path: Path, content: str) -> Change:
    digest = hashlib.sha256(content.encode()).hexdigest()
    return Change("file", {"path": str(path), "content": content, "digest": digest, "mode": 0o644})


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise NotReached(f"{path}: {reason}", "check its path and permissions") from error
