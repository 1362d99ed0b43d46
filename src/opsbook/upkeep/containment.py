"""Containing a breach: a component cut off, its evidence kept, its credentials made worthless; and the way back.

What is cut off goes on running where the runtime can take it out of its networks, so that it can be looked into; it is
stopped elsewhere. Evidence is taken before, since a connection that is cut is gone, and after.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.book.environments import NoRuntime
from opsbook.book.planned import Rotation
from opsbook.book.system import System
from opsbook.connectors.workload import workload_of
from opsbook.errors import Absent
from opsbook.upkeep.order import health_of
from opsbook.upkeep.templates import Steps, filled

LOGINS = ("", "_a", "_b")
"""Of a role in PostgreSQL: itself, before its first rotation, and the two that take turns."""


def contained(system: System, component: str = "") -> list[str]:
    """The procedures that contain a component; of all components where none is named."""
    if isinstance(system.environment.runtime, NoRuntime):
        return []
    return [f"contain-{name}" for name in system.components if component in ("", name) and _has_workload(system, name)]


def families(system: System) -> Iterator[tuple[str, str]]:
    """`contain-NAME` and `release-NAME` of each component with a workload."""
    kind = system.environment.runtime.kind
    isolates = kind in ("compose", "kubernetes")
    for contain in contained(system):
        name = contain.removeprefix("contain-")
        yield (
            contain,
            filled("contain", component=name, cut=_cut(name, kind), steps=_revoking(system, name)),
        )
        yield f"release-{name}", filled("release", component=name, steps=_back(system, name, isolates))


def _cut(name: str, kind: str) -> str:
    """How it is cut off. A cluster's network may not do what its policies say: then it is stopped after all."""
    steps = Steps(2)
    isolate = f"workload.isolate: {{of: {name}}}"
    if kind == "kubernetes":
        isolate = f"workload.isolate: {{of: {name}, prove: tell}}"
        steps.op("Cut it off by a network policy, and look whether it is.", "id=cut timeout=15m save=cut", isolate)
        steps.op("Stop it where that is not so, or cannot be told.", 'id=stop timeout=15m when="not cut.enforced"',
                 f"workload.stop: {{of: {name}}}")  # fmt: skip
    else:
        steps.op("Cut it off.", "id=cut timeout=15m",
                 isolate if kind == "compose" else f"workload.stop: {{of: {name}}}")  # fmt: skip
    steps.op("Keep all that is left, with its logs.", "id=after timeout=15m on_failure=continue",
             f"workload.preserve: {{of: {name}, since: 7d}}")  # fmt: skip
    return str(steps)


def _has_workload(system: System, name: str) -> bool:
    try:
        return bool(workload_of(system, name))
    except Absent:
        return False


def known_to(system: System, component: str) -> list[Rotation]:
    """The rotations whose credential a component reads, and that can go on without it."""
    return [
        one
        for one in system.model.rotations
        if component in one.restart and one.of != component and one.to is not None and one.previous is None
        and system.holds(one.environments)
    ]  # fmt: skip


def _revoking(system: System, component: str) -> str:
    steps = Steps(5 if system.environment.runtime.kind == "kubernetes" else 4)
    for one in known_to(system, component):
        _rotated(steps, system, one, component)
    done = ", ".join(one.id for one in known_to(system, component)) or "none"
    steps.act(f"Every other credential that {component} could read is rotated or revoked. Rotated by this run: {done}.")
    steps.act(f"Tokens of opsbook's API that {component}, or who worked on it, could know are revoked:"
              " `opsbook token list`, `opsbook token revoke ID`.")  # fmt: skip
    others = [check for name in system.components if name != component for check in health_of(system, name)]
    if others:
        steps.op("The rest of the system is well without it.", "id=rest timeout=15m on_failure=continue",
                 f"checks.wait: {{of: {component}, checks: [{', '.join(others)}], within: 120}}")  # fmt: skip
    return str(steps)


def _rotated(steps: Steps, system: System, one: Rotation, component: str) -> None:
    """As a rotation does, but whoever lives by the old credential is not waited for: it is dead, then cut off."""
    ident, saved = f"{{of: {one.of}, rotation: {one.id}", "new_" + re.sub("[^a-z0-9]", "_", one.id)
    steps.op(f"Make a new credential of {one.id}, and try it.", f"id=prepare-{one.id} timeout=5m save={saved}",
             f"credential.prepare: {ident}}}")  # fmt: skip
    steps.op(
        "Write it where workloads read it.", f"id=distribute-{one.id} timeout=5m", f"credential.distribute: {ident}}}"
    )
    for name in one.restart:
        if name != component and system.components[name].workload:
            steps.op(f"{name} reads it only when it starts.", f"id=restart-{name}-{one.id} timeout=15m",
                     f"workload.restart: {{of: {name}}}")  # fmt: skip
    steps.op("Make the old one invalid at once, and prove it dead.", f"id=retire-{one.id} timeout=15m",
             f"credential.retire: {ident}, cut: true}}")  # fmt: skip
    if system.components[one.of].kind == "postgres":
        for ending in LOGINS:
            login = one.role + ending
            steps.op(f"End the sessions of {login} that live by the old one.",
                     f"id=cut-{one.id}{ending.replace('_', '-')} timeout=5m when=\"{saved}.login != '{login}'\"",
                     f"postgres.terminate: {{of: {one.of}, user: {login}, most: 10000}}")  # fmt: skip


def _back(system: System, component: str, isolates: bool) -> str:
    steps = Steps(2)
    if isolates:
        steps.op(
            "Connect it to its networks again.", "id=reconnect timeout=10m", f"workload.reconnect: {{of: {component}}}"
        )
    steps.op("Start it, or start it anew, with the credentials of now.", "id=start timeout=30m",
             f"workload.renew: {{of: {component}}}")  # fmt: skip
    if checks := health_of(system, component):
        steps.op("It is well.", "id=well timeout=15m",
                 f"checks.wait: {{of: {component}, checks: [{', '.join(checks)}], within: 600}}")  # fmt: skip
    return str(steps)
