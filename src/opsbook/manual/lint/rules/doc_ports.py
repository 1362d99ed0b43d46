"""Ports and health paths: what one part of the manual asks against what another part says is there."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import block, sh
from opsbook.manual.lint.facts.inventory import Entry, inventory
from opsbook.manual.lint.facts.manifests import Manifest
from opsbook.manual.lint.facts.names import targets
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, Place, rule

_LOCAL = re.compile(r"(?:https?://)?(?:localhost|127\.0\.0\.1|0\.0\.0\.0):(\d{2,5})(/[\w./-]*)?")
_TABLE = "| Component | Port |\n|---|---|\n| shop-api | 8000 |\n| redis | 6379 |\n\n"


@rule(
    "OB565",
    "port-of-nobody",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="A check, probe or proxy asks at a port where the service does not listen",
    reason="The connection is refused: the check fails for a healthy service, or the proxy answers 502.",
    source="https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/",
    bad=_TABLE + sh("kubectl exec -n shop deploy/shop-api -- curl -fsS localhost:8080/health"),
    good=_TABLE + sh("kubectl exec -n shop deploy/shop-api -- curl -fsS localhost:8000/health"),
)
def port_of_nobody(context: Context) -> Iterator[Fault]:
    """Requests inside a container, probes, compose health checks, and a proxy beside the server that it fronts."""
    known = {entry.name: entry for entry in inventory(context.document) if entry.ports}
    yield from _inside(context, known)
    for manifest in context.manifests:
        yield from _probes(manifest)
        yield from _compose_checks(manifest)
        yield from _policies(manifest, known)
    yield from _proxies(context)


def _inside(context: Context, known: dict[str, Entry]) -> Iterator[Fault]:
    for step in context.steps:
        outer = step.container
        if outer is None or step.program not in ("curl", "wget") or outer.call is None:
            continue
        names = [t.name for t in targets(outer.call)] if outer.call.tool == "kubectl" else list(outer.call.words[:1])
        found = _LOCAL.search(step.command.text)
        entry = known.get(names[0]) if names else None
        if found and entry and int(found[1]) not in entry.ports and int(found[1]) < 9000:
            if re.search(r"metrics|debug|pprof|admin|actuator|stub_status", found[2] or ""):
                continue
            ports = ", ".join(str(p) for p in entry.ports)
            yield Fault(step.place, f"port {found[1]} here, {entry.name} listens on {ports} (line {entry.line})")


def _probes(manifest: Manifest) -> Iterator[Fault]:
    base = ("spec", "template", "spec", "containers")
    for c, container in enumerate(_list(manifest.get(*base))):
        entries = [p for p in _list(container.get("ports")) if isinstance(p, dict)]
        listed = [p.get("containerPort") for p in entries] + [p.get("name") for p in entries]
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            for kind in ("httpGet", "tcpSocket"):
                port = manifest.get(*base, c, probe, kind, "port")
                if listed and port is not None and port not in listed:
                    ports = ", ".join(str(p.get("containerPort")) for p in entries)
                    at = manifest.place(*base, c, probe, kind, "port")
                    yield Fault(at, f"the probe asks port {port}, the container declares {ports}")


def _compose_checks(manifest: Manifest) -> Iterator[Fault]:
    services = manifest.get("services")
    for name, service in services.items() if isinstance(services, dict) else ():
        test = manifest.get("services", name, "healthcheck", "test")
        found = _LOCAL.search(" ".join(map(str, test)) if isinstance(test, list) else str(test or ""))
        told = (
            [re.search(r"(\d+)(?:/\w+)?$", str(p)) for p in _list(service.get("ports"))]
            if isinstance(service, dict)
            else []
        )
        ports = {int(m[1]) for m in told if m}
        if found and ports and int(found[1]) not in ports:
            at = manifest.place("services", name, "healthcheck", "test")
            yield Fault(at, f"asks port {found[1]}, {name} listens on {', '.join(map(str, sorted(ports)))}")


def _policies(manifest: Manifest, known: dict[str, Entry]) -> Iterator[Fault]:
    if manifest.kind != "NetworkPolicy":
        return
    for r, entry in enumerate(_list(manifest.get("spec", "egress"))):
        peers = [p.get("podSelector", {}).get("matchLabels", {}) for p in _list(entry.get("to")) if isinstance(p, dict)]
        names = [str(v) for labels in peers if isinstance(labels, dict) for v in labels.values() if str(v) in known]
        for p, port in enumerate(_list(entry.get("ports"))):
            number = port.get("port") if isinstance(port, dict) else None
            if len(names) == 1 and isinstance(number, int) and number not in known[names[0]].ports:
                at = manifest.place("spec", "egress", r, "ports", p)
                yield Fault(at, f"lets port {number} through, {names[0]} listens on {known[names[0]].ports[0]}")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


_BINDS = re.compile(r"(?:--bind[ =]|-b )(?:127\.0\.0\.1|localhost|0\.0\.0\.0)?:(\d{4,5})|--port[ =](\d{4,5})")
_FRONTS = re.compile(r"^\s*(?:server|proxy_pass)\s+(?:http://)?(?:127\.0\.0\.1|localhost):(\d{4,5})")


def _proxies(context: Context) -> Iterator[Fault]:
    """nginx in front of the one gunicorn or uvicorn of the manual."""
    lines = list(enumerate(context.document.lines, 1))
    binds = {
        (m[1] or m[2], n) for n, line in lines if re.search(r"gunicorn|uvicorn", line) and (m := _BINDS.search(line))
    }
    fronts = [(m[1], n) for n, line in lines if (m := _FRONTS.match(line))]
    ports = {port for port, _ in binds}
    if len(ports) == 1 and fronts and not any(port in ports for port, _ in fronts):
        port, line = next(iter(binds))
        yield Fault(Place(fronts[0][1]), f"the proxy asks port {fronts[0][0]}, the server binds {port} (line {line})")


_HEALTH = re.compile(
    r"https?://(?P<host>[a-z][\w.-]*\.[a-z]{2,})(?::\d+)?(?P<path>/(?:[\w-]+/)*(?:health(?:z|check|-check|_check)?))/?(?![\w/-])",
    re.I,
)


@rule(
    "OB566",
    "two-health-paths",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="One host is asked for its health at two paths",
    reason="One of the two is likely to answer 404, or an answer of the front page that is taken for health.",
    source="the manual itself",
    bad=sh("curl -fsS https://shop.io/health")
    + "\n\n| Check | Expected |\n|---|---|\n| https://shop.io/healthcheck | 200 |",
    good=sh("curl -fsS https://shop.io/health")
    + "\n\n| Check | Expected |\n|---|---|\n| https://shop.io/health | 200 |",
)
def two_health_paths(context: Context) -> Iterator[Fault]:
    """health, healthz, healthcheck of one host; probes against the path that the inventory gives."""
    told: dict[str, dict[str, list[int]]] = {}
    for number, line in enumerate(context.document.lines, 1):
        for found in _HEALTH.finditer(line):
            told.setdefault(found["host"].lower(), {}).setdefault(found["path"].lower(), []).append(number)
    for paths in told.values():
        last = {path.rsplit("/", 1)[1] for path in paths}
        if len(paths) == 2 and len(last) == 2 and len({path.rsplit("/", 1)[0] for path in paths}) == 1:
            (often, first), (seldom, second) = sorted(paths.items(), key=lambda item: (-len(item[1]), item[1][0]))
            yield Fault(Place(second[0]), f"{seldom} here, {often} at line {first[0]}")
    yield from _against_inventory(context)


def _against_inventory(context: Context) -> Iterator[Fault]:
    known = {entry.name: entry for entry in inventory(context.document) if entry.health}
    base = ("spec", "template", "spec", "containers")
    for manifest in context.manifests:
        entry = known.get(manifest.name)
        for c, _ in enumerate(_list(manifest.get(*base)) if entry else ()):
            paths = [(p, manifest.get(*base, c, p, "httpGet", "path")) for p in ("livenessProbe", "readinessProbe")]
            given = [(probe, path) for probe, path in paths if path]
            if entry and given and all(str(path).rstrip("/") != entry.health.rstrip("/") for _, path in given):
                at = manifest.place(*base, c, given[0][0], "httpGet", "path")
                yield Fault(at, f"the probe asks {given[0][1]}, line {entry.line} gives {entry.health}")


@rule(
    "OB436",
    "nginx-line-without-end",
    FaultClass.WILL_NOT_RUN,
    Severity.ERROR,
    summary="An nginx directive ahead of a closing brace without its semicolon",
    reason="nginx -t refuses the file: “unexpected }”. The old settings stay, and at the next start there are none.",
    source="https://nginx.org/en/docs/beginners_guide.html#conf_structure",
    bad=block("nginx", "location / {\n    proxy_pass http://api;\n    proxy_read_timeout 300s\n}"),
    good=block("nginx", "location / {\n    proxy_pass http://api;\n    proxy_read_timeout 300s;\n}"),
)
def proxy_without_end(context: Context) -> Iterator[Fault]:
    """A line of words and values that neither ; nor { ends, with } as the next line."""
    for fence in context.document.fences():
        if fence.language != "nginx" or re.search(r"lua|\.\.\.|…|\{\{", fence.text):
            continue
        lines = [re.sub(r"(?<!\S)#.*", "", line).strip() for line in fence.text.split("\n")]
        for number, (line, behind) in enumerate(itertools.pairwise(lines), fence.line):
            if behind == "}" and re.fullmatch(r"[a-z_]{4,}\s[^;{}]+", line):
                yield Fault(context.place(number), "no semicolon at its end", Fix("end it with ;"))
