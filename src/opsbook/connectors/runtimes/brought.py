"""Versions of a workload that were brought to where it runs, whether they ever ran or not.

A runtime's revisions are what ran. Of containers there is more: images of the same repository that lie on the engine,
or on every node that takes pods.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from opsbook.connectors.runtimes.compose_record import repository
from opsbook.connectors.runtimes.contract import Runtime

if TYPE_CHECKING:
    from opsbook.connectors.runtimes.compose import Compose
    from opsbook.connectors.runtimes.kubernetes import Kubernetes

NEVER = "<none>"
"""How the engine names an image whose tag another has taken."""


async def brought(runtime: Runtime, workload: str) -> list[str]:
    """The versions, the lowest first; none where the runtime keeps no images. Raises OpsbookError."""
    from opsbook.connectors.runtimes.compose import Compose
    from opsbook.connectors.runtimes.kubernetes import Kubernetes

    if isinstance(runtime, Compose):
        return await _on_engine(runtime, workload)
    if isinstance(runtime, Kubernetes):
        return await _on_nodes(runtime, workload)
    return []


async def _on_engine(runtime: Compose, workload: str) -> list[str]:
    own = repository(runtime.service(workload).image)
    found = await runtime.api.call("images", own)
    return tags(own, (name for one in found for name in one.get("RepoTags") or ()))


async def _on_nodes(runtime: Kubernetes, workload: str) -> list[str]:
    _, one = (await runtime.look()).find(workload)
    _, image = runtime.image_of(one, workload)
    own = repository(image)
    nodes = [node async for node in runtime.api.pages("/api/v1/nodes") if not node["spec"].get("unschedulable")]
    held = [{name for each in node["status"].get("images") or () for name in each.get("names") or ()} for node in nodes]
    return tags(own, set.intersection(*held)) if held else []


def tags(of: str, images: Iterable[str]) -> list[str]:
    """The tags of a repository's images, each once, in the order of versions: 1.9 is before 1.10."""
    found = {name[len(of) + 1 :] for name in images if name.startswith(f"{of}:")}
    return sorted(found - {NEVER}, key=by_version)


def by_version(version: str) -> list[tuple[int, int, str]]:
    """A key to sort by."""
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.split(r"(\d+)", version) if part]
