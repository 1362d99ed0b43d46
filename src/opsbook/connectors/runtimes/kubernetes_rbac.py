"""Roles: the least that a book needs, as manifests; what a credential has beyond it, and what it lacks. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from opsbook.book.system import System
from opsbook.connectors.http import ProxyComponent
from opsbook.connectors.postgres import PostgresComponent
from opsbook.connectors.runtimes.kubernetes_api import Object
from opsbook.connectors.runtimes.kubernetes_rbac_recovery import ARCHIVING, RECOVERING, recovery_rights
from opsbook.connectors.runtimes.kubernetes_rbac_secrets import proven_of, secrets_of

LOOK = ("get", "list")
ROLLING = ("deployments", "statefulsets", "daemonsets")
SCALING = ("deployments", "statefulsets", "replicasets")
OWN_RIGHTS = frozenset({"authorization.k8s.io", "authentication.k8s.io"})
"""Questions about oneself, which everybody may ask."""


@dataclass(frozen=True, order=True)
class Right:
    """One verb on one kind of resource; on named ones only where `names` are said."""

    group: str
    resource: str
    verb: str
    cluster: bool = False
    """Of the whole cluster, and not of the namespace."""
    names: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """As people say it."""
        return f"{self.verb} {self.resource}{'.' + self.group if self.group else ''}"


READING: dict[str, tuple[str, ...]] = {
    "": ("pods", "pods/log", "events", "services", "endpoints", "configmaps"),
    "apps": ("deployments", "statefulsets", "daemonsets", "replicasets", "controllerrevisions"),
    "batch": ("jobs", "cronjobs"),
    "autoscaling": ("horizontalpodautoscalers",),
    "policy": ("poddisruptionbudgets",),
    "metrics.k8s.io": ("pods",),
}
CLUSTER_READING: dict[str, tuple[str, ...]] = {
    "": ("persistentvolumeclaims",),
    "networking.k8s.io": ("networkpolicies", "ingresses"),
    "cert-manager.io": ("certificates",),
}
"""What is read besides, where the book has a component of the kind `cluster`."""
CARRIED = ("pods/exec", "pods/portforward")
"""A WebSocket begins with a GET, which servers before 1.35 authorize as `get`; later ones as `create`."""

STOPPING = (
    *(("apps", one) for one in SCALING),
    *(("apps", f"{one}/scale") for one in SCALING),
    ("batch", "cronjobs"),
)
"""Stopping notes how many ran; starting, which is its undo, sets the number alone."""
CHANGES: dict[str, tuple[tuple[str, str], ...]] = {
    "workload.start": STOPPING,
    "workload.stop": STOPPING,
    "workload.scale": tuple(("apps", f"{one}/scale") for one in SCALING),
    "postgres.scale_standbys": tuple(("apps", f"{one}/scale") for one in SCALING),
    "workload.restart": tuple(("apps", one) for one in ROLLING),
    "workload.renew": (*STOPPING, *(("apps", one) for one in ROLLING)),
    "workload.deploy": (*(("apps", one) for one in ROLLING), ("batch", "cronjobs")),
    "workload.rollback": tuple(("apps", one) for one in ROLLING),
    "workload.limits": tuple(("apps", one) for one in ROLLING),
    "autoscaler.set": (("autoscaling", "horizontalpodautoscalers"),),
    "side.bring_up": (*(("apps", one) for one in ROLLING), *STOPPING),
    "side.retire": STOPPING,
    "traffic.switch": (("", "services"), ("autoscaling", "horizontalpodautoscalers")),
    "postgres.fence": STOPPING,
    "postgres.rebuild_standby": STOPPING,
    "postgres.repoint": (("", "services"),),
    "drill.failover": (*STOPPING, ("", "services")),
    "config_map.set": (("", "configmaps"),),
    "config.deploy": tuple(("apps", one) for one in ROLLING),
}
"""Operation → what it patches. Workloads are only patched by the names that the book has."""
MIGRATING = frozenset({"migrations.upgrade", "migrations.back_to", "migrations.outlook"})
"""They run in a job, where the book says `inside`."""
BESIDE = frozenset({"postgres.fence", "postgres.promote", "postgres.rebuild_standby", "drill.failover"})
"""They reach the data folder of a server in a job beside it."""
NODES = frozenset({"node.drain", "node.cordon", "node.uncordon"})
MADE = {"autoscaler.create": ("create", "delete"), "autoscaler.delete": ("delete", "create")}
"""Operation → what it does to autoscalers, and what its undo does."""
ISOLATING = frozenset({"workload.isolate", "workload.reconnect"})
"""They make a network policy, take it away, and have others leave its pods out. Whether it cuts anything is asked from
within only where something else gives the right to."""
EXECUTING = frozenset({"workload.exec", "workload.profile", "workload.copy", "workload.fetch"})
"""What runs a program in a pod; so do checks that look from inside."""
LOOKING_INSIDE = ("inside.", "workload.vulnerable_python")
KNOWN = (
    *CHANGES,
    *MADE,
    *sorted(EXECUTING),
    "config.prune",
    "cron_job.trigger",
    *sorted(NODES),
    *sorted(MIGRATING),
    *sorted(ARCHIVING | RECOVERING),
    "postgres.promote",
    *("maintenance.enter", "maintenance.leave"),
    *sorted(ISOLATING),
)


MAINTAINING = frozenset({"maintenance.enter", "maintenance.leave"})
"""They set a key of the config map that a proxy's pods mount, have their kubelets look, and run its reload there."""


