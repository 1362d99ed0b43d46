"""What a plan still needs before it may happen. Pure: risks, people, time and backups are handed in as facts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from opsbook.book.catalogue import Risk
from opsbook.book.environments import Policy, RiskPolicy
from opsbook.book.planned import Freeze
from opsbook.book.system import System

BackupAges = Callable[[System, datetime], Mapping[str, timedelta]]
"""Component → age of the newest backup that may be relied on, at a moment; a component without one is left out. It may
block: it looks at what is stored. A higher room hands it down (`Setting.backup_ages`).
"""

Need = Literal["role", "approval", "window", "freeze", "backup", "confirm", "earlier"]


@dataclass(frozen=True)
class Asker:
    """Who asks, and as what. `roles` is None where the book gives nobody a role: then everybody has all."""

    name: str
    roles: frozenset[str] | None = None
    itself: bool = False
    """Whether it is opsbook, by a schedule or an alert of the book."""

    def one_of(self, roles: Iterable[str]) -> bool:
        wanted = set(roles)
        return self.roles is None or not wanted or bool(self.roles & wanted)


@dataclass(frozen=True)
class Circumstances:
    """What is so at the moment of the question."""

    environment: str
    approvers: frozenset[str] = frozenset()
    """Who approved exactly this plan; the requester never counts."""
    windows: tuple[str, ...] = ()
    """The maintenance windows that are open for what the plan changes."""
    freezes: tuple[Freeze, ...] = ()
    """The freezes that hold now."""
    backups: Mapping[str, timedelta] | None = None
    """Age of the newest verified backup by component; None where nothing is known of backups."""
    components: tuple[str, ...] = ()
    """What the plan changes."""
    unseen: tuple[tuple[str, str], ...] = ()
    """Component and version of what the environment before this one has not had yet."""
    earlier: str = ""
    """That environment."""
    confirmed: bool = False
    """Whether the requester typed the environment's name."""
    break_glass: str = ""
    """The reason given to pass approvals, windows and the environment before."""


@dataclass(frozen=True)
class Missing:
    """Something that is needed and not there."""

    need: Need
    sentence: str
    count: int = 0
    """How many approvals are still needed."""
    hint: str = ""
    """What to do about it, where that says more than `NEXT_STEP`."""


NEXT_STEP: Mapping[Need, str] = {
    "role": "ask somebody who has it",
    "window": "wait for one, or plan one in `windows` of the book; --break-glass REASON passes it",
    "freeze": "wait for its end; --break-glass REASON passes it",
    "backup": "take one and have it verified: opsbook backup",
    "confirm": "run it at a terminal, without --yes",
    "earlier": "deploy it there first; --break-glass REASON passes it",
}
"""What to do about each lack that no waiting mends."""

RUNS_ANYTHING = ("responder", "operator", "admin")
"""Roles that may run something at all; a viewer only looks."""


def missing(risk: Risk, rule: RiskPolicy, policy: Policy, asker: Asker, now: Circumstances) -> list[Missing]:
    """What a plan of this risk lacks, a sentence each; nothing: it may happen. `rule` is what `rule_of` gives."""
    found = [*_roles(risk, rule, asker, now)]
    if not now.break_glass:
        found += _earlier(now)
    if asker.itself and rule.unattended:
        # Whoever wrote that has said yes to it, at any time; a backup is needed all the same.
        return [*found, *_backup(risk, rule, now)]
    if not now.break_glass:
        found += _approvals(risk, rule, asker, now)
        found += _window(risk, rule, now)
        found += _freeze(risk, now)
    elif reason := glass_stays(policy, asker):
        found.append(Missing("role", reason))
    found += _backup(risk, rule, now)
    if rule.confirm and not now.confirmed:
        found.append(
            Missing(
                "confirm",
                f"a {risk} plan in {now.environment} needs the environment's name typed at a terminal (no --yes)",
                hint=f"leave --yes out, and type `{now.environment}` when you are asked",
            )
        )
    return found


def refusal(found: Iterable[Missing]) -> tuple[str, str] | None:
    """What keeps a plan from being asked for at all, as a sentence and the next step; None where waiting mends it."""
    hard = [one for one in found if one.need != "approval"]
    return ("; ".join(one.sentence for one in hard), hard[0].hint or NEXT_STEP[hard[0].need]) if hard else None


def glass_stays(policy: Policy, asker: Asker) -> str | None:
    """Why somebody may not break the glass; None where they may."""
    if not policy.break_glass:
        return "this environment's policy lets nobody break the glass"
    if not asker.one_of(policy.break_glass):
        return f"only {_either(policy.break_glass)} may break the glass, and {asker.name} is not"
    return None


def rule_of(policy: Policy, risk: Risk, procedure: str = "") -> RiskPolicy:
    """The rule for a risk, or the procedure's own."""
    rule = policy.procedures.get(procedure) or getattr(policy, risk.value)
    assert isinstance(rule, RiskPolicy)
    return rule


def _roles(risk: Risk, rule: RiskPolicy, asker: Asker, now: Circumstances) -> Iterable[Missing]:
    wanted = rule.roles or (RUNS_ANYTHING if risk is not Risk.READ else ())
    if not asker.one_of(wanted):
        has = _either(sorted(asker.roles or ())) or "none"
        sentence = f"a {risk} plan in {now.environment} needs the role {_either(wanted)}; {asker.name} has {has}"
        yield Missing("role", sentence)


def _approvals(risk: Risk, rule: RiskPolicy, asker: Asker, now: Circumstances) -> Iterable[Missing]:
    given = len(now.approvers - {asker.name})
    lacking = rule.approvals - given
    if lacking > 0:
        others = "another person" if rule.approvals == 1 else f"{rule.approvals} other persons"
        so_far = f" ({given} so far)" if given else ""
        yield Missing("approval", f"a {risk} plan in {now.environment} must be approved by {others}{so_far}", lacking)


def _window(risk: Risk, rule: RiskPolicy, now: Circumstances) -> Iterable[Missing]:
    if rule.window and not now.windows:
        yield Missing("window", f"a {risk} plan in {now.environment} needs an open maintenance window, and none is")


def _freeze(risk: Risk, now: Circumstances) -> Iterable[Missing]:
    for freeze in now.freezes:
        if risk.rank >= freeze.risk.rank:
            why = f" ({freeze.reason})" if freeze.reason else ""
            until = freeze.end.strftime("%Y-%m-%d %H:%M")
            yield Missing("freeze", f"{risk} plans are frozen in {now.environment} until {until}{why}")


def _earlier(now: Circumstances) -> Iterable[Missing]:
    for component, version in now.unseen:
        told = f"{component} {version} was not deployed in {now.earlier} yet, which {now.environment} comes after"
        yield Missing("earlier", told, hint=f"opsbook deploy {component} {version} --env {now.earlier}")


def _backup(risk: Risk, rule: RiskPolicy, now: Circumstances) -> Iterable[Missing]:
    if rule.backup_within is None:
        return
    limit = rule.backup_within
    for component in now.components or ("the system",):
        age = (now.backups or {}).get(component)
        if age is None:
            yield Missing("backup", f"a {risk} plan needs a verified backup of {component}, and there is none")
        elif age > limit:
            told = f"a {risk} plan needs a backup of {component} younger than {limit}; the newest is {age} old"
            yield Missing("backup", told)


def _either(names: Iterable[str]) -> str:
    return " or ".join(names)
