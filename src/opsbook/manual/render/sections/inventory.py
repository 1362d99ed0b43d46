"""What the system consists of, and where it runs."""

from __future__ import annotations

from collections.abc import Iterator

from opsbook.book.catalogue import Component
from opsbook.book.environments import BUILT_IN_POLICIES, Policy, RiskPolicy
from opsbook.book.references import Reference
from opsbook.book.system import System
from opsbook.manual.render.pieces import Code, Line, Mark, Piece, Row, Section, Text, joined, line, table
from opsbook.manual.render.words import duration

PLACES = ("url", "dsn", "address", "path", "broker", "replica", "host", "endpoint", "bucket", "file")
"""Keys of components that say where they are."""
RISKS = ("read", "safe", "disruptive", "destructive")


def inventory(system: System) -> Section:
    """Every component, as it is in this environment."""
    rows: list[Row] = [_component(name, one) for name, one in sorted(system.components.items())]
    head = "component | kind | what it is for | runs as | where | needs | owner"
    return Section("Inventory", (table("Components", head, rows),), key="inventory")


def component_key(name: str) -> str:
    """What links to the checks of a component name."""
    return f"checks-{name}"


def procedure_key(name: str) -> str:
    """What links to a procedure name."""
    return f"procedure-{name}"


def _component(name: str, one: Component) -> tuple[Line, ...]:
    runs: Line = (
        line(Code(one.workload), f" × {one.replicas}" if one.replicas is not None else "") if one.workload else ()
    )
    needs = joined(one.depends_on)
    return (line(Code(name)), line(one.kind), line(one.description), runs, _places(one), needs, line(one.owner))


def _places(one: Component) -> Line:
    """Where it is, as the book writes it: references stay references."""
    found: list[Piece] = []
    for key in PLACES:
        value = getattr(one, key, None)
        if isinstance(value, Reference) or (isinstance(value, str) and value):
            found.append(Code(str(value)))
    return joined(found)


def environments(system: System) -> Section:
    """Where the system runs, and what each policy asks."""
    model = system.model
    rows: list[Row] = []
    for name, one in model.environments.items():
        runtime = one.runtime.kind + (f" ({one.runtime.namespace})" if one.runtime.kind == "kubernetes" else "")
        marks: Line = (Mark("disposable", "quiet"),) if one.disposable else ()
        shown = (Mark("this manual", "plain"),) if name == system.name else ()
        rows.append(
            (line(Code(name)), line(one.description), line(runtime), line(one.policy), joined((*marks, *shown)))
        )
    head = "environment | what it is for | runtime | policy | "
    policies = {**BUILT_IN_POLICIES, **model.policies}
    used = {one.policy: policies[one.policy] for one in model.environments.values()}
    parts = Section(
        "Policies",
        (
            Text(("What a plan needs before it may happen, by its risk.",)),
            table(
                "Policies by risk", " | ".join(("policy", *RISKS)), [_policy(name, one) for name, one in used.items()]
            ),
        ),
        key="policies",
    )
    return Section("Environments", (table("Environments", head, rows),), (parts,), key="environments")


def _policy(name: str, policy: Policy) -> tuple[Line, ...]:
    return (line(Code(name)), *(line(needs(getattr(policy, risk))) for risk in RISKS))


def approval(system: System, procedure: str, risk: str) -> Iterator[tuple[str, str]]:
    """Environment by environment, what a procedure needs there."""
    policies = {**BUILT_IN_POLICIES, **system.model.policies}
    for name, one in system.model.environments.items():
        policy = policies[one.policy]
        rule = policy.procedures.get(procedure) or getattr(policy, risk)
        yield name, needs(rule)


def needs(rule: RiskPolicy) -> str:
    """A rule in words."""
    found = []
    if rule.approvals:
        persons = "another person" if rule.approvals == 1 else f"{rule.approvals} other persons"
        found.append(f"approval by {persons} ({' or '.join(rule.approvers)})")
    if rule.roles:
        found.append(f"asked for by {' or '.join(rule.roles)}")
    if rule.window:
        found.append("an open maintenance window")
    if rule.backup_within:
        found.append(f"a backup younger than {duration(rule.backup_within)}")
    if rule.confirm:
        found.append("the environment's name typed")
    return ", ".join(found) or "no approval"
