"""The files of this host that a service takes its configuration from, and what of them a container was made with."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from opsbook.connectors.runtimes.compose_create import environment, pairs
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
    """Variables that the compose file itself sets: they win over any `env_file`."""
    return frozenset(pairs(service.settings.get("environment")))


def taken_over(file: ComposeFile, service: Service) -> frozenset[str]:
    """Those of them that it takes over under their own names: `LEVEL`, `${LEVEL}`, `${LEVEL:-info}`."""
    written = yaml.safe_load(file.path.read_text(encoding="utf-8"))["services"][service.name].get("environment")
    return frozenset(name for name, text in pairs(written).items()
                     if text is None or re.fullmatch(rf"\$(?:{name}|\{{{name}(?::?[-?][^}}]*)?\}})", text))  # fmt: skip


def digest_of(compose: Compose, service: Service) -> str:
    """Of what its variables and files are now; empty where it has none."""
    system, found = compose.system, hashlib.sha256()
    named = [
        system.path(path)
        for name, one in system.model.deploys.components.items()
        if one.config is not None and service.name in (one.blue, one.green, system.components[name].workload or name)
        for path in one.config.files
    ]
    paths, variables = [*mounted_files(compose.file, service), *named], environment(compose.file, service)
    for content in (json.dumps(variables, sort_keys=True).encode(), *map(_content, paths)):
        found.update(len(content).to_bytes(8, "big") + content)
    return found.hexdigest()[:16] if paths or variables else ""


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""
