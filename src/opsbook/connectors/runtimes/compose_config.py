"""The files of this host that a service takes its configuration from, and what of them a container was made with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from opsbook.connectors.runtimes.compose_create import pairs
from opsbook.connectors.runtimes.compose_file import ComposeFile, Service

if TYPE_CHECKING:
    from opsbook.connectors.runtimes.compose import Compose

CONFIG = "opsbook.config"
"""Label of a container: what was in the files of its configuration when it was made."""


def env_files(file: ComposeFile, service: Service) -> list[Path]:
    """Its `env_file`s, in their order: a later one wins."""
    written = service.settings.get("env_file") or []
    said = [written] if isinstance(written, str | dict) else written
    return [file.path.parent / str(one["path"] if isinstance(one, dict) else one) for one in said]


def mounted_files(file: ComposeFile, service: Service) -> list[Path]:
    """Single files of the project's own folder that it mounts. What lies elsewhere is the host's."""
    return [path for path in _mounted(file, service) if path.is_file()]


def _mounted(file: ComposeFile, service: Service) -> Iterator[Path]:
    for said in service.settings.get("volumes") or ():
        source = str(said.get("source") or "") if isinstance(said, dict) else str(said).split(":")[0]
        if source.startswith("."):
            yield file.path.parent / source


def own_variables(service: Service) -> frozenset[str]:
    """Variables that the compose file itself sets: they win over any file."""
    return frozenset(pairs(service.settings.get("environment")))


def digest_of(compose: Compose, service: Service) -> str:
    """Of all of its files now; empty where it has none."""
    system, found = compose.system, hashlib.sha256()
    named = [
        system.path(path)
        for name, one in system.model.deploys.components.items()
        if one.config is not None and service.name in (one.blue, one.green, system.components[name].workload or name)
        for path in one.config.files
    ]
    paths = [*env_files(compose.file, service), *mounted_files(compose.file, service), *named]
    for path in paths:
        content = path.read_bytes() if path.is_file() else b""
        found.update(len(content).to_bytes(8, "big") + content)
    return found.hexdigest()[:16] if paths else ""
