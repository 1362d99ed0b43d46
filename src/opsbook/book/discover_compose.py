"""Parts of a system from a compose file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from opsbook.book.discover import Found, Part, Place, linked, note, relative, text_of
from opsbook.book.kinds import guess, slug

NAMES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
_HEALTH = re.compile(r"https?://(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?(/[^\s'\"|;]*)")


def read(found: Found, files: list[Path]) -> None:
    """Adds the place that the compose file nearest to the root describes."""
    candidates = sorted(
        (path for path in files if path.name in NAMES), key=lambda path: (len(path.parts), NAMES.index(path.name))
    )
    for path in candidates:
        try:
            data = yaml.safe_load(text_of(found, path))
        except (yaml.YAMLError, ValueError) as error:
            note(found, path, str(error))
            continue
        services = data.get("services") if isinstance(data, dict) else None
        if isinstance(services, dict) and services:
            found.places.append(_place(found, path, data, services))
            return


def _place(found: Found, path: Path, data: dict[str, Any], services: dict[str, Any]) -> Place:
    source = relative(found, path)
    known = {
        str(name): service for name, service in services.items() if isinstance(service, dict) and str(name).strip()
    }
    values = {slug(name): _environment(service) for name, service in known.items()}
    parts = [_part(name, service, source) for name, service in known.items() if not _runs_once(service)]
    kept = {part.name for part in parts}
    if isinstance(data.get("name"), str) and "$" not in data["name"]:
        found.system = found.system or slug(data["name"])
    parts = [_without(part, kept) for part in parts]
    return Place("compose", source, {"file": source}, linked(parts, {n: v for n, v in values.items() if n in kept}))


def _without(part: Part, kept: set[str]) -> Part:
    from dataclasses import replace

    return replace(part, needs=tuple(name for name in part.needs if name in kept))


def _part(name: str, service: dict[str, Any], source: str) -> Part:
    command = _words(service.get("entrypoint")) + " " + _words(service.get("command"))
    image = "" if "build" in service else str(service.get("image") or "")
    ports = [_published(port) for port in service.get("ports") or []]
    listens = bool(ports or service.get("expose"))
    kind, _, health = guess(slug(name), image, command.strip(), listens)
    return Part(
        slug(name),
        kind,
        source,
        workload=name,
        replicas=_replicas(service),
        published=next((port for port in ports if port), None),
        health=health or _health(service),
        needs=tuple(slug(str(one)) for one in service.get("depends_on") or ()),
        variables=tuple(_environment(service)),
    )


def _runs_once(service: dict[str, Any]) -> bool:
    """A migration or a tool that ends by itself is no component."""
    return bool(service.get("profiles")) or service.get("restart") == "no"


def _words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value or "")


def _replicas(service: dict[str, Any]) -> int | None:
    deploy = service.get("deploy")
    written = service.get("scale") or (deploy.get("replicas") if isinstance(deploy, dict) else None)
    return written if isinstance(written, int) and written >= 0 else None


def _published(port: Any) -> int | None:
    """The port on this machine, of `8080:80`, `127.0.0.1:8080:80/tcp`, or the long form."""
    if isinstance(port, dict):
        port = f"{port.get('published', '')}:{port.get('target', '')}"
    parts = str(port).partition("/")[0].split(":")
    written = re.sub(r"\$\{[^}]*:-(\d+)\}", r"\1", parts[-2]) if len(parts) > 1 else ""
    return int(written) if written.isdigit() and 0 < int(written) < 65536 else None


def _health(service: dict[str, Any]) -> str:
    check = service.get("healthcheck")
    match = _HEALTH.search(_words(check.get("test"))) if isinstance(check, dict) else None
    return match[1] if match else ""


def _environment(service: dict[str, Any]) -> dict[str, str]:
    written = service.get("environment")
    if isinstance(written, dict):
        return {str(key): str(value if value is not None else "") for key, value in written.items()}
    if isinstance(written, list):
        pairs = (str(line).partition("=") for line in written)
        return {key: value for key, _, value in pairs}
    return {}
