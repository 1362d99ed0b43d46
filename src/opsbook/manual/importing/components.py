"""The components of the book: what commands act on, what lists and diagrams name, what tools talk to."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from opsbook.book.kinds import WEB_NAMES
from opsbook.manual.extract.components import is_static, kind_of
from opsbook.manual.facts import Component
from opsbook.manual.grammar.invocation import invocation, spoken
from opsbook.manual.importing.addresses import address, hosts, outside, product
from opsbook.manual.importing.sources import Notes, Source, every_command
from opsbook.manual.lift.carried import CLIENTS
from opsbook.manual.lift.inventory import Inventory, Part, bare, slug, unique
from opsbook.manual.lift.tools.kubectl import _LABEL, _NAMED
from opsbook.manual.shell import Command

KINDS = {"api": "http", "ui": "http", "worker": "workload", "scheduler": "workload", "proxy": "proxy"}
"""Role that a manual's reader sees → component kind, where nothing tells more."""
NAMES = {
    "database": "database",
    "cache": "cache",
    "queue": "broker",
    "worker": "worker",
    "scheduler": "scheduler",
    "proxy": "proxy",
    "api": "api",
    "ui": "ui",
}
_GENERIC = re.compile(
    r"\b(?:services?|servers?|applications?|app|layer|cluster|primary|replicas?|standby|instances?|nodes?|pods?|containers?|"
    r"stack|system|engine|tier|the)\b",
    re.I,
)
KUBE = frozenset({"kubectl", "oc", "k"})
UNITS = frozenset({"systemctl", "supervisorctl", "service", "pm2", "rc-service"})


def inventory(sources: list[Source], notes: Notes) -> Inventory:
    """The components, and where they run."""
    found = Inventory()
    _runtime(found, sources)
    clients = _clients(sources)
    unreal = {f.message.partition(" is a placeholder")[0] for s in sources for f in s.findings if f.rule == "OB504"}
    for source, command in every_command(sources):
        for name in _acted_on(command):
            if name not in unreal:
                _workload(found, name, source.place(command.line), clients)
    for source in sources:
        for component in source.manual.system.components:
            if component.workload and component.workload not in unreal:
                _workload(found, component.workload, source.place(component.line), clients)
    for source in sources:
        for component in source.manual.system.components:
            _described(found, component, source, sources)
    _containers(found)
    _talked_to(found, sources, clients)
    _celery(found, sources)
    hosts(found, sources)
    outside(found, sources)
    _machine(found, sources)
    for part in found.parts.values():
        address(part)
    if not found.parts:
        found.parts["host"] = Part(
            "host", "host", {"description": "the machine; the manual names no component"}, "other"
        )
        notes.ask(sources[0].place(1), "no component was understood: name the parts of the system in `components`")
    return found


def _runtime(found: Inventory, sources: list[Source]) -> None:
    count: Counter[str] = Counter()
    spaces: Counter[str] = Counter()
    for _, command in every_command(sources):
        if command.program in KUBE:
            count["kubernetes"] += 1
            call = invocation(command)
            named = call.value("-n", "--namespace") if call else None
            if named and re.fullmatch(r"[a-z0-9][a-z0-9-]*", named):
                spaces[named] += 1
        elif command.program == "docker-compose" or command.words[:2] == ("docker", "compose"):
            count["compose"] += 1
        elif command.program in ("docker", "podman"):
            count["compose"] += 0.5  # type: ignore[assignment]
        elif command.program == "supervisorctl":
            count["supervisor"] += 1
    if count:
        found.runtime = max(sorted(count), key=lambda kind: count[kind])
    if found.runtime == "kubernetes":
        told = [each.name for source in sources for each in source.manual.system.namespaces]
        found.namespace = spaces.most_common(1)[0][0] if spaces else next(iter(told), "default")
        found.namespaces = tuple(dict.fromkeys(spaces))


def _clients(sources: list[Source]) -> dict[str, str]:
    """Workload → kind, by the clients that are called inside it."""
    found: dict[str, str] = {}
    for _, command in every_command(sources):
        target = _target(command)
        for inner in command.nested:
            for each in inner.walk():
                kind = CLIENTS.get(each.program, "celery")
                serves = kind_of(target) not in ("api", "ui", "worker", "scheduler", "proxy") or bool(product(target))
                if target and kind != "celery" and serves and _at_home(each):
                    found.setdefault(bare(target), kind)
    return found


_ELSEWHERE = re.compile(r"(?:^|\s)(?:-h|--host|-u)[= ]?(?!localhost|127\.)\S|\w+://|\$\{?\w*(?:URL|DSN)\b|\bhost=")


