"""Procedures over the whole system of a book: everything restarted, brought up to date, a node taken out for work."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from opsbook.book.environments import KubernetesRuntime, NoRuntime
from opsbook.book.system import System
from opsbook.upkeep.order import health_of, in_order, replicas_first
from opsbook.upkeep.templates import Steps, filled
from opsbook.upkeep.updates import update_of

WHOLE = frozenset({"restart-all", "update-system", "maintain-node"})
"""What changes everything: a role gets what these need only where somebody asks for it."""


def families(system: System) -> Iterator[tuple[str, str]]:
    """Name and Markdown of each that the environment's runtime can do."""
    order = in_order(system)
    if order and not isinstance(system.environment.runtime, NoRuntime):
        yield "restart-all", filled("restart-all", steps=str(_restarts(system, order)))
        yield "update-system", update_of(system, replicas_first(system, order))
    cluster = next((name for name, one in system.components.items() if one.kind == "cluster"), "")
    if cluster and isinstance(system.environment.runtime, KubernetesRuntime):
        yield "maintain-node", filled("maintain-node", cluster=cluster, steps=str(_node(system, cluster)))


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
