"""Parts of a system from supervisord.conf and Procfile, and names of variables from .env."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

from opsbook.book.discover import Found, Part, Place, linked, note, relative, text_of
from opsbook.book.kinds import guess, slug
from opsbook.book.system import parse_env

ENV_FILES = (".env", ".env.production", ".env.example", ".env.sample", "env.example")
_ASSIGNMENT = re.compile(r"""([A-Za-z_]\w*)=(?:"([^"]*)"|'([^']*)'|([^,\s]*))""")
_PORT = re.compile(r"(?:--port[= ]|-p |--bind[= ]\S*:|-b \S*:|:)(\d{2,5})\b")


def read_supervisor(found: Found, files: list[Path]) -> None:
    """Adds the place that the supervisord.conf nearest to the root describes."""
    for path in files:
        if path.name not in ("supervisord.conf", "supervisor.conf"):
            continue
        config = configparser.RawConfigParser(strict=False, inline_comment_prefixes=(";",))
        try:
            config.read_string(text_of(found, path))
        except configparser.Error as error:
            note(found, path, str(error))
            continue
        source = relative(found, path)
        values: dict[str, dict[str, str]] = {}
        parts = []
        for section in config.sections():
            kind, _, name = section.partition(":")
            if kind in ("program", "fcgi-program") and name:
                options = dict(config.items(section))
                values[slug(name)] = _assignments(options.get("environment", ""))
                parts.append(_program(name, options, source, tuple(values[slug(name)])))
        if parts:
            found.places.append(Place("supervisor", source, {"config": source}, linked(parts, values)))
            return


def _program(name: str, options: dict[str, str], source: str, variables: tuple[str, ...]) -> Part:
    command = options.get("command", "")
    number = options.get("numprocs", "1").strip()
    kind, _, health = guess(slug(name), "", command, False)
    port = _PORT.search(command)
    return Part(
        slug(name),
        kind,
        source,
        workload=name,
        replicas=int(number) if number.isdigit() else None,
        published=int(port[1]) if port and kind in ("http", "proxy", "redis", "prometheus", "alertmanager") else None,
        health=health,
        variables=variables,
    )


def _assignments(text: str) -> dict[str, str]:
    return {match[1]: match[2] or match[3] or match[4] or "" for match in _ASSIGNMENT.finditer(text)}


def read_procfile(found: Found, files: list[Path]) -> None:
    """Adds the processes of a Procfile; nothing holds them that could be asked."""
    for path in files:
        if path.name != "Procfile" or found.places:
            continue
        source = relative(found, path)
        parts = []
        for line in text_of(found, path).splitlines():
            name, colon, command = line.partition(":")
            if colon and re.fullmatch(r"[A-Za-z0-9_-]+", name) and name != "release":
                kind, _, health = guess(slug(name), "", command.strip(), name == "web")
                parts.append(Part(slug(name), kind, source, health=health))
        if parts:
            found.places.append(Place("none", source, {}, tuple(parts)))
            return


def read_env(found: Found, files: list[Path]) -> None:
    """Names of the variables of the .env file nearest to the root. Its values stay where they are."""
    named = sorted(
        (path for path in files if path.name in ENV_FILES), key=lambda p: (len(p.parts), ENV_FILES.index(p.name))
    )
    for path in named:
        values = parse_env(text_of(found, path))
        if values:
            found.variables = tuple(values)
            found.env_file = relative(found, path)
            return
