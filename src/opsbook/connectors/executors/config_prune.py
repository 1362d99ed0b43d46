"""Changes of the kind `config-prune`: versions of a configuration that nothing uses any more are removed.

effect: `component`; then `maps` (names of config maps) or `files` (paths of kept versions). Each map is looked at once
more: one that a workload, one of its revisions, a job or a pod names by now stays; so does one that is no version.

result: `removed`, `kept`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.cluster import kubernetes_of
from opsbook.connectors.contract import Connections
from opsbook.connectors.registry import executor
from opsbook.connectors.runtimes.kubernetes_api import ApiFault, NotThere
from opsbook.connectors.runtimes.kubernetes_config import OF
from opsbook.connectors.runtimes.kubernetes_config_uses import maps_in_use
from opsbook.connectors.switches.service import patiently


@executor("config-prune")
class ConfigPrune:
    """Removes versions."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Raises ChangeFailed where one cannot be removed; what is gone already is fine."""
        if "files" in change.effect:
            paths = [Path(one) for one in change.effect["files"]]
            await asyncio.to_thread(_unlink, paths)
            removed = [one.name for one in paths]
            kept: list[str] = []
        else:
            removed, kept = await patiently(lambda: self._maps(change.effect["maps"]))
        for name in removed:
            await out.write(f"{name} is removed\n")
        return Done({"removed": removed, "kept": kept})

    async def end(self, key: str, change: Change) -> bool:
        """Nothing of it outlives this process."""
        return True

    async def _maps(self, names: list[str]) -> tuple[list[str], list[str]]:
        runtime = kubernetes_of(self.connections.runtime)
        used = await maps_in_use(runtime)
        removed: list[str] = []
        kept: list[str] = []
        for name in names:
            path = runtime.namespace.core("configmaps", name)
            try:
                now = await runtime.api.get(path)
                if name in used or OF not in (now["metadata"].get("labels") or {}):
                    kept.append(name)
                    continue
                await runtime.api.ask("DELETE", path)
            except NotThere:
                pass
            except ApiFault as error:
                raise ChangeFailed(f"{name} cannot be removed: {error.message}", error.hint) from error
            removed.append(name)
        return removed, kept


def _unlink(paths: list[Path]) -> None:
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise ChangeFailed(f"{path}: {error.strerror}", "check its folder and permissions") from error
