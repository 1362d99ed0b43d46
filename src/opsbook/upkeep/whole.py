"""Procedures over the whole system of a book: everything restarted, brought up to date, a node taken out for work."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from opsbook.book.environments import KubernetesRuntime, NoRuntime
from opsbook.book.semantics import dependencies
from opsbook.book.system import System
from opsbook.connectors.postgres import PostgresComponent
from opsbook.connectors.workload import workload_of
from opsbook.errors import Absent
from opsbook.observations.registry import observations
from opsbook.upkeep.templates import Steps, filled

VERSION = (
    '{type: text, default: "", pattern: "|[A-Za-z0-9][A-Za-z0-9._+-]*",'
    ' doc: "version of @component@; it stays where left out"}'
)

WHOLE = frozenset({"restart-all", "update-system", "maintain-node"})
"""What changes everything: a role gets what these need only where somebody asks for it."""


def families(system: System) -> Iterator[tuple[str, str]]:
    """Name and Markdown of each that the environment's runtime can do."""
    order = in_order(system)
    if order and not isinstance(system.environment.runtime, NoRuntime):
        yield "restart-all", filled("restart-all", steps=str(_restarts(system, order)))
        versions, steps = _updates(system, order)
        yield "update-system", filled("update-system", params=versions, steps=str(steps))
    cluster = next((name for name, one in system.components.items() if one.kind == "cluster"), "")
    if cluster and isinstance(system.environment.runtime, KubernetesRuntime):
        yield "maintain-node", filled("maintain-node", cluster=cluster, steps=str(_node(system, cluster)))


def in_order(system: System) -> list[str]:
    """Components with a workload, each after those that it needs; of several with the same workload the first."""
    found: dict[str, None] = {}
    seen: set[str] = set()

    def visit(name: str) -> None:
        if name in seen or name not in system.components:
            return
        seen.add(name)
        for needed in dependencies(system.components[name]):
            visit(needed)
        found[name] = None

    for name in system.components:
        visit(name)
    workloads: dict[str, str] = {}
    for name in found:
        try:
            workloads.setdefault(workload_of(system, name), name)
        except Absent:
            continue
    return list(workloads.values())


def health_of(system: System, component: str) -> list[str]:
    """The checks of a component that tell whether it is there at all."""
    known = observations()
    return [
        one.id
        for one in system.checks
        if one.of == component and (one.observe == "workload.missing" or known[one.observe].spec.vital)
    ]


def _health(steps: Steps, system: System, component: str, attributes: str = "") -> None:
    if checks := health_of(system, component):
        steps.op("Go on when it is well.", f"id=well-{component} timeout=15m{attributes}",
                 f"checks.wait: {{of: {component}, checks: [{', '.join(checks)}], within: 600}}")  # fmt: skip


def _restarts(system: System, order: Sequence[str]) -> Steps:
    steps = Steps()
    for name in order:
        steps.op(f"Restart {name}, or start it where it is down.", f"id=renew-{name} timeout=30m",
                 f"workload.renew: {{of: {name}}}")  # fmt: skip
        _health(steps, system, name)
    return steps


def _updates(system: System, order: Sequence[str]) -> tuple[str, Steps]:
    """The parameters, one for the version of each component, and the steps."""
    steps = Steps()
    if any(one.kind == "host" for one in system.components.values()):
        steps.op("What Debian would change on opsbook's host. It is only shown: its owner installs them.",
                 "id=host-packages risk=read timeout=5m idempotent", HOST_PACKAGES, "sh")  # fmt: skip
    steps.act("Somebody has read what is out of date, and chosen the versions.")
    for backup in system.model.backups:
        if backup.to and not backup.continuous and system.holds(backup.environments):
            steps.op("A backup before anything changes.", f"id=backup-{backup.id} timeout=12h",
                     f"backup.take: {{of: {backup.of}, backup: {backup.id}}}")  # fmt: skip
    params = []
    for name in replicas_first(system, order):
        parameter = name.replace("-", "_")
        params.append(f"  {parameter}: {VERSION.replace('@component@', name)}")
        wanted = f" when=\"{parameter} != ''\""
        steps.op(f"Bring {name} to its version.", f"id=update-{name} timeout=40m on_failure=stop{wanted}",
                 f'workload.deploy: {{of: {name}, version: "{{{{ {parameter} }}}}"}}')  # fmt: skip
        _health(steps, system, name, wanted)
    return "\n".join(params), steps


def replicas_first(system: System, order: Sequence[str]) -> list[str]:
    """The same components, standbys before the servers that they follow."""

    def follows(name: str) -> bool:
        one = system.components[name]
        return isinstance(one, PostgresComponent) and any(
            isinstance(system.components.get(other), PostgresComponent) for other in one.depends_on
        )

    return [name for name in order if follows(name)] + [name for name in order if not follows(name)]


def _node(system: System, cluster: str) -> Steps:
    steps, checks = Steps(), health_of(system, cluster) or [one.id for one in system.checks if one.of == cluster]
    whole = [name for component in in_order(system) for name in health_of(system, component)]
    if checks or whole:
        listed = ", ".join(dict.fromkeys([*checks, *whole]))
        steps.op("It is well before: work on top of a fault hides both.", "id=before timeout=5m",
                 f"checks.wait: {{of: {cluster}, checks: [{listed}], within: 60}}")  # fmt: skip
    emptied = 'node: "{{ node }}", lose_local_data: "{{ lose_local_data }}"'
    steps.op("Empty the node, as disruption budgets allow.", "id=drain timeout=2h on_failure=undo",
             f'node.drain: {{of: {cluster}, {emptied}}}')  # fmt: skip
    if command := system.model.maintenance.node:
        words = " ".join(_word(word) for word in command)
        steps.op("The work on it, as the book says.", "id=work risk=disruptive timeout=6h on_failure=stop",
                 f"NODE={{{{ node }}}} {words}", "sh")  # fmt: skip
    else:
        steps.act("The work on {{ node }} is done, and it is up again.")
    steps.op("Use it again.", "id=uncordon timeout=5m", f'node.uncordon: {{of: {cluster}, node: "{{{{ node }}}}"}}')
    steps.op("It serves.", "id=serves timeout=20m", f'node.wait: {{of: {cluster}, node: "{{{{ node }}}}"}}')
    if checks or whole:
        steps.op("Everything is well as before.", "id=well timeout=20m",
                 f"checks.wait: {{of: {cluster}, checks: [{listed}], within: 600}}")  # fmt: skip
    return steps


def _word(word: str) -> str:
    """One word of a command of the book; what it says in braces is no template."""
    return "{{ '{{' }}".join(shlex.quote(part) if part else "" for part in word.split("{{")) or "''"


HOST_PACKAGES = """\
if command -v apt-get >/dev/null; then
  apt list --upgradable 2>/dev/null
  apt-get --simulate --quiet upgrade | tail -n 3
else
  echo 'this host has no apt: ask its own package manager'
fi"""