ROLLING_BACK = frozenset({"workload.deploy", "workload.rollback", "workload.limits", "config.deploy"})
"""Their way back deletes a pod of a StatefulSet that holds it up: what is called `db-0` no role can name beforehand."""


def needed(system: System, operations: Collection[str]) -> list[Right]:
    """What opsbook needs for this book: to read what its components are, and to do these operations."""
    return sorted(set(_needed(system, operations)))


def _needed(system: System, operations: Collection[str]) -> Iterator[Right]:
    components = system.components
    sides = {side for one in system.model.deploys.components.values() for side in (one.blue, one.green) if side}
    names = tuple(sorted(sides | {one.workload or name for name, one in components.items()
                                  if one.workload or one.kind == "workload"}))  # fmt: skip
    names = tuple(sorted({*names, *_servers(system)}))
    plain = tuple(sorted({name.rpartition("/")[2] for name in names}))
    yield from _reading(READING)
    if any(one.kind == "cluster" for one in components.values()):
        yield from _reading(CLUSTER_READING)
        yield Right("", "nodes", "get", cluster=True)
        yield Right("", "nodes", "list", cluster=True)
    for operation in operations:
        for group, resource in CHANGES.get(operation, ()):
            workload = group in ("apps", "batch")
            yield Right(group, resource, "patch", names=plain if workload else ())
        yield from (Right("autoscaling", "horizontalpodautoscalers", verb) for verb in MADE.get(operation, ()))
    if ROLLING_BACK & set(operations) and any(_may_be_stateful(name) for name in names):
        yield Right("", "pods", "delete")
    held, own = secrets_of(system) if operations else (frozenset(), frozenset())
    proven = proven_of(system) if operations else frozenset()
    for verb, which in (("get", held | own | proven), ("patch", held | own), ("delete", own)):
        if which:
            yield Right("", "secrets", verb, names=tuple(sorted(which)))
    if own:
        yield Right("", "secrets", "create")  # what is made has no name yet that a role could hold
    if operations and any(one.method == "runtime" for one in system.model.certificates):
        yield from (Right("cert-manager.io", "certificates", verb) for verb in LOOK)
        yield Right("cert-manager.io", "certificates/status", "patch")
    if EXECUTING & set(operations) or any(one.observe.startswith(LOOKING_INSIDE) for one in system.model.checks):
        yield from (Right("", "pods/exec", verb) for verb in ("get", "create"))
    if any(one.through == "runtime" for one in components.values()):
        yield from (Right("", "pods/portforward", verb) for verb in ("get", "create"))
    if ISOLATING & set(operations):
        verbs = (*LOOK, "create", "patch", "delete")
        yield from (Right("networking.k8s.io", "networkpolicies", verb) for verb in verbs)
    closed = {one.maintenance.config_map for one in components.values()
              if isinstance(one, ProxyComponent) and one.maintenance is not None} - {""}  # fmt: skip
    if closed and MAINTAINING & set(operations):
        yield Right("", "configmaps", "patch", names=tuple(sorted(closed)))
        yield Right("", "pods", "patch")
        yield from (Right("", "pods/exec", verb) for verb in ("get", "create"))
    if BESIDE & set(operations) and _data_inside(system):
        yield from (Right("batch", "jobs", verb) for verb in ("create", "delete"))
        yield from (Right("", "pods/exec", verb) for verb in ("get", "create"))
    yield from (Right(*one) for one in recovery_rights(system, operations))
    if "cron_job.trigger" in operations:
        yield Right("batch", "jobs", "create")
    if "config.deploy" in operations:
        yield Right("", "configmaps", "create")
    if "config.prune" in operations:
        yield Right("", "configmaps", "delete")
    migrations = system.model.deploys.migrations
    if MIGRATING & set(operations) and migrations is not None and migrations.inside:
        yield from (Right("batch", "jobs", verb) for verb in ("create", "delete"))
    if NODES & set(operations):
        yield from (Right("", "nodes", verb, cluster=True) for verb in ("get", "patch"))
    if "node.drain" in operations:
        yield Right("", "pods", "list", cluster=True)
        yield Right("policy", "poddisruptionbudgets", "list", cluster=True)
        yield Right("", "pods/eviction", "create", cluster=True)


