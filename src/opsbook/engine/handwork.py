"""What a person does by hand, in a shell that opsbook opens: held against the policy, recorded in the audit chain.

A shell that may write can do anything, so that it has the risk `destructive`; nobody can approve beforehand what is
typed into it. Where policy wants approvals, a window or a backup first, it takes breaking the glass.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from opsbook.book.catalogue import Risk
from opsbook.book.system import System
from opsbook.engine.access import Actor, asker_of
from opsbook.engine.open_windows import windows_open
from opsbook.engine.output import Mask
from opsbook.engine.policy import Circumstances, missing, rule_of
from opsbook.engine.setting import Setting, secrets_of
from opsbook.engine.windows import holding_freezes
from opsbook.errors import Refused
from opsbook.store import audit
from opsbook.store.database import writing

OPENED, CLOSED = "shell opened", "shell closed"


@dataclass(frozen=True)
class Handwork:
    """One session of somebody's own hands."""

    component: str
    tool: str
    words: tuple[str, ...]
    write: bool
    break_glass: str = ""


def allowed(setting: Setting, system: System, actor: Actor, work: Handwork, *, confirmed: bool) -> None:
    """Raises Refused with all that is missing."""
    risk = Risk.DESTRUCTIVE if work.write else Risk.READ
    book, moment, touched = system.model, setting.clock.now(), (work.component,)
    now = Circumstances(
        environment=system.name,
        windows=windows_open(setting.store, system, touched, moment),
        freezes=holding_freezes(book.freezes, system.name, str(book.timezone), moment),
        backups=setting.backups(system, rule_of(system.policy, risk)),
        components=touched,
        confirmed=confirmed or not work.write,
        break_glass=work.break_glass,
    )
    found = missing(risk, rule_of(system.policy, risk), system.policy, asker_of(system.model.access, actor), now)
    if found:
        what = "a shell that may write" if work.write else "a shell"
        raise Refused(
            f"{what} on {work.component}: {'; '.join(one.sentence for one in found)}",
            "write it as a procedure, which can be approved; --break-glass REASON passes approvals and windows",
        )


@contextmanager
def recorded(setting: Setting, system: System, actor: Actor, work: Handwork) -> Iterator[Callable[[int], None]]:
    """Records that it began, and how it ended: yields what takes the exit code. No record, no shell: the beginning is
    in the chain before the program starts.
    """
    codes: list[int] = []
    started = time.monotonic()
    setting.check_audit()
    _record(setting, system, actor, work, OPENED, "", {})
    try:
        yield codes.append
    finally:
        code = codes[-1] if codes else None
        outcome = "interrupted" if code is None else "done" if code == 0 else f"exit {code}"
        _record(setting, system, actor, work, CLOSED, outcome, {"seconds": round(time.monotonic() - started, 1)})


def _record(
    setting: Setting, system: System, actor: Actor, work: Handwork, event: str, outcome: str, more: dict[str, object]
) -> None:
    detail = {
        "environment": system.name, "component": work.component, "tool": work.tool, "write": work.write,
        "words": _masked(system, work.words), **more,
    }  # fmt: skip
    if work.break_glass:
        detail["break_glass"] = work.break_glass
    act = audit.Act(setting.now(), actor.name, actor.origin, event, outcome=outcome, detail=detail)
    with writing(setting.store) as connection:
        audit.append(connection, [act])
    setting.write_head()


def _masked(system: System, words: Sequence[str]) -> list[str]:
    mask = Mask(secrets_of(system))
    return [mask.whole(word) for word in words]
