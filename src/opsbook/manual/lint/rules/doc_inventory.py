"""Names of commands against the inventory of the manual: what is called otherwise, or is not there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import block, sh
from opsbook.manual.lint.facts.databases import CLIENTS, database_of, is_connection
from opsbook.manual.lint.facts.inventory import inventory
from opsbook.manual.lint.facts.names import WORKLOADS, is_name
from opsbook.manual.lint.facts.steps import Step
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, Place, rule

_SPARE = re.compile(
    r"test|stag|dev|drill|restore|recover|new|temp|tmp|old|copy|clone|backup|replica|standby|green|blue|canary|debug"
    r"|template|example|verify|scratch|legacy|shadow|read|^(?:postgres|mysql|admin)$",
    re.I,
)
_ENDINGS = ("api", "server", "service", "app", "web", "backend", "worker")
_IDENTIFIERS = ("--db-instance-identifier", "--cache-cluster-id", "--auto-scaling-group-name", "--service", "--cluster")
_TABLE = (
    "| Workload | Kind |\n|---|---|\n| shop-api | Deployment |\n| shop-worker | Deployment |\n"
    "| redis | StatefulSet |\n\n"
)


@dataclass(frozen=True)
class _Use:
    kind: str
    name: str
    place: Place


def _uses(context: Context) -> Iterator[_Use]:
    """Every name that a command is given: workloads, units, services and containers, managed instances."""
    for mention in context.names.mentions:
        if mention.target.kind in WORKLOADS and is_name(mention.target.name):
            yield _Use("workload", mention.target.name, mention.place)
    for step in context.steps:
        yield from _of_step(step)


def _of_step(step: Step) -> Iterator[_Use]:
    call = step.call
    if call is None:
        return
    if call.tool == "systemctl" and call.verb in ("start", "stop", "restart", "reload", "status", "is-active"):
        for word in call.args:
            name = word.text.removesuffix(".service")
            if re.fullmatch(r"[\w.@-]+", name):
                yield _Use("unit", name, step.at(word))
    elif call.tool == "docker compose" and call.verb in ("restart", "stop", "start", "logs", "exec", "up", "pull"):
        for word in call.args[: 1 if call.verb == "exec" else None]:
            if re.fullmatch(r"[\w.-]+", word.text):
                yield _Use("service", word.text, step.at(word))
    elif call.tool == "aws":
        words = step.command.argv
        for option, word in pairwise(words):
            if option.text in _IDENTIFIERS and re.fullmatch(r"[\w.-]+", word.text):
                yield _Use("instance", word.text, step.at(word))


@rule(
    "OB561",
    "name-of-nothing",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="A command names a workload, unit or instance almost as the manual calls it elsewhere",
    reason="Names are matched letter by letter: the command answers NotFound, or acts on another thing of that name.",
    source="https://kubernetes.io/docs/concepts/overview/working-with-objects/names/",
    bad=_TABLE + sh("kubectl rollout restart deployment/shop-workers -n shop"),
    good=_TABLE + sh("kubectl rollout restart deployment/shop-worker -n shop"),
)
def name_of_nothing(context: Context) -> Iterator[Fault]:
    """Names that stand in one command alone, beside one that a table, manifest or several commands give."""
    uses = list(_uses(context))
    listed = {entry.name for entry in inventory(context.document)} | {m.name for m in context.manifests if m.name}
    for use in uses:
        if use.name in listed or _spoken(context, use.name) > 1 or _SPARE.search(use.name):
            continue
        known = {other.name for other in uses if other.kind == use.kind and other.name != use.name}
        known = {n for n in known | listed if n in listed or _spoken(context, n) > 1}
        near = sorted(n for n in known if _near(use.name, n))
        if near:
            yield Fault(use.place, f"{use.kind} {use.name} stands nowhere else; {near[0]} does", Fix(near[0]))


def _spoken(context: Context, name: str) -> int:
    return len(re.findall(rf"(?<![\w-]){re.escape(name.lower())}(?![\w-])", context.text))


def _near(name: str, known: str) -> bool:
    """Plural, prod for production, separators, one letter, or the ending that is missing."""
    one, other = (re.sub(r"[-_.]", "", n).replace("production", "prod") for n in (name, known))
    if not one or not other:
        return False
    if one == other or one in (other + "s", other + "ed", other + "d") or other == one + "s":
        return True
    if any(known == f"{name}-{ending}" for ending in _ENDINGS[:5]):
        return True
    return len(name) >= 7 and re.sub(r"\d", "", one) == one and one[0] == other[0] and _one_letter(one, other)


def _one_letter(one: str, other: str) -> bool:
    """Whether one letter more, less or other makes the one the other."""
    if abs(len(one) - len(other)) > 1 or re.search(r"\d", other):
        return False
    at = next(
        (i for i, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), min(len(one), len(other))
    )
    return one[at + 1 :] == other[at + 1 :] or one[at:] == other[at + 1 :] or one[at + 1 :] == other[at:]


@rule(
    "OB562",
    "workload-not-in-inventory",
    FaultClass.DANGLING,
    Severity.WARNING,
    summary="A workload that the manual's own inventory does not have",
    reason="The table lists what there is. A command on something else answers NotFound, or the table is out of date.",
    source="the manual itself",
    bad=_TABLE
    + sh("kubectl rollout restart deployment/shop-api -n shop\nkubectl rollout restart deployment/shop-mailer -n shop"),
    good=_TABLE
    + sh("kubectl rollout restart deployment/shop-api -n shop\nkubectl rollout restart deployment/shop-worker -n shop"),
)
def workload_not_in_inventory(context: Context) -> Iterator[Fault]:
    """A workload of the namespace whose name stands once, where two others stand in a table of components."""
    listed = {entry.name for entry in inventory(context.document)}
    used = {m.target.name for m in context.names.mentions if m.target.kind in WORKLOADS and is_name(m.target.name)}
    shown = {m.name for m in context.manifests}
    if len(listed & used) >= 1 and len(listed) >= 3:
        main = context.names.namespaces().most_common(1)
        for mention in context.names.mentions:
            name = mention.target.name
            if mention.target.kind not in WORKLOADS or name not in used - listed - shown or _SPARE.search(name):
                continue
            family = any(name.split("-")[0] == other.split("-")[0] for other in listed & used)
            near = any(_near(name, other) for other in listed | shown)
            own = not mention.namespace or not main or mention.namespace == main[0][0]
            if family and own and not near and _spoken(context, name) == 1:
                yield Fault(mention.place, f"the inventory has no {mention.target.kind} {name}")
    yield from _numbered(context)


def _numbered(context: Context) -> Iterator[Fault]:
    """shop-db3 where a table has shop-db1 and shop-db2."""
    entries = list(inventory(context.document))
    families: dict[str, set[str]] = {}
    for entry in entries:
        if found := re.fullmatch(r"(.*[a-z-])(\d{1,2})", entry.name):
            families.setdefault(found[1], set()).add(found[2])
    rows = {entry.line for entry in entries}
    for base, numbers in families.items():
        if len(numbers) < 2:
            continue
        for line, text in enumerate(context.document.lines, 1):
            for found in re.finditer(rf"(?<![\w.-]){re.escape(base)}(\d{{1,2}})(?![\w-])", text):
                if found[1] not in numbers and line not in rows and _spoken(context, found[0]) == 1:
                    yield Fault(context.place(line, found[0]), f"there is no {found[0]} in the table of hosts")


_OTHERS = re.compile(
    r"^(?:kube-\w+|default|monitoring|observability|logging|ingress[\w-]*|cert-manager|istio-system|argocd|vault|velero"
    r"|flux-system|prometheus|grafana|external-secrets|keda|linkerd|metallb-system|longhorn-system)$"
)


@rule(
    "OB563",
    "namespace-of-another",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="One command looks for a workload in another namespace than all the others",
    reason="The workload lives in one namespace; in another the command answers NotFound.",
    source="https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/",
    bad=sh(
        "kubectl get deployment shop-api -n shop\nkubectl logs deployment/shop-api -n shop\n"
        "kubectl rollout status deployment/shop-api -n shop\nkubectl scale deployment shop-api --replicas=2 -n payments"
    ),
    good=sh(
        "kubectl get deployment shop-api -n shop\nkubectl logs deployment/shop-api -n shop\n"
        "kubectl rollout status deployment/shop-api -n shop\nkubectl scale deployment shop-api --replicas=2 -n shop"
    ),
)
def namespace_of_another(context: Context) -> Iterator[Fault]:
    """A namespace used once, of no test or system, beside one that three commands give."""
    spaces = context.names.namespaces()
    if not spaces:
        return
    main, times = spaces.most_common(1)[0]
    declared = {m.namespace for m in context.manifests} | {m.name for m in context.manifests if m.kind == "Namespace"}
    for mention in context.names.mentions:
        space = mention.namespace
        if times < 3 or not space or not is_name(space) or space == main or spaces[space] != 1 or space in declared:
            continue
        if _OTHERS.match(space) or _SPARE.search(space) or mention.target.kind not in WORKLOADS:
            continue
        if _spoken(context, space) == 1:
            yield Fault(mention.place, f"namespace {space} here, {main} everywhere else", Fix(f"-n {main}"))


@rule(
    "OB564",
    "database-of-another-name",
    FaultClass.CONTRADICTION,
    Severity.WARNING,
    summary="One command connects to a database that the manual calls otherwise",
    reason="The server answers “database does not exist”, or the statement runs in another database than was meant.",
    source="https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-DBNAME",
    bad=sh(
        "pg_dump -U shop -d shopfloor -Fc -f a.dump\npsql -U shop -d shopfloor -c 'SELECT 1'\npsql -U shop -d"
        " shop -c 'VACUUM'"
    ),
    good=sh(
        "pg_dump -U shop -d shopfloor -Fc -f a.dump\npsql -U shop -d shopfloor -c 'SELECT 1'\n"
        "psql -U shop -d shopfloor -c 'VACUUM'"
    ),
)
def database_of_another_name(context: Context) -> Iterator[Fault]:
    """A database named once, the beginning of the usual one or the name of a user or namespace."""
    named: dict[str, list[Place]] = {}
    for step in context.steps:
        if step.program in CLIENTS and step.call is not None:
            name = database_of(step.call, step.program)
            if name and not is_connection(name) and name not in ("postgres", "template1"):
                named.setdefault(name, []).append(step.place)
    said = re.findall(r"\bdatabase(?: name)?\W{1,6}`([a-z]\w+)`", "\n".join(context.document.lines), re.I)
    usual = {name for name, places in named.items() if len(places) >= 2} | set(said)
    for name, places in named.items():
        if len(places) != 1 or name in usual or _SPARE.search(name) or len(usual) != 1:
            continue
        main = next(iter(usual))
        if main.startswith(name) or name.startswith(main) or name in context.names.namespaces():
            yield Fault(places[0], f"database {name} here, {main} elsewhere", Fix(main))


_COMPOSE = (
    block(
        "yaml",
        "services:\n  api:\n    image: shop/api:1.2\n    container_name: shop-api\n"
        "  worker:\n    image: shop/worker:1.2",
    )
    + "\n\n"
)


@rule(
    "OB567",
    "container-not-named-so",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="A container of a compose file called by a name that compose does not give it",
    reason="Without container_name compose calls a container PROJECT-SERVICE-1; docker answers “No such container”.",
    source="https://docs.docker.com/compose/how-tos/project-name/",
    bad=_COMPOSE + sh("docker logs shop-worker --tail 100"),
    good=_COMPOSE + sh("docker compose logs worker --tail 100"),
)
def container_not_named_so(context: Context) -> Iterator[Fault]:
    """docker exec, logs and the like of NAME-SERVICE, where the compose file shows SERVICE without container_name."""
    named: dict[str, str] = {}
    for manifest in context.manifests:
        services = manifest.get("services")
        for name, service in services.items() if isinstance(services, dict) else ():
            if isinstance(service, dict) and ("image" in service or "build" in service):
                named[str(name)] = str(service.get("container_name") or "")
    for step in context.steps:
        call = step.call
        if call is None or call.tool != "docker" or call.verb not in ("exec", "logs", "restart", "stop", "inspect"):
            continue
        for word in call.args[:1]:
            name = word.text
            if name in named.values() or not re.fullmatch(r"[\w.-]+", name):
                continue
            service = next(
                (s for s in named if not named[s] and (name == s or re.fullmatch(rf"[\w.]+[-_]{re.escape(s)}", name))),
                "",
            )
            if service and (any(named.values()) or name == service):
                yield Fault(
                    step.at(word),
                    f"{service} has no container_name: none is called {name}",
                    Fix(f"docker compose {call.verb} {service}"),
                )