def _at_home(client: Command) -> bool:
    """Whether a client talks to a server in its own container: it names no other host."""
    return not _ELSEWHERE.search(" ".join(client.words[1:]))


def _target(command: Command) -> str:
    call = invocation(command) if command.program in KUBE | {"docker", "docker-compose", "podman"} else None
    carries = {"exec", "container exec"} | ({"run"} if call is not None and call.tool == "docker compose" else set())
    if call is None or call.verb not in carries or not call.args:
        return ""
    name = spoken(call.args[0])
    return name if is_static(name) and "`" not in name else ""


def _acted_on(command: Command) -> Iterator[str]:
    """The workloads that a command names."""
    words = command.words
    if command.program in UNITS and len(words) > 2:
        names = list(words[1:2] if command.program == "service" else words[2:])
        yield from (
            n
            for n in names
            if re.fullmatch(r"[a-z][\w@.-]*", n) and n not in ("all", "docker", "kubelet", "ssh", "sshd", "cron")
        )
        return
    call = invocation(command) if command.program in KUBE | {"docker", "docker-compose", "podman"} else None
    if call is None:
        return
    if target := _target(command):
        yield target
        return
    names = [spoken(word) for word in call.args]
    if command.program in KUBE:
        if call.has("-n", "--namespace") and (call.value("-n", "--namespace") or "").endswith("system"):
            return
        for at, name in enumerate(names):
            match = _NAMED.match(name)
            if match and match["kind"].partition(".")[0] in (
                "deployment",
                "deploy",
                "statefulset",
                "sts",
                "deployments",
                "daemonset",
                "ds",
            ):
                yield match["name"]
            elif name in ("deployment", "deploy", "statefulset", "sts", "deployments") and call.verb != "set image":
                yield from names[at + 1 : at + 2]
        if call.verb in ("logs", "top pod", "top", "get", "delete", "top pods"):
            for label in call.values("-l", "--selector"):
                yield from _LABEL.findall(label)
        return
    if call.verb in ("restart", "stop", "start", "logs", "up", "scale", "ps", "stats", "inspect"):
        yield from (name.partition("=")[0] for name in (*names, *call.values("--scale")))


def _workload(found: Inventory, name: str, place: str, clients: dict[str, str]) -> None:
    if not is_static(name) or not re.fullmatch(r"[A-Za-z][\w.@/-]*", name):
        return
    name = bare(name)
    if not name or name == "all":
        return
    if known := found.workload(name):
        if place not in known.sources:
            known.sources.append(place)
        return
    role = kind_of(name)
    if role == "other" and WEB_NAMES.search(name):
        role = "ui" if re.search(r"web|site|front", name) else "api"
    kind = clients.get(name) or product(name) or KINDS.get(role, "workload")
    role = {"postgres": "database", "redis": "cache"}.get(kind, role)
    wanted = {"postgres": "database", "redis": "cache"}.get(kind, slug(name, "workload"))
    if wanted in found.parts:
        wanted = slug(name, "workload")
    part = Part(unique(wanted, found.parts), kind, {"workload": name}, role, [place])
    if re.search(r"cache|queue|broker", name):
        part.role = "queue" if re.search(r"queue|broker", name) and kind == "redis" else part.role
    found.parts[part.name] = part


def _described(found: Inventory, component: Component, source: Source, _sources: list[Source]) -> None:
    """What a list, table or diagram names: one of the parts already known, or a new one."""
    if component.workload:
        return
    place = source.place(component.line)
    role = component.kind
    made_by = product(component.name) or (
        product(component.detail) if role in ("database", "cache", "queue", "monitoring") else ""
    )
    name = slug(_GENERIC.sub(" ", component.name.partition("(")[0])) or NAMES.get(role, "")
    known = _known(found, name, role, made_by)
    if known is not None:
        known.sources.append(place)
        known.keys.setdefault("description", component.detail or component.name)
        if component.replicas and not re.search(r"node", component.detail or "", re.I):
            known.keys.setdefault("replicas", component.replicas)
        _port(known, component)
        return
    kind = made_by or (
        "" if role in ("database", "cache", "queue", "bucket", "other", "monitoring") else KINDS.get(role, "")
    )
    if not kind or kind == "workload":
        if role in ("worker", "scheduler"):
            kind = "workload"
        else:
            return
    wanted = {"postgres": "database", "redis": "cache", "prometheus": "prometheus", "alertmanager": "alertmanager"}.get(
        kind, NAMES.get(role, name) if _GENERIC.sub("", component.name).strip() == "" or role == "proxy" else name
    )
    if len(found.parts) >= 40 or not wanted:
        return
    part = Part(unique(wanted, found.parts), kind, {"description": component.detail or component.name}, role, [place])
    if component.replicas and role in ("api", "ui", "worker"):
        part.keys["replicas"] = component.replicas
    part.aliases.add(name)
    _port(part, component)
    found.parts[part.name] = part


