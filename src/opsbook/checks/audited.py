"""Changes of the kind `security-audit`: every question asked once, the answers written as evidence beside the book.

effect: `folder`, from the book's own. result: `json` and `markdown` (paths), their `sha256` and `markdown_sha256`,
`summary`, `asked`, `critical`, `warning`, `unasked`, and `not_asked` (a line each). What cannot be asked is a result
and no failure, and never counts as good.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import timedelta

from opsbook.book.catalogue import Component, Cost
from opsbook.book.checks import Check
from opsbook.book.system import System
from opsbook.checks.evaluate import Result, State
from opsbook.checks.sweep import sweep
from opsbook.clock import SystemClock
from opsbook.connectors.audits.record import Asked, Audit, written
from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.registry import executor
from opsbook.errors import OpsbookError
from opsbook.observations.registry import observations

GROUP = "security"
"""Checks of this group belong to the audit, whatever they observe."""
BY_THEMSELVES = (
    "host.failed_logins", "host.outdated_packages", "host.vulnerable_python", "host.exposed_secrets", "tls.days_left",
    "tls.chain_valid", "tls.weak_protocols", "cluster.access_beyond", "cluster.without_policy",
    "workload.vulnerable_python", "workload.image_age",
)  # fmt: skip
"""Asked of every component that they fit, also where no check of the book does."""
SAID_BY_THE_BOOK = {
    "postgres.unexpected_roles": "no check says who may log in",
    "postgres.grants_beyond": "no check says who may do what",
    "postgres.passwords_without_end": "no check says which passwords may be without end",
    "host.vulnerable_npm": "no check names the folder of a Node project",
    "host.vulnerable_image": "no check names an image",
}
"""What nobody can ask before the book says something, and what is missing."""
QUESTIONS = frozenset((*BY_THEMSELVES, *SAID_BY_THE_BOOK))
LONGEST = timedelta(minutes=2)


@executor("security-audit")
class SecurityAudit:
    """Asks, and writes two files on this host."""

    def __init__(self, connections: Connections) -> None:
        self.connections, self.system = connections, connections.system

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:  # noqa: ARG002  it has no slices
        """Raises ChangeFailed where the evidence cannot be written."""
        now = SystemClock().now()
        self.connections.forget()
        answers = [await self._asked(one, out) for one in questions(self.system)]
        told = [_asked(one) for one in answers]
        bad = [one.failure is not None or one.state is State.UNKNOWN for one in answers]
        asked = tuple(one for one, without in zip(told, bad, strict=True) if not without)
        lacking = tuple(one for one, without in zip(told, bad, strict=True) if without)
        audit = Audit(self.system.model.system, self.system.name, now, asked, (*lacking, *unasked(self.system)))
        folder = change.effect["folder"]
        try:
            files = await asyncio.to_thread(written, self.system.path(folder), audit)
        except OpsbookError as error:
            raise ChangeFailed(error.message, error.hint) from error
        await out.write(f"{audit.summary}\n{folder}/{files['markdown']}\n")
        count = {name: sum(one.severity == name for one in asked) for name in ("critical", "warning")}
        return Done({**files, "json": f"{folder}/{files['json']}", "markdown": f"{folder}/{files['markdown']}",
                     "summary": audit.summary, "asked": len(asked), **count, "unasked": len(audit.without),
                     "not_asked": [f"{one.subject}: {one.not_asked[0]}" for one in audit.without]})  # fmt: skip

    async def _asked(self, check: Check, out: Sink) -> Result:
        """One after the other: the tools are heavy, and what is audited has other work."""
        found = await sweep(self.system, [check], self.connections, SystemClock())
        (result,) = found.results
        await out.write(f"{result.state}: {check.title or check.id}: {result.sentence}\n")
        return result

    async def end(self, key: str, change: Change) -> bool:  # noqa: ARG002  whatever it was
        """Nothing of it outlives this process: each tool has its own bound."""
        return True


def _asked(result: Result) -> Asked:
    check, failed = result.check, result.failure is not None or result.state is State.UNKNOWN
    detail = result.detail if isinstance(result.detail, dict) else {}
    left_out = (result.sentence,) if failed else tuple(map(str, detail.get("not_asked") or ()))
    severity = str(result.state) if not failed and result.state in (State.CRITICAL, State.WARNING) else ""
    return Asked(check.title or check.id, check.observe, check.of, severity, "" if failed else result.shown,
                 result.sentence, result.detail, left_out)  # fmt: skip


def of_the_book(system: System) -> list[Check]:
    """The checks of the book that belong to a security audit."""
    return [one for one in system.checks if one.observe in QUESTIONS or GROUP in one.groups]


def questions(system: System) -> list[Check]:
    """The checks of the book, then what is asked without one; each with the time that such tools need."""
    mine = of_the_book(system)
    told = [*mine, *_without_check(system, mine)]
    patient = [one for one in told if observations()[one.observe].spec.cost is Cost.HEAVY]
    return [
        one.model_copy(update={"timeout": max(one.timeout or LONGEST, LONGEST)}) if one in patient else one
        for one in told
    ]


def _without_check(system: System, mine: Sequence[Check]) -> Iterator[Check]:
    held = {(one.observe, one.of) for one in mine}
    for observation in BY_THEMSELVES:
        for name, component in system.components.items():
            if (observation, name) not in held and _fits(observation, component):
                yield Check(id=f"audit.{name}.{observation}", observe=observation, of=name,
                            title=f"{observation} of {name}")  # fmt: skip


def unasked(system: System) -> Iterator[Asked]:
    """What the book leaves open, so that nothing is asked."""
    held = {(one.observe, one.of) for one in of_the_book(system)}
    for observation, why in SAID_BY_THE_BOOK.items():
        fitting = [name for name, one in system.components.items() if _fits(observation, one)]
        for name in fitting:
            if (observation, name) not in held:
                yield _open(f"{observation} of {name}", observation, name, why)
    if not any(one.kind == "host" for one in system.components.values()):
        yield _open("opsbook's host", "host", "", "the book has no component of the kind host")


def _open(subject: str, observation: str, component: str, why: str) -> Asked:
    return Asked(subject, observation, component, "", "", why, None, (f"not asked: {why}",))


def _fits(observation: str, component: Component) -> bool:
    kinds = observations()[observation].spec.kinds
    workload = bool(component.workload) or component.kind == "workload"
    return component.kind in kinds or ("workload" in kinds and workload)
