"""What a supervisord.conf says: where supervisord listens, and what it holds. Format: supervisord.org/configuration."""

from __future__ import annotations

import os
import platform
import re
import shlex
from collections.abc import Iterator, Mapping
from configparser import Error as ConfigError
from configparser import RawConfigParser
from dataclasses import dataclass, field
from pathlib import Path

from opsbook.errors import Unreachable

KINDS = ("program", "fcgi-program", "eventlistener")
_EXPANSION = re.compile(r"%\((?P<name>[^)]+)\)(?P<format>[-#0 +]*\d*[sd])|%%")


@dataclass(frozen=True)
class Program:
    """One program section. Its processes are the slots; the runtime starts and stops them, it cannot add any."""

    name: str
    kind: str
    group: str
    process_names: tuple[str, ...]
    command: str
    directory: str = ""
    user: str = ""
    autostart: bool = True
    start_seconds: float = 1
    stop_seconds: float = 10
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def shares_socket(self) -> bool:
        """Its processes share a listening socket that supervisord closes with the last of them."""
        return self.kind == "fcgi-program"


@dataclass(frozen=True)
class Settings:
    """Where supervisord is, and its programs."""

    unix: str = ""
    url: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    log: str = ""
    programs: tuple[Program, ...] = ()


def read_config(path: Path) -> Settings:
    """Raises Unreachable with the place that cannot be read."""
    parser = _parser(path)
    values = _Values(parser, path.parent)
    groups = {
        member.strip(): section.partition(":")[2]
        for section in parser.sections()
        if section.startswith("group:")
        for member in values.get(section, "programs").split(",")
    }
    programs = [
        _program(values, section, groups)
        for section in parser.sections()
        if section.partition(":")[0] in KINDS and ":" in section
    ]
    unix, inet = "unix_http_server", "inet_http_server"
    server = unix if parser.has_option(unix, "file") else inet
    port = values.get(inet, "port") if server == inet else ""
    return Settings(
        unix=values.path(values.get(unix, "file")) if server == unix else "",
        url=_url(port) if port else "",
        username=values.get(server, "username"),
        password=values.get(server, "password"),
        log=values.path(values.get("supervisord", "logfile", "supervisord.log")),
        programs=tuple(programs),
    )


def _parser(path: Path) -> RawConfigParser:
    parser = RawConfigParser(inline_comment_prefixes=(";", "#"), strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names of variables keep their case
    try:
        parser.read_string(path.read_text(encoding="utf-8"), str(path))
        for pattern in _Values(parser, path.parent).get("include", "files").split():
            for one in sorted(
                path.parent.glob(pattern) if not pattern.startswith("/") else Path("/").glob(pattern[1:])
            ):
                parser.read_string(one.read_text(encoding="utf-8"), str(one))
    except OSError as error:
        raise Unreachable(
            f"{error.filename}: {error.strerror}", "`runtime.config` must name supervisor's own configuration"
        ) from error
    except (ConfigError, UnicodeDecodeError) as error:
        raise Unreachable(
            f"{path} is not a supervisor configuration: {error}", "supervisord would refuse it too"
        ) from error
    return parser


class _Values:
    """Options with supervisor's expansions: %(here)s, %(ENV_X)s, %(program_name)s, %(process_num)02d."""

    def __init__(self, parser: RawConfigParser, here: Path) -> None:
        self._parser = parser
        self.here = here.absolute()
        self.common = {"here": str(self.here), "host_node_name": platform.node()}
        self.common |= {f"ENV_{name}": value for name, value in os.environ.items()}

    def get(self, section: str, option: str, default: str = "", **expansions: object) -> str:
        if not self._parser.has_option(section, option):
            return default
        return expand(self._parser.get(section, option), {**self.common, **expansions})

    def path(self, written: str) -> str:
        return str((self.here / Path(written).expanduser()).absolute())


def expand(text: str, values: Mapping[str, object]) -> str:
    """Fill in `%(name)s` and `%(name)02d`; what is not known stays as it is written."""

    def one(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None:
            return "%"
        return f"%{match['format']}" % values[name] if name in values else match[0]

    return _EXPANSION.sub(one, text)


def _program(values: _Values, section: str, groups: Mapping[str, str]) -> Program:
    kind, _, name = section.partition(":")
    group = groups.get(name, name)
    own = {"program_name": name, "group_name": group}
    count, first = int(values.get(section, "numprocs", "1")), int(values.get(section, "numprocs_start", "0"))
    pattern = values.get(section, "process_name", "%(program_name)s", **own)
    return Program(
        name=name,
        kind=kind,
        group=group,
        process_names=tuple(
            expand(pattern, {**own, "process_num": n, "numprocs": count}) for n in range(first, first + count)
        ),
        command=values.get(section, "command", **own),
        directory=values.get(section, "directory", **own),
        user=values.get(section, "user", **own),
        autostart=values.get(section, "autostart", "true").lower() in ("true", "1", "on", "yes"),
        start_seconds=float(values.get(section, "startsecs", "1")),
        stop_seconds=float(values.get(section, "stopwaitsecs", "10")),
        environment={
            **dict(_pairs(values.get("supervisord", "environment"))),
            **dict(_pairs(values.get(section, "environment", **own))),
        },
    )


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """`KEY="value",OTHER=value` as supervisor reads it."""
    words = shlex.shlex(text, posix=True, punctuation_chars=False)
    words.wordchars += "/.+-():;@%$*?!~^&|<>[]{}`\\"
    tokens = list(words)
    for n in range(0, len(tokens) - 2, 4):
        yield tokens[n], tokens[n + 2]


def _url(port: str) -> str:
    host, colon, number = port.strip().rpartition(":")
    return f"http://{host if colon and host not in ('', '*') else '127.0.0.1'}:{number}"
