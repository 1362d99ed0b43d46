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
    return (file.path.parent / source for source in _sources(service) if source.startswith("."))


def _sources(service: Service) -> Iterator[str]:
    for said in service.settings.get("volumes") or ():
        yield str(said.get("source") or "") if isinstance(said, dict) else str(said).split(":")[0]


def only_when_made(file: ComposeFile, service: Service, path: Path) -> bool:
    """Whether a container takes this file over only when it is made.

    So it is with its variables, and with a file that is mounted by itself: a file that is put in its place is another
    one, which the mount does not follow.
    """
    mounted = [file.path.parent / Path(source).expanduser() for source in _sources(service) if source[:1] in set("./~")]
    taken = [file.path.with_name(".env"), *env_files(file, service), *mounted]
    return path.resolve() in {one.resolve() for one in taken}


def own_variables(service: Service) -> frozenset[str]:
    """Variables that the compose file itself sets: they win over any `env_file`."""
    return frozenset(pairs(service.settings.get("environment")))


def taken_over(file: ComposeFile, service: Service) -> frozenset[str]:
    """Those of them that it takes over under their own names: `LEVEL`, `${LEVEL}`, `${LEVEL:-info}`."""
    written = yaml.safe_load(file.path.read_text(encoding="utf-8"))["services"][service.name].get("environment")
    return frozenset(name for name, text in pairs(written).items()
                     if text is None or re.fullmatch(rf"\$(?:{name}|\{{{name}(?::?[-?][^}}]*)?\}})", text))  # fmt: skip


def digest_of(compose: Compose, service: Service) -> str:
    """Of what its variables and files are now; empty where it can have none."""
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
    # An env file may have no line left: what was made with the last one is another container.
    some = paths or variables or env_files(compose.file, service) or own_variables(service)
    return found.hexdigest()[:16] if some else ""


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""
