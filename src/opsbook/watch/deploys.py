"""The part that tells of deploys that went back by themselves, or could not: an incident is written of each.

A deploy is judged by its newest run alone: a good one, or a rollback, ends what was told of the one before.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from opsbook.checks.evaluate import State
from opsbook.engine.states import RunState
from opsbook.store.database import reading
from opsbook.store.run_lists import page
from opsbook.store.runs import RunRow, run_of
from opsbook.watch.contract import Signal, Watch
from opsbook.watch.deciding import tell
from opsbook.watch.registry import part

RHYTHM = timedelta(seconds=10)
TOLD = timedelta(minutes=15)
"""How long a deploy that went back is told: it has left the system as it was. One that failed has not: it is told until
another one, or a rollback, goes well."""
LOOKED_BACK = timedelta(days=1)
NAMES = ("deploy-", "rollback-")
WHOLE = "update-system"
"""It deploys many at once; it is told as one, of no component."""
MOST = 200
"""Runs among which deploys are looked for."""


@part
class DeploysThatWentBack:
    """Looks at the newest deploy of each component."""

    name = "deploys"

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        deployed = watch.system.model.deploys.components
        self.components = [name for name, one in watch.system.components.items() if one.workload or name in deployed]

    async def tick(self, now: datetime) -> datetime:
        signals = await asyncio.to_thread(lambda: list(self.signals(now)))
        if signals:
            await tell(self.watch, signals)
        return now + RHYTHM

    def signals(self, now: datetime) -> Iterator[Signal]:
        """One for each component that was deployed lately."""
        newest: dict[str, RunRow] = {}
        for run in self._runs(now):
            component = self._component(run.procedure)
            if (component or run.procedure == WHOLE) and run.ended_at is not None:
                newest.setdefault(component, run)
        for component, run in newest.items():
            yield self._signal(component, run, now)

    def _runs(self, now: datetime) -> list[RunRow]:
        """The newest first, without their plans. Those that a rehearsal asked for are its own affair."""
        begin = (now - LOOKED_BACK).timestamp()
        where = self.watch.where
        with reading(self.watch.setting.store) as connection:
            found = page(connection, where["system"], where["environment"], limit=MOST)
        return [one for one in found if not one.rehearsal and one.requested_at > begin]

    def _version(self, run: RunRow) -> str:
        with reading(self.watch.setting.store) as connection:
            whole = run_of(connection, run.id)
        return str(json.loads(whole.parameters).get("version") or "") if whole else ""

    def _component(self, procedure: str) -> str:
        """The component that a procedure deploys; empty where it is none of a deploy."""
        kind = next((one for one in NAMES if procedure.startswith(one)), "")
        rest = procedure.removeprefix(kind) if kind else ""
        ends = ("", "-rolling", "-blue-green", "-hotfix", "-config", "-with-schema")
        return next((one for one in self.components if rest and any(rest == one + end for end in ends)), "")

    def _signal(self, component: str, run: RunRow, now: datetime) -> Signal:
        state = RunState(run.state)
        ended = datetime.fromtimestamp(run.ended_at or 0, UTC)
        bad = state is RunState.FAILED or (state is RunState.UNDONE and now - ended < TOLD)
        kind = "rollback" if run.procedure.startswith("rollback") else "deploy"
        version = self._version(run) if bad else ""
        words = f"{component} {version}".strip() if component else "the whole system"
        if state is RunState.UNDONE and kind == "deploy":
            sentence = f"{words} went back by itself: {run.message} (run {run.id})"
        else:
            sentence = f"the {kind} of {words} ended {state}: {run.message} (run {run.id})"
        return Signal(
            fingerprint=f"deploy:{component or WHOLE}", source="opsbook", at=now,
            state=State.CRITICAL if bad else State.OK,
            title=f"deploy of {component or 'the whole system'}", sentence=sentence if bad else "", shown=version,
            component=component,
        )  # fmt: skip
