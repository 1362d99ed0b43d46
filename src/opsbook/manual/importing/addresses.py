"""Who answers at the addresses of a manual, what product a name tells of, and the variable that holds an address."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from opsbook.manual.importing.sources import Source, every_command
from opsbook.manual.lift.inventory import Inventory, Part, slug, unique
from opsbook.manual.shell import Command

_PRODUCTS = (
    (re.compile(r"postgres|timescale|pgvector|postgis", re.I), "postgres"), (re.compile(r"pgbouncer", re.I), "pgbouncer"),  # noqa: E501
    (re.compile(r"redis|valkey|keydb", re.I), "redis"), (re.compile(r"alertmanager", re.I), "alertmanager"),
    (re.compile(r"prometheus", re.I), "prometheus"), (re.compile(r"grafana|flower|minio|kibana|jaeger", re.I), "http"),
    (re.compile(r"mysql|maria|mongo|elastic|opensearch|rabbit|kafka|\bnats\b|memcached|cassandra|clickhouse|influx|neo4j|etcd", re.I), "tcp"),  # noqa: E501
)  # fmt: skip
PORTS = {"9090": "prometheus", "9093": "alertmanager", "3000": "grafana", "5555": "flower"}
_PUBLIC = re.compile(r"(?!\d+(?:\.\d+){3})[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::\d+)?")
_NOT_OURS = re.compile(
    r"(?:^|\.)(?:github|githubusercontent|gitlab|docker|google|googleapis|amazonaws|slack|npmjs|pypi|letsencrypt|"
    r"statuspage|pagerduty|sentry|k8s|ifconfig)\.(?:com|io|org|me|net|co)$"
)


def product(text: str) -> str:
    """The kind of component that a product's name tells of; empty where it tells none."""
    return next((kind for pattern, kind in _PRODUCTS if pattern.search(text)), "")


def hosts(found: Inventory, sources: list[Source]) -> None:
    """Who answers at the addresses that are asked."""
    web = [part for part in found.parts.values() if part.kind in ("http", "proxy")]
    domains: set[str] = set()
    for strict in (True, False):
        for source, command in every_command(sources):
            for word in command.argv[1:] if command.program in ("curl", "wget") else ():
                text = word.value or word.text
                if re.match(r"(?:https?://)?[\w.-]+(?::\d+)?(?:/|$)", text) and ("://" in text or "localhost" in text):
                    _host(found, web, text, source.place(command.line), domains, strict)


def outside(found: Inventory, sources: list[Source]) -> None:
    """Addresses of others that the manual only looks at: components, so that an environment may put another there."""
    for source, command in every_command(sources):
        if command.program not in ("curl", "wget") or not _probes(command):
            continue
        for word in command.argv[1:]:
            text = word.value or ""
            split = urlsplit(text)
            host = split.netloc.rpartition("@")[2].lower()
            known = found.at(text) or _NOT_OURS.search(host.partition(":")[0])
            if known or split.scheme not in ("http", "https") or not _PUBLIC.fullmatch(host):
                continue
            label = next((one for one in host.split(".") if one not in ("www", "api", "app")), host)
            part = Part(
                unique(slug(label, "outside"), found.parts), "http", {}, "outside", [source.place(command.line)]
            )
            part.keys |= {"description": f"{host}, which others run", "health": split.path or "/"}
            part.keys["at"] = f"{split.scheme}://{host}"
            part.hosts.add(host)
            found.parts[part.name] = part


def _probes(command: Command) -> bool:
    """Whether it only asks for the head of a page, or throws the page away."""
    words = command.words
    thrown = any(words[at : at + 2] in (("-o", "/dev/null"), ("--output", "/dev/null")) for at in range(len(words)))
    return thrown or any(re.fullmatch(r"-[a-zA-Z]*I[a-zA-Z]*|--head|--spider", word) for word in words)


def _host(found: Inventory, web: list[Part], url: str, place: str, domains: set[str], strict: bool) -> None:
    split = urlsplit(url if "//" in url else f"http://{url}")
    host = split.netloc.rpartition("@")[2].lower()
    if not host or found.at(url) or _NOT_OURS.search(host.partition(":")[0]):
        return
    name, _, port = host.partition(":")
    first = name.partition(".")[0]
    part = _named(found, web, first, port, name)
    local = name in ("localhost", "127.0.0.1", "0.0.0.0")  # noqa: S104 - compared, never bound
    if (
        part is None
        and not strict
        and (local or ".".join(name.split(".")[-2:]) in domains or "." not in name or _own_path(split.path))
    ):
        part = next((p for p in web if p.role == "ui" and not p.hosts and "api" not in split.path and not local), None)
        plain = sorted(web, key=lambda p: bool(re.search(r"-(?:blue|green|canary)$", p.name)))
        part = part or next((p for p in plain if p.role == "api"), None) or next((p for p in plain if p.workload), None)
        if part is None:
            part = found.parts["api"] = Part("api", "http", {}, "api", [place])
            web.append(part)
    if part is None or (local and any(h != host and h.startswith((f"{name}:", "localhost:")) for h in part.hosts)):
        return  # another port of this machine is another service, and which one is not said
    part.hosts.add(host)
    if not local and "." in name:
        domains.add(".".join(name.split(".")[-2:]))
    part.keys.setdefault("at", f"{split.scheme or 'http'}://{host}")
    if part.kind in ("http", "proxy") and re.search(
        r"/(?:health\w*|healthz|readyz|livez|ping|status|up)(?:/\w*)?/?$", split.path
    ):
        part.keys.setdefault("health", split.path)


def _own_path(path: str) -> bool:
    return bool(re.search(r"/(?:health|api|metrics|ready|live)", path))


def _named(found: Inventory, web: list[Part], first: str, port: str, name: str) -> Part | None:
    known_port = PORTS.get(port, "") if name in ("localhost", "127.0.0.1") else ""
    for word in (first, known_port):
        kind = product(word)
        if kind in ("prometheus", "alertmanager"):
            part = found.one(kind)
            if part is None:
                part = found.parts[kind] = Part(kind, kind, {}, "monitoring")
            return part
    if product(first) == "http":
        part = found.workload(first)
        if part is None or part.kind != "http":
            part = Part(unique(first, found.parts), "http", {}, "monitoring")
            found.parts[part.name] = part
        return part
    known = found.workload(first)
    if known is not None and known.kind in ("http", "proxy"):
        return known
    side = next((part for part in web if first and part.name.endswith(f"-{first}")), None)
    return side or next((part for part in web if first and first in (part.name, part.role) and first != "api"), None)


_VARIABLES = {
    "postgres": "dsn",
    "pgbouncer": "dsn",
    "redis": "url",
    "http": "url",
    "proxy": "url",
    "prometheus": "url",
    "alertmanager": "url",
    "tcp": "address",
}


def address(part: Part) -> None:
    """Where it is reached: a variable, with the manual's own address as its default where that holds no secret."""
    key = _VARIABLES.get(part.kind)
    default = str(part.keys.pop("at", ""))
    if key is None:
        return
    name = {"cache": "REDIS"}.get(part.name, re.sub(r"\W", "_", part.name.upper()))
    name = name if name[0].isalpha() else f"AT_{name}"
    suffix = "ADDRESS" if key == "address" else "URL"
    part.keys[key] = f"${{{name}_{suffix}{f':-{default}' if default and '{' not in default else ''}}}"
