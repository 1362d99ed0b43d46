"""The part that tells of deploys that went back by themselves, or could not: an incident is written of each.

A deploy is judged alone by its run that ended last: a good one, or a rollback, ends what was told of the one before.
An update of the whole system is a deploy of each component that it was given a version for. One that failed is mended
by another update, or by a good deploy of each of them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from opsbook.checks.evaluate import State
from opsbook.engine.states import RunState
from opsbook.store.database import reading
from opsbook.store.run_lists import last_ended
from opsbook.store.runs import RunRow
from opsbook.upkeep.updates import parameter_of
from opsbook.watch.contract import Signal, Watch
from opsbook.watch.deciding import tell
from opsbook.watch.registry import part

RHYTHM = timedelta(seconds=10)
TOLD = timedelta(minutes=15)
"""How long a deploy that went back is told: it has left the system as it was. One that failed has not: it is told until
another one, or a rollback, goes well."""
LOOKED_BACK = timedelta(days=1)
"""What ended longer ago is not told as if it were new."""
NAMES = ("deploy-", "rollback-")
WHOLE = "update-system"
"""It deploys many at once; it is told as one, of no component."""
JUDGED = (RunState.DONE, RunState.FAILED, RunState.UNDONE)
"""One that was refused or cancelled mends nothing, and is nobody's surprise."""
MOST = 200
"""Deploys that are looked at."""


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
        """One for each component that was deployed, and one for the whole system, where something was lately."""
        found, begin = self._runs(), (now - LOOKED_BACK).timestamp()
        if not found or _ended(found[0]) <= begin:
            return
        newest: dict[str, RunRow] = {}
        good: set[str] = set()
        mended = False
        for run in found:
            named = self._named(run)
            if run.procedure == WHOLE and "" not in newest:
                newest[""], mended = run, bool(named) and named <= good
            if run.state == RunState.DONE:
                good |= named
            if run.procedure != WHOLE or run.state == RunState.DONE:
                for component in named:
                    newest.setdefault(component, run)
        for component, run in newest.items():
            signal = self._signal(component, run, now, mended=mended and not component)
            if signal.state is State.OK or _ended(run) > begin:
                yield signal

    def _runs(self) -> list[RunRow]:
        """The one that ended last first, without plans. Those that a rehearsal asked for are its own affair."""
        where = self.watch.where
        with reading(self.watch.setting.store) as connection:
            found = last_ended(connection, where["system"], where["environment"], (*NAMES, WHOLE), JUDGED, MOST)
        return [one for one in found if not one.rehearsal]

    def _named(self, run: RunRow) -> set[str]:
        """The components that it was to deploy."""
        if run.procedure == WHOLE:
            given = json.loads(run.parameters)
            return {name for name in self.watch.system.components if given.get(parameter_of(name))}
        component = self._component(run.procedure)
        return {component} if component else set()

    def _component(self, procedure: str) -> str:
        """The component that a procedure deploys; empty where it is none of a deploy."""
        kind = next((one for one in NAMES if procedure.startswith(one)), "")
        rest = procedure.removeprefix(kind) if kind else ""
        ends = ("", "-rolling", "-blue-green", "-hotfix", "-config", "-with-schema")
        return next((one for one in self.components if rest and any(rest == one + end for end in ends)), "")

    def _signal(self, component: str, run: RunRow, now: datetime, *, mended: bool = False) -> Signal:
        state = RunState(run.state)
        ended = datetime.fromtimestamp(_ended(run), UTC)
        bad = not mended and (state is RunState.FAILED or (state is RunState.UNDONE and now - ended < TOLD))
        kind = "rollback" if run.procedure.startswith("rollback") else "deploy"
        version = str(json.loads(run.parameters).get("version") or "") if bad else ""
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


def _ended(run: RunRow) -> float:
    return run.ended_at or 0.0
