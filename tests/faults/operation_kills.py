"""Each built-in operation on real servers, killed with SIGKILL at every border of each change and in its middle.

What must hold is what `kills` holds for the test operations. Each operation first runs undisturbed: how long it takes
says where its middle is, and how often its effect is counted says what "twice" is.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from opsbook.engine.digest import digest_of
from opsbook.engine.procedure import Procedure, Step, StepKind
from opsbook.engine.states import ChangeState, RunState
from opsbook.engine.views import View
from opsbook.operations.registry import operations
from tests.faults.deadly import PLACES, SEE_SECONDS, Fault, engine
from tests.faults.kills import Count
from tests.faults.operations_elsewhere import (
    FILES,
    HTTP,
    PROXIES,
    WORKLOADS,
    FilesSite,
    HttpSite,
    ProxySite,
    WorkloadSite,
)
from tests.faults.operations_postgres import CASES as POSTGRES
from tests.faults.operations_postgres import PostgresSite
from tests.faults.operations_redis import CELERY, REDIS, CelerySite, RedisSite
from tests.faults.sites import Case, Site
from tests.faults.targets import effects
from tests.faults.warm import Warm
from tests.faults.world import World

SITES: dict[type[Site], dict[str, Case]] = {
    PostgresSite: POSTGRES,
    RedisSite: REDIS,
    CelerySite: CELERY,
    WorkloadSite: WORKLOADS,
    ProxySite: PROXIES,
    HttpSite: HTTP,
    FilesSite: FILES,
}
"""The operations that are tried, by what they are tried on."""
NEEDS_A_BACKUP = "needs a store of backups with a whole database in it, which this sweep does not set up"
LEFT_OUT: dict[str, str] = dict.fromkeys(
    (
        "backup.hold", "backup.release", "backup.take", "backup.verify", "drill.restore", "files.restore",
        "postgres.drop_database", "postgres.restore", "redis.restore",
        "postgres.restore_in_place", "postgres.restore_tables", "postgres.switch_back", "postgres.switch_database",
        "pgbackrest.configure", "postgres.restore_at", "postgres.restore_tables_at",
    ),
    NEEDS_A_BACKUP,
) | dict.fromkeys(
    (
        "drill.failover", "postgres.fence", "postgres.promote", "postgres.rebuild_standby", "postgres.repoint",
        "postgres.wait_served",
    ),
    "needs a primary and a standby held by a runtime: the sweep of failovers has them",
) | dict.fromkeys(
    ("workload.copy",),
    "needs instances with files of their own: the contract of the runtimes repeats it and puts it back",
) | dict.fromkeys(
    ("autoscaler.create", "autoscaler.delete", "autoscaler.set", "certificate.ask",
     "config_map.set", "cron_job.trigger",
     "node.cordon", "node.drain", "node.uncordon",
     "workload.limits", "workload.isolate", "workload.reconnect"),
    "needs a cluster or a container engine: the tests of those runtimes cut them off and repeat them",
) | dict.fromkeys(
    ("certificate.install", "certificate.renew", "certificate.request", "certificate.restore"),
    "needs an ACME authority and a proxy: test_certificates.py cuts it off between its files",
) | dict.fromkeys(
    ("credential.distribute", "credential.expire", "credential.prepare", "credential.retire", "credential.withdraw"),
    "needs an application that reads it: test_rotations.py cuts it off between its acts, and repeats each",
) | dict.fromkeys(
    ("migrations.back_to", "migrations.upgrade", "side.bring_up", "side.retire", "traffic.switch"),
    "needs an application with versions: test_renec_deploys.py has them",
) | dict.fromkeys(
    ("drill.rebuild", "drill.restore_at", "export.bundle", "files.purge"),
    "the sweep of losses and the tests of drills have them",
) | dict.fromkeys(
    ("certificate.prove", "checks.hold", "checks.look", "migrations.outlook", "node.wait", "service.compare",
     "service.measure", "smoke.test", "token.list"),
    "it only asks, and changes nothing",
) | dict.fromkeys(
    ("postgres.add_replica", "postgres.remove_replica"),
    "needs a primary, a runtime that holds the replica and a pool: test_read_replicas.py adds it again over itself",
) | dict.fromkeys(
    ("cluster.snapshot", "security.audit", "workload.fetch", "workload.preserve", "workload.profile"),
    "it only looks, and writes what it saw to new files of its own"
) | {
    "config.deploy": "needs a cluster or containers: the tests of deploys have it undone, gone back from and cut off",
    "config.prune": "needs a cluster or containers: the tests of deploys of configurations have it",
    "postgres.scale_standbys": "needs a cluster: test_kubernetes_standbys.py has it, and its way back",
    "backup.prune": "needs a store of backups: test_pruning.py ends it at every deletion"}  # fmt: skip
"""Operations that cannot be tried here, each with the reason."""
FRACTIONS = (0.2, 0.5, 0.8)
"""Of the time that a change takes undisturbed: where its middle is cut."""


def named() -> dict[str, Case]:
    """Every operation that the sweep knows."""
    return {name: case for cases in SITES.values() for name, case in cases.items()}


@dataclass(frozen=True)
class OperationKill:
    """The faults that one run of an operation meets; a second one strikes the process that goes on."""

    operation: str
    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        return f"{self.operation} at {' and '.join(map(str, self.faults))}"


@dataclass(frozen=True)
class Undisturbed:
    """How a run without a kill went."""

    durations: dict[str, float]
    """Change → seconds."""
    counted: int


class Bench:
    """One site that runs, and the operations that are tried on it."""

    ends = RunState.DONE
    """How a run ends that is not killed."""

    def __init__(self, kind: type[Site], folder: Path, cases: Mapping[str, Case] | None = None) -> None:
        folder.mkdir(parents=True)
        self.cases = SITES[kind] if cases is None else cases
        self.folder, self.site = folder, kind(folder)
        self._blank = folder / "blank"

    def __enter__(self) -> Bench:
        try:
            self.site.start()
            book = {
                "opsbook": 1,
                "system": "sweep",
                "environments": {"test": {"policy": "open", "disposable": True, **self.site.environment}},
                "components": self.components,
                **self.site.keys,
            }
            self._blank.mkdir()
            (self._blank / "book.yaml").write_text(yaml.safe_dump(book))
            World(self._blank).close()
        except BaseException:
            self.site.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.site.stop()

    @property
    def components(self) -> dict[str, dict[str, Any]]:
        return self.site.components

    def idempotent(self, operation: str) -> bool:
        """Whether it may be done again where nobody knows whether it was done."""
        return operations()[operation].spec.idempotent

    def world(self) -> World:
        """A book and an empty store of their own."""
        folder = Path(tempfile.mkdtemp(prefix="opsbook-kill-"))
        shutil.copytree(self._blank, folder, dirs_exist_ok=True)
        return World(folder)

    def procedure(self, world: World, operation: str) -> Procedure:
        """One step that does it."""
        case, spec = self.cases[operation], operations()[operation].spec
        body = {"operation": operation, "parameters": {"of": case.of, **case.parameters(self.site)}}
        step = Step("it", StepKind.OP, "It", 1, body, spec.risk, spec.idempotent, on=case.of)
        return Procedure(operation, operation, spec.risk, (step,), (), (), revision=digest_of([operation]))

    def begin(self, world: World, operation: str) -> str:
        """Bring the target to the state before, and submit a run."""
        self.cases[operation].prepare(self.site)

        async def submit() -> str:
            return (await world.submit(self.procedure(world, operation))).id

        return asyncio.run(submit())

    def undisturbed(self, operation: str) -> Undisturbed:
        """Run it without a kill; it must do what the counter counts."""
        world = self.world()
        try:
            run = self.begin(world, operation)
            process = _engine(world, run, ())
            process.wait(SEE_SECONDS)
            view = world.view(run)
            assert view.state is self.ends, f"{operation} ended {view.run.state}: {view.run.message}"
            durations = dict(line.split() for line in effects(world.folder, "durations"))
            counted = self.cases[operation].count(self.site)
            assert counted > 0, f"{operation} was done, and its effect is not counted"
            return Undisturbed({key: float(seconds) for key, seconds in durations.items()}, counted)
        finally:
            world.close()
            shutil.rmtree(world.folder, ignore_errors=True)

    def tried(self, expected: Undisturbed) -> Undisturbed:
        """The changes at which it is killed."""
        return expected

    def one(self, kill: OperationKill, expected: Undisturbed, count: Count) -> None:
        """One run, its deaths, and what became of it."""
        world = self.world()
        try:
            self._one(world, kill, expected, count)
        finally:
            world.close()
            shutil.rmtree(world.folder, ignore_errors=True)

    def _one(self, world: World, kill: OperationKill, expected: Undisturbed, count: Count) -> None:
        run = self.begin(world, kill.operation)
        finished: set[str] = set()
        began: Counter[str] = Counter()
        deaths = 0
        for _ in range(len(kill.faults) + 1):
            process = _engine(world, run, kill.faults)
            if process.wait(SEE_SECONDS + 20) is None:
                process.kill()
                count.stuck += 1
                count.wrong.append(f"{kill}: stuck at {world.view(run).run.state}\n{process.output}")
                return
            if not process.killed:
                break
            deaths += 1
            if deaths == 1:
                finished = {row.key for row in world.view(run).changes if row.state == ChangeState.DONE}
                began = Counter(effects(world.folder, "attempts"))
        count.kills += deaths
        count.missed += not deaths
        view = world.view(run)
        attempts = Counter(effects(world.folder, "attempts"))
        for key in finished:
            if attempts[key] > began[key]:
                count.twice += 1
                count.wrong.append(f"{kill}: {key} was finished and began again")
        self._judge(kill, view, deaths, max(attempts.values(), default=1), expected.counted, count)

    def contradicted(self, operation: str, happened: int) -> str:
        """Why the target is not as a run says that ended as it should; empty where it is."""
        return "" if happened else "it is said to be done, and nothing has happened"

    def _judge(self, kill: OperationKill, view: View, deaths: int, attempts: int, normal: int, count: Count) -> None:
        idempotent = self.idempotent(kill.operation)
        happened = self.cases[kill.operation].count(self.site)
        if view.state is self.ends:
            count.resumed += deaths
            if why := self.contradicted(kill.operation, happened):
                count.wrong.append(f"{kill}: {why}")
        elif view.state is RunState.AMBIGUOUS and view.run.message:
            count.ambiguous += 1
            count.resumed += deaths - 1
            if idempotent:
                count.wrong.append(f"{kill}: idempotent, and yet ambiguous: {view.run.message}")
        else:
            count.stuck += 1
            count.wrong.append(f"{kill}: ended {view.run.state}: {view.run.message}")
        if happened > normal * (attempts if idempotent else 1):
            count.twice += 1
            count.wrong.append(f"{kill}: happened {happened} times in {attempts} attempts, and {normal} is once")


def _engine(world: World, run: str, faults: Sequence[Fault]) -> Warm:
    return Warm(engine, world.folder / "book.yaml", "", run, faults, world.folder, log=world.folder / "log")


def kills_of(operation: str, expected: Undisturbed) -> Iterator[OperationKill]:
    """Every border of every change, three moments in its middle, and a second death of the process that goes on."""
    for key, seconds in expected.durations.items():
        for place in PLACES:
            for part in FRACTIONS if place == "middle" else (0.0,):
                yield OperationKill(operation, (Fault(key, place, seconds * part),))
        middle = Fault(key, "middle", seconds * 0.5)
        yield OperationKill(operation, (middle, Fault(key, "end")))
        yield OperationKill(operation, (middle, Fault(key, "after"), Fault(key, "noted")))


def sweep_site(
    kind: type[Site], names: Sequence[str], folder: Path, count: Count, chosen: Callable[[Any], Any], tell: Any = None
) -> None:
    """The chosen kills of these operations, one after the other, on one site."""
    with Bench(kind, folder) as bench:
        sweep_bench(bench, names, count, chosen, tell)


def sweep_bench(
    bench: Bench, names: Sequence[str], count: Count, chosen: Callable[[Any], Any], tell: Any = None
) -> None:
    """The chosen kills of what a bench tries."""
    for name in names:
        try:
            expected = bench.undisturbed(name)
        except AssertionError as error:
            count.wrong.append(str(error))
            continue
        for kill in chosen(list(kills_of(name, bench.tried(expected)))):
            bench.one(kill, expected, count)
            if tell is not None:
                tell(f"{kill}: {count}")


def sample(size: int, seed: int, folder: Path) -> Count:
    """One kill of each of some operations, the same for the same seed."""
    dice, count = random.Random(seed), Count()
    names = dice.sample(sorted(named()), size)
    for kind, cases in SITES.items():
        wanted = [name for name in names if name in cases]
        if wanted:
            sweep_site(kind, wanted, folder / kind.__name__, count, lambda kills: [dice.choice(kills)])
    return count
