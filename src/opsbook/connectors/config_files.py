"""Files that hold the configuration of a component: which one a value belongs to, and the file with another value.

What was in a file is kept beside it as `.NAME.VERSION.version`, with its owner and mode; a version is named after what
is in it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from opsbook.book.delivery import ConfigFiles
from opsbook.book.system import System, parse_env
from opsbook.book.words import nearest
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors.file import replace_file
from opsbook.connectors.runtimes.compose import Compose
from opsbook.connectors.runtimes.compose_config import (
    env_files,
    mounted_files,
    only_when_made,
    own_variables,
    taken_over,
)
from opsbook.errors import Absent, Refused

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
QUOTED = frozenset(' \t#"$`\\')
PRIVATE = 0o077
VERSION_LENGTH = 10


@dataclass(frozen=True)
class ConfigFile:
    """One of them. `lines`: of KEY=VALUE; else it is deployed as a whole, under its own name."""

    path: Path
    lines: bool

    def read(self) -> bytes:
        """What is in it. Raises Refused."""
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise Refused(f"{self.path}: {error.strerror}", "write it; opsbook changes values of a file") from error

    @property
    def private(self) -> bool:
        """Whether its values are shown to nobody who looks at a plan."""
        return not self.path.stat().st_mode & PRIVATE


def version_of(content: bytes) -> str:
    """The name of a version with this in it."""
    return hashlib.sha256(content).hexdigest()[:VERSION_LENGTH]


def kept(path: Path, version: str) -> Path:
    """Where a version of a file is kept."""
    return path.with_name(f".{path.name}.{version}.version")


def keep(path: Path, content: bytes) -> None:
    """Keep what is in the file now, under its version, which is the newest then."""
    place = kept(path, version_of(content))
    if place.exists() and place.read_bytes() == content:
        os.utime(place)
    else:
        replace_file(place, content, 0o600, like=path)


def versions(path: Path) -> list[Path]:
    """The versions that are kept of a file, the oldest first."""
    # `.env.*.version` alone would also match those of `.env.production`.
    own = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{{VERSION_LENGTH}}}\.version")
    found = [one for one in path.parent.glob(f".{escape(path.name)}.*.version") if own.fullmatch(one.name)]
    return sorted(found, key=lambda one: (one.stat().st_mtime_ns, one.name))


def with_values(content: bytes, values: Mapping[str, str | None]) -> bytes:
    """Lines of KEY=VALUE with these values; None takes a key out. Comments and everything else stays."""
    text = content.decode()
    for name, value in values.items():
        pattern = re.compile(rf"^[ \t]*(?:export[ \t]+)?{re.escape(name)}[ \t]*=.*\n?", re.MULTILINE)
        if parse_env(text).get(name) == value:
            continue
        quote = "'" if value is not None and set(value) & QUOTED else ""
        line = "" if value is None else f"{name}={quote}{value}{quote}\n"
        found = list(pattern.finditer(text))
        if found:
            # The last line of a name is the one that counts: it takes the value, and the others go.
            text = text[: found[-1].start()] + line + text[found[-1].end() :]
            for one in reversed(found[:-1]):
                text = text[: one.start()] + text[one.end() :]
        elif line:
            text += ("" if text.endswith("\n") or not text else "\n") + line
    return text.encode()


def values_in(file: ConfigFile, content: bytes, keys: Sequence[str]) -> dict[str, str | None]:
    """What the keys are in it; None for one that it has not."""
    if not file.lines:
        return {file.path.name: content.decode()}
    known = parse_env(content.decode())
    return {key: known.get(key) for key in keys}


def made(file: ConfigFile, content: bytes, values: Mapping[str, str | None]) -> bytes:
    """The content with other values."""
    return with_values(content, values) if file.lines else (values[file.path.name] or "").encode()


def files_of(connections: Connections, component: str, workload: str) -> list[ConfigFile]:
    """The files of a component. Raises OpsbookError for a service that is not there."""
    system, found = connections.system, []
    if isinstance(connections.runtime, Compose):
        compose = connections.runtime
        service = compose.service(workload)
        found += [ConfigFile(path, lines=True) for path in env_files(compose.file, service)]
        found += [ConfigFile(path, lines=False) for path in mounted_files(compose.file, service)]
    found += [ConfigFile(path, lines=path.name.endswith(".env")) for path in _written(system, component)]
    return [ConfigFile(one.path.resolve(), one.lines) for one in found]


def settings_of(system: System, component: str) -> ConfigFiles | None:
    """What the book says of the files of a component."""
    said = system.model.deploys.components.get(component)
    return said.config if said is not None else None


def commands_of(connections: Connections, component: str, workload: str, path: Path) -> tuple[list[str], list[str]]:
    """`check` and `reload`, as the book gives them for its own files; none for any other.

    A container never reads some files again: for them there is no `reload`.
    """
    settings, runtime = settings_of(connections.system, component), connections.runtime
    if settings is None or path not in {one.resolve() for one in _written(connections.system, component)}:
        return [], []
    made_anew = isinstance(runtime, Compose) and only_when_made(runtime.file, runtime.file.service(workload), path)
    return list(settings.check), [] if made_anew else list(settings.reload)


def _written(system: System, component: str) -> list[Path]:
    config = settings_of(system, component)
    return [system.path(path) for path in config.files] if config is not None else []


def chosen(files: Sequence[ConfigFile], values: Mapping[str, str | None], wanted: str, component: str) -> ConfigFile:
    """The one file that these values belong to. Raises Refused, Absent."""
    names = [one.path.name for one in files]
    if not files:
        raise Refused(f"the configuration of {component} is in no file that is known",
                      "give its service an `env_file`, or write `config` in `deploys.components`")  # fmt: skip
    if wanted and wanted not in names:
        raise Absent(f"{component} has no file of configuration {wanted!r}", nearest(wanted, names))
    found = [one for one in files if not wanted or one.path.name == wanted]
    whole = [one for one in found if not one.lines and one.path.name in values]
    if whole:
        if len(values) > 1:
            raise Refused(f"{whole[0].path.name} is deployed whole, and by itself", "deploy the other values after it")
        if values[whole[0].path.name] is None:
            raise Refused(f"{whole[0].path.name} cannot be taken out", "give it a text")
        return whole[0]
    lined = [one for one in found if one.lines]
    if not lined:
        raise Refused(f"{component} takes no file of KEY=VALUE", f"name one of its files: {', '.join(names)}")
    return _lined(lined, values)


def _lined(lined: Sequence[ConfigFile], values: Mapping[str, str | None]) -> ConfigFile:
    for name, value in values.items():
        if not NAME.fullmatch(name):
            raise Refused(f"{name!r} is no name of a variable", "write letters, digits and _")
        if value is not None and (set(value) & set("\n\r'") or not value.isprintable()):
            raise Refused(
                f"the value of {name} has a quote or the end of a line in it", "put it into a file of its own"
            )
    having = [one for one in lined if set(values) & set(parse_env(one.read().decode()))]
    return (having or list(lined))[-1]


def beside_compose(connections: Connections, workload: str, values: Mapping[str, str | None]) -> ConfigFile | None:
    """The `.env` beside the compose file, where that takes these variables over from it; None where it sets none.

    Raises Refused for a variable that something sets which wins over every file.
    """
    if not isinstance(connections.runtime, Compose):
        return None
    file, system = connections.runtime.file, connections.system
    service = file.service(workload)
    own = sorted(own_variables(service) & set(values))
    if not own:
        return None
    if fixed := sorted(set(own) - taken_over(file, service)):
        raise Refused(f"`environment` of {workload} sets {fixed[0]} in the compose file, which wins over its files",
                      f"write ${{{fixed[0]}}} there, and the value in the `.env` beside it")  # fmt: skip
    if other := sorted(set(values) - set(own)):
        raise Refused(f"{own[0]} is of the `.env` and {other[0]} is not", "deploy one after the other")
    if given := sorted(set(own) & set(system.variables)):
        raise Refused(f"opsbook's own environment sets {given[0]}, which wins over the `.env`", "take it out there")
    return ConfigFile(file.path.with_name(".env").resolve(), lines=True)


def decoded(content: bytes, path: Path) -> bytes:
    """The content, which is text. Raises Refused."""
    try:
        content.decode()
    except UnicodeDecodeError as error:
        raise Refused(f"{path} is no text", "change it by hand") from error
    return content
