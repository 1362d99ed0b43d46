"""A compose file as it is meant: variables filled in, services with their order, networks and volumes.

The format is that of https://github.com/compose-spec/compose-spec (version 2 and 3 files alike).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from opsbook.book.load import nearest
from opsbook.book.system import parse_env
from opsbook.errors import Absent, UsageError

_VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)|\{(?P<braced>[A-Za-z_]\w*)(?:(?P<how>:?[-?+])(?P<words>[^}]*))?\}|(?P<plain>[A-Za-z_]\w*))"
)


@dataclass(frozen=True)
class Service:
    """One service. `settings` are its keys with variables filled in, so that they may hold secrets."""

    name: str
    settings: Mapping[str, Any]
    digest: str
    """Of the keys as they are written, before variables are filled in."""

    @property
    def image(self) -> str:
        return str(self.settings.get("image") or "")

    @property
    def replicas(self) -> int:
        """How many containers the file wants."""
        deploy = self.settings.get("deploy") or {}
        written = self.settings.get("scale", deploy.get("replicas"))
        return 1 if written is None else int(written)

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(self.settings.get("depends_on") or ())

    @property
    def grace(self) -> float:
        """Seconds between SIGTERM and SIGKILL."""
        return seconds(self.settings.get("stop_grace_period", "10s"))

    @property
    def delay(self) -> float:
        """Seconds that a new container is ready before an old one goes: proxies learn of it meanwhile."""
        update = (self.settings.get("deploy") or {}).get("update_config") or {}
        return seconds(update.get("delay", 0))


@dataclass(frozen=True)
class ComposeFile:
    """The file, its folder and the name of the project."""

    path: Path
    project: str
    data: Mapping[str, Any]
    services: Mapping[str, Service]
    variables: Mapping[str, str]
    """Those of the process and of `.env`, for variables that a service takes over by their name."""

    def service(self, name: str) -> Service:
        """Raises Absent."""
        if name not in self.services:
            raise Absent(f"{self.path.name} has no service {name!r}", nearest(name, self.services))
        return self.services[name]

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The services, each after those that it depends on."""
        found: dict[str, None] = {}

        def add(name: str, above: tuple[str, ...]) -> None:
            if name in above:
                raise UsageError(f"{self.path.name}: {name} depends on itself", "correct its `depends_on`")
            if name in found or name not in self.services:
                return
            for needed in self.services[name].needs:
                add(needed, (*above, name))
            found[name] = None

        for name in self.services:
            add(name, ())
        return tuple(found)

    def network(self, key: str) -> tuple[str, Mapping[str, Any]]:
        """The name of a network for the Docker API, and what the file says of it."""
        return self._named("networks", key)

    def volume(self, key: str) -> tuple[str, Mapping[str, Any]]:
        """The name of a volume for the Docker API, and what the file says of it."""
        return self._named("volumes", key)

    def _named(self, kind: str, key: str) -> tuple[str, Mapping[str, Any]]:
        said = (self.data.get(kind) or {}).get(key) or {}
        external = said.get("external")
        if isinstance(external, dict):
            return str(external.get("name") or key), said
        return str(said.get("name") or (key if external else f"{self.project}_{key}")), said


def read_compose_file(path: Path, project: str, environment: Mapping[str, str]) -> ComposeFile:
    """Reads the file; `environment` wins over the `.env` beside it. Raises UsageError with the place.

    The project is named as compose names it: as given, by COMPOSE_PROJECT_NAME, by `name` of the file, by its folder.
    """
    try:
        written = yaml.safe_load(path.read_text(encoding="utf-8"))
        beside = path.with_name(".env")
        variables = {**(parse_env(beside.read_text(encoding="utf-8")) if beside.is_file() else {}), **environment}
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "correct `runtime.file` in book.yaml") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not YAML: {' '.join(str(error).split())}", "correct it") from error
    if not isinstance(written, dict) or not isinstance(written.get("services"), dict):
        raise UsageError(f"{path} has no `services`", "name a compose file in `runtime.file`")
    if written.get("include"):
        raise UsageError(f"{path}: `include` is not understood", "`docker compose config` writes it as one file")
    filled = fill(written, variables, path.name)
    services = {}
    for name, settings in filled["services"].items():
        if not isinstance(settings, dict):
            raise UsageError(f"{path}: the service {name!r} has no keys", "give it an `image`")
        services[str(name)] = Service(str(name), settings, _digest(written["services"][name]))
    named = project or variables.get("COMPOSE_PROJECT_NAME") or str(filled.get("name") or "")
    named = named or project_name(path.absolute().parent.name)
    return ComposeFile(path, named, filled, services, variables)


def project_name(folder: str) -> str:
    """The name that compose gives a project after its folder."""
    return re.sub(r"[^-_a-z0-9]", "", folder.lower()).lstrip("_-")


def _digest(written: Any) -> str:
    text = json.dumps(written, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fill(value: Any, variables: Mapping[str, str], where: str) -> Any:
    """Variables of all texts replaced as compose does it. Raises UsageError where one that must be set is not."""
    if isinstance(value, dict):
        return {key: fill(one, variables, where) for key, one in value.items()}
    if isinstance(value, list):
        return [fill(one, variables, where) for one in value]
    if not isinstance(value, str) or "$" not in value:
        return value

    def replaced(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "$"
        name, how, words = match["braced"] or match["plain"], match["how"] or "", match["words"] or ""
        known = variables.get(name)
        given = known is not None and not (how.startswith(":") and not known)
        if how.endswith("+"):
            return words if given else ""
        if given:
            return known or ""
        if how.endswith("?"):
            raise UsageError(f"{where}: {name} is not set{': ' + words if words else ''}", f"set {name}")
        return words

    return _VARIABLE.sub(replaced, value)


_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h)")


def seconds(written: Any) -> float:
    """Of a duration such as `1m30s`. Raises UsageError."""
    if isinstance(written, int | float):
        return float(written)
    parts = _PART.findall(str(written))
    if not parts or "".join(number + unit for number, unit in parts) != str(written):
        raise UsageError(f"{written!r} is not a duration", "write it like 1m30s")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)


def size(written: Any) -> int:
    """Bytes of a size such as `64m`. Raises UsageError."""
    match = _SIZE.fullmatch(str(written).strip())
    if match is None:
        raise UsageError(f"{written!r} is not a size", "write it like 64m")
    return int(float(match[1]) * 1024 ** " kmgt".index(match[2].lower() or " "))