def _may_be_stateful(workload: str) -> bool:
    """A name without a kind may be that of any."""
    kind, slash, _ = workload.rpartition("/")
    return not slash or kind.lower() == "statefulset"


def _servers(system: System) -> list[str]:
    """Workloads of servers that take each other's place."""
    both = [one.failover.servers for one in system.components.values()
            if isinstance(one, PostgresComponent) and one.failover is not None]  # fmt: skip
    return [server.workload for servers in both for server in servers]


def _data_inside(system: System) -> bool:
    return any(
        server.inside
        for one in system.components.values() if isinstance(one, PostgresComponent) and one.failover is not None
        for server in one.failover.servers
    )  # fmt: skip


def _reading(table: dict[str, tuple[str, ...]]) -> Iterator[Right]:
    for group, resources in table.items():
        for resource in resources:
            for verb in ("get",) if resource == "pods/log" else LOOK:
                yield Right(group, resource, verb)


def manifests(rights: Iterable[Right], namespace: str, name: str = "opsbook") -> list[Object]:
    """A service account, the least role, the least cluster role where one is needed, and their bindings."""
    every = list(rights)
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    found: list[Object] = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}
    ]
    for cluster, kind in ((False, "Role"), (True, "ClusterRole")):
        rules = _rules([one for one in every if one.cluster is cluster])
        if not rules:
            continue
        own = f"{name}-{namespace}" if cluster else name
        metadata: dict[str, Any] = {"name": own} if cluster else {"name": own, "namespace": namespace}
        group = "rbac.authorization.k8s.io"
        found.append({"apiVersion": f"{group}/v1", "kind": kind, "metadata": metadata, "rules": rules})
        found.append({"apiVersion": f"{group}/v1", "kind": f"{kind}Binding", "metadata": metadata,
                      "roleRef": {"apiGroup": group, "kind": kind, "name": own}, "subjects": [subject]})  # fmt: skip
    return found


def _rules(rights: list[Right]) -> list[Object]:
    """Rights of the same group, verbs and names as one rule."""
    verbs: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for one in rights:
        verbs.setdefault((one.group, one.resource, one.names), []).append(one.verb)
    rules: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for (group, resource, names), said in verbs.items():
        rules.setdefault((group, tuple(sorted(said)), names), []).append(resource)
    return [
        {"apiGroups": [group], "resources": sorted(resources), **({"resourceNames": list(names)} if names else {}),
         "verbs": list(said)}
        for (group, said, names), resources in sorted(rules.items(), key=lambda item: item[0])
    ]  # fmt: skip


@dataclass(frozen=True)
class Review:
    """A credential held against what a book needs in the namespace."""

    beyond: tuple[str, ...]
    lacking: tuple[str, ...]


def review(granted: Iterable[Object], rights: Iterable[Right]) -> Review:
    """Compares the rules of a SelfSubjectRulesReview (`resourceRules`) with what is needed."""
    every = list(rights)
    wanted = [one for one in every if not one.cluster]
    rules = [rule for rule in granted if not set(rule.get("apiGroups") or [""]) <= OWN_RIGHTS]
    lacking = [one.words for one in wanted if not any(_grants(rule, one) for rule in rules)]
    known = {(one.group, one.resource, one.verb) for one in every}
    beyond = {words for rule in rules for words in _beyond(rule, known)}
    return Review(tuple(sorted(beyond)), tuple(sorted(lacking)))


def _grants(rule: Object, one: Right) -> bool:
    def holds(key: str, value: str) -> bool:
        return "*" in (rule.get(key) or []) or value in (rule.get(key) or [])

    below = one.resource.partition("/")[2]
    resource = holds("resources", one.resource) or (bool(below) and f"*/{below}" in (rule.get("resources") or []))
    named = rule.get("resourceNames") or []
    return holds("apiGroups", one.group) and resource and holds("verbs", one.verb) and (
        not named or (bool(one.names) and set(one.names) <= set(named))
    )  # fmt: skip


def _beyond(rule: Object, known: set[tuple[str, str, str]]) -> Iterator[str]:
    for group in rule.get("apiGroups") or [""]:
        for resource in rule.get("resources") or []:
            for verb in rule.get("verbs") or []:
                if (group, resource, verb) not in known:
                    what = (
                        "everything" if resource == "*" else resource + (f".{group}" if group not in ("", "*") else "")
                    )
                    yield f"{'do anything with' if verb == '*' else verb} {what}"
