"""A deploy on a real cluster, killed with SIGKILL at every border of its changes and in their middle, and gone on with.

What must hold, whatever the place: the run ends done with the new version or undone with the one from before; one side
runs and the other does not; the autoscaler holds the one that serves; and no request was lost on the way.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from opsbook.book.load import load_book
from opsbook.book.system import in_environment
from opsbook.catalogue import catalogue
from opsbook.engine.service import Service, Wish
from opsbook.engine.setting import open_setting
from opsbook.engine.states import RunState
from opsbook.engine.views import View, view_of
from opsbook.recovery.packaged import packaged_procedures
from tests.faults.deadly import SEE_SECONDS, Fault, engine
from tests.faults.kills import Count
from tests.faults.warm import Warm
from tests.integration.cluster import GIVEN, new_namespace
from tests.integration.kubernetes_shop import Shop, book, objects

PROCEDURE = "deploy-api-blue-green"
GOOD = ("before/0", "bring-up/0", "bring-up/1", "bring-up/2", "switch/0", "switch/1", "smoke/0", "watch/0", "retire/0")
BAD = (*GOOD[:6], "switch/1/undo", "switch/0/undo", "bring-up/1/undo", "bring-up/0/undo")
"""Changes of a deploy that ends well, and of one that is slower than before, which its watch sees."""
PLACES = ("intent", "before", "middle", "after", "noted")
MIDDLE_SECONDS = 0.7
MOST_DEATHS = 8
MOST_ENGINES = 40


@dataclass
class Deployed:
    """One deploy, the faults that it meets, and what became of it."""

    shop: Shop
    bad: bool
    faults: Sequence[Fault]
    folder: Path
    count: Count
    answered: int = 0
    """How many requests were asked meanwhile and answered with 200."""

    def __str__(self) -> str:
        return f"deploy of a {'bad' if self.bad else 'good'} version at {', '.join(map(str, self.faults))}"

    def see_through(self) -> None:
        """From the plan to the end, whatever kills it on the way."""
        self.folder.mkdir(parents=True)
        before = self.shop.serving()
        version = "2" if before[1] == "1" else "1"
        self.shop.fault(version, "slow" if self.bad else "")
        with self.shop.asked() as requests:
            view, deaths = self._run(version)
        self.shop.fault(version, "")
        self.answered = requests.get("200", 0)
        self.count.kills += deaths
        self.count.missed += len(self.faults) - deaths
        wanted = (RunState.UNDONE, before) if self.bad else (RunState.DONE, (other(before[0]), version))
        if view is None or (view.state, self.shop.serving()) != wanted:
            self.count.stuck += 1
            said = "stuck" if view is None else f"{view.state}: {view.run.message}; {self.shop.serving()} serves"
            self._wrong(f"{said}\n{(self.folder / 'log').read_text()[-1500:]}")
            return
        self.count.resumed += deaths
        self._one_serves(wanted[1][0])
        if lost := {key: times for key, times in requests.items() if key != "200"}:
            # Answers of the bad version while it served are no lost requests; there are none of 500 here.
            self._wrong(f"lost {lost}")

    def _one_serves(self, side: str) -> None:
        names = {"blue": "api", "green": "api-green"}
        running = {one for one, name in names.items() if self.shop.get("Deployment", name)["spec"]["replicas"]}
        if running != {side}:
            self._wrong(f"{sorted(running)} run, and {side} serves")
        holds = self.shop.get("HorizontalPodAutoscaler", "api")["spec"]["scaleTargetRef"]["name"]
        if holds != names[side]:
            self._wrong(f"the autoscaler holds {holds}, and {side} serves")

    def _wrong(self, text: str) -> None:
        self.count.wrong.append(f"{self}: {text}")

    def _run(self, version: str) -> tuple[View | None, int]:
        """The run where it ended, None where it is stuck; and how often an engine died."""
        file = self.shop.ops / "book.yaml"
        setting = open_setting(system := in_environment(load_book(file, catalogue())), packaged_procedures)
        try:
            service = Service(setting, system)
            plan = asyncio.run(service.plan(service.procedure(PROCEDURE), values={"version": version}))
            run, deaths = service.submit(plan, Wish()).id, 0
            for _ in range(MOST_ENGINES):
                process = Warm(engine, file, "", run, self.faults, self.folder, log=self.folder / "log")
                if process.wait(SEE_SECONDS + 60) is None:
                    process.kill()
                    return None, deaths
                deaths += process.killed
                if not process.killed:
                    view = view_of(setting.store, run)
                    return (view if view.state.ended else None), deaths
            return None, deaths
        finally:
            setting.close()


def other(side: str) -> str:
    return "green" if side == "blue" else "blue"


def rounds(keys: Sequence[str]) -> Iterator[list[Fault]]:
    """The faults of each run: together every place of every change, each time another place of each."""
    for number in range(len(PLACES)):
        faults = [
            Fault(key, PLACES[(position + number) % len(PLACES)], MIDDLE_SECONDS) for position, key in enumerate(keys)
        ]
        for start in range(0, len(faults), MOST_DEATHS):
            yield faults[start : start + MOST_DEATHS]


def chosen(only: str) -> list[tuple[bool, int, list[Fault]]]:
    """The runs that are asked for: whether the version is bad, the run's number, its faults.

    `only` is empty, `good`, `bad`, or one of these with the numbers of its runs: `good/3`, `bad/0-4`. Raises
    ValueError.
    """
    kind, _, span = only.partition("/")
    if kind not in ("", "good", "bad"):
        raise ValueError(f"{only!r} is none of the deploys: good, bad, good/3, bad/0-4")
    first, _, last = span.partition("-")
    numbers = range(int(first), int(last or first) + 1) if span else None
    return [
        (name == "bad", number, faults)
        for name, keys in (("good", GOOD), ("bad", BAD))
        if kind in ("", name)
        for number, faults in enumerate(rounds(keys))
        if numbers is None or number in numbers
    ]


def deploy_sweep(only: str, tell: Callable[[str], None]) -> Count:
    """Every place of a good and of a bad deploy, or the runs that `only` names; nothing where no cluster is given."""
    count = Count()
    runs = chosen(only)
    if not GIVEN:
        tell("no disposable kubernetes is given: nothing is swept")
        return count
    folder = Path(tempfile.mkdtemp(prefix="opsbook-deploy-kills-"))
    try:
        with new_namespace(*objects()) as cluster:
            shop = Shop(cluster, book(cluster, folder / "ops"))
            shop.scale("api", 2)
            shop.scale("ask", 1)
            for bad, number, faults in runs:
                trial = Deployed(shop, bad, faults, folder / f"{'bad' if bad else 'good'}-{number}", count)
                began, before = time.monotonic(), len(count.wrong)
                trial.see_through()
                took = time.monotonic() - began
                tell("\n".join([f"run {number}, {trial}: {count}; {trial.answered} answers in {took:.0f} s",
                                *count.wrong[before:]]))  # fmt: skip
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return count