def _containers(found: Inventory) -> None:
    """`shop-api-1` is a container of the service `api` in the project `shop`, not a service of its own."""
    if found.runtime != "compose":
        return
    services = {part.workload: part for part in found.with_workload()}
    for part in list(found.parts.values()):
        for name, other in services.items():
            if other is not part and part.workload.endswith((f"-{name}", f"_{name}")) and other.kind == part.kind:
                other.aliases.add(part.workload)
                found.parts.pop(part.name, None)
                break


def _known(found: Inventory, name: str, role: str, made_by: str) -> Part | None:
    for part in found.parts.values():
        if name in (part.name, bare(part.workload)) or name in part.aliases:
            return part
    if made_by in ("postgres", "redis", "prometheus", "alertmanager", "pgbouncer"):
        return found.one(made_by)
    same = [part for part in found.parts.values() if part.role == role]
    if role in ("database", "cache", "worker", "scheduler", "proxy") and same:
        return same[0]
    if role in ("api", "ui"):
        words = set(name.split("-"))
        return next((part for part in same if words & set(part.name.split("-"))), None)
    return None


def _port(part: Part, component: Component) -> None:
    if component.port:
        part.hosts |= {f"{host}:{component.port}" for host in ("localhost", "127.0.0.1")}


def _talked_to(found: Inventory, sources: list[Source], _clients: dict[str, str]) -> None:
    """Servers that only their clients or addresses tell of."""
    used = {
        CLIENTS[c.program]: source.place(c.line)
        for source, c in reversed(list(every_command(sources)))
        if c.program in CLIENTS
    }
    for source in sources:
        if match := re.search(r"postgres(?:ql)?://|\bpg_stat_\w+|\bVACUUM\b", source.text):
            used.setdefault("postgres", source.place(source.text.count("\n", 0, match.start()) + 1))
        if match := re.search(r"rediss?://", source.text):
            used.setdefault("redis", source.place(source.text.count("\n", 0, match.start()) + 1))
    for kind, name in (("postgres", "database"), ("redis", "cache")):
        if kind in used and found.one(kind) is None:
            described = next(
                (p for p in found.parts.values() if p.role == name and p.kind in ("workload", "tcp")), None
            )
            if described is not None and described.kind == "workload":
                described.kind = kind
            else:
                found.parts[unique(name, found.parts)] = Part(unique(name, found.parts), kind, {}, name, [used[kind]])


def _celery(found: Inventory, sources: list[Source]) -> None:
    """Workers are Celery's where the manual says so; they need the queue that they read."""
    said = next(
        (
            source.place(source.text.lower().count("\n", 0, at) + 1)
            for source in sources
            if (at := source.text.lower().find("celery")) >= 0
        ),
        "",
    )
    if not said or (found.one("redis") is None and not any("redis" in source.text.lower() for source in sources)):
        return
    if any(part.role == "queue" and part.kind == "tcp" for part in found.parts.values()):
        return
    workers = [
        p
        for p in found.parts.values()
        if p.role == "worker"
        and p.kind in ("workload", "celery")
        and (re.search(r"celery|worker", p.name + p.workload))
    ]
    used = any(command.program == "celery" for _, command in every_command(sources))
    if not workers and not used:
        return
    if not workers:
        worker = Part(unique("worker", found.parts), "workload", {}, "worker", [said])
        found.parts[worker.name] = worker
        workers = [worker]
    broker = next((p for p in found.of_kind("redis") if p.role == "queue"), None)
    if broker is None:
        broker = Part(
            unique("broker", found.parts), "redis", {"description": "the queue of the workers"}, "queue", [said]
        )
        found.parts[broker.name] = broker
    for worker in workers:
        worker.kind = "celery"
        worker.keys["broker"] = broker.name


def _machine(found: Inventory, sources: list[Source]) -> None:
    """The machine is a component where no cluster hides it and the manual looks at it."""
    from opsbook.manual.lift.tools.host import LOOKS

    used = any(c.program in LOOKS and not c.remote for _, c in every_command(sources))
    watched = any(re.search(r"disk|cpu|memory", m.metric, re.I) for s in sources for m in s.manual.metrics)
    if found.runtime != "kubernetes" and (used or watched):
        found.parts.setdefault("host", Part("host", "host", {"description": "the machine"}, "other"))
