"""Which of the procedures that come with opsbook prove that a system can be recovered, and in which order.

Those are left out that a rehearsal cannot try: they need a choice of rows, a restore before them, or a lost primary. A
failover is proven by its drill, which leaves a system that can be used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from opsbook.book.system import System

OF_A_BACKUP = ("configure-{}", "backup-{}", "backup-{}-verify")
OF_A_COMPONENT = ("restore-{}", "restore-{}-at", "restore-{}-switch")


def recovery_of(system: System, packaged: Mapping[str, str]) -> list[str]:
    """Names of procedures: backups are taken and verified before they are restored, and all of it before a failover."""
    return [name for name in dict.fromkeys(_wanted(system, packaged)) if name in packaged]


def _wanted(system: System, packaged: Mapping[str, str]) -> Iterator[str]:
    held = [one for one in system.model.backups if system.holds(one.environments)]
    for backup in held:
        yield from (name.format(backup.id) for name in OF_A_BACKUP)
    for backup in held:
        yield from (name.format(backup.of) for name in OF_A_COMPONENT)
    drills = [name for name in packaged if name.startswith("drill-")]
    failovers = {f"drill-{one.id}" for one in system.model.drills if one.kind == "failover"}
    yield from sorted(drills, key=lambda name: name in failovers or name.startswith("drill-failover-"))
