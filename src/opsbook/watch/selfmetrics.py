"""opsbook itself in numbers, as Prometheus reads them (the text exposition format, version 0.0.4)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, Connection, Table, func, select

from opsbook import __version__
from opsbook.checks.evaluate import State
from opsbook.checks.formats import LEVEL
from opsbook.engine.executor import executed_by
from opsbook.store import drills, history
from opsbook.store.database import reading
from opsbook.store.tables import runs
from opsbook.store.watch_tables import alerts, incidents, messages
from opsbook.watch.backup_ages import BackupAges
from opsbook.watch.checking import Checking
from opsbook.watch.contract import Part, Watch

RECENT = 24 * 3600.0
"""Seconds: a check that said nothing for longer has no state."""
Sample = tuple[Mapping[str, str], float]


@dataclass
class _Family:
    name: str
    text: str
    samples: list[Sample] = field(default_factory=list)
    kind: str = "gauge"


def metrics_text(watch: Watch, parts: Sequence[Part] = ()) -> str:
    """Checks, alerts, incidents, messages, runs, backups, drills and the loop of this process. Blocking.

    Every sample names `system` and `environment`. Raises StoreFailed.
    """
    lines = []
    for family in _families(watch, parts):
        lines += [f"# HELP {family.name} {family.text}", f"# TYPE {family.name} {family.kind}"]
        lines += [
            f"{family.name}{{{_labels({**watch.where, **labels})}}} {value:.15g}" for labels, value in family.samples
        ]
    return "\n".join(lines) + "\n"


def _families(watch: Watch, parts: Sequence[Part]) -> Iterator[_Family]:
    yield _Family("opsbook_build_info", "The version that runs", [({"version": __version__}, 1.0)])
    with reading(watch.setting.store) as connection:
        yield from _checks(connection, watch)
        open_alerts = alerts.c.open_key.is_not(None)
        found = _counted(connection, watch, alerts, ("phase", "state"), open_alerts)
        yield _Family("opsbook_alerts", "Alerts that are pending or firing", found)
        found = _counted(connection, watch, incidents, ("severity", "state"), incidents.c.open_key.is_not(None))
        yield _Family("opsbook_incidents_open", "Incidents that are not over", found)
        yield _Family(
            "opsbook_messages", "Messages by what became of them", _counted(connection, watch, messages, ("state",))
        )
        oldest = select(func.min(messages.c.made_at)).where(_here(watch, messages), messages.c.state == "waiting")
        waiting = connection.execute(oldest).scalar()
        age = max(0.0, time.time() - waiting) if waiting is not None else 0.0
        yield _Family("opsbook_messages_oldest_seconds", "How long the oldest message has waited", [({}, age)])
        yield _Family("opsbook_runs", "Runs by their state", _counted(connection, watch, runs, ("state",)))
    yield from _drills(watch)
    executes = bool(executed_by(watch.setting)) if watch.setting.embedded else True
    yield _Family("opsbook_executes", "Whether some process executes runs", [({}, float(executes))])
    yield from _parts(watch, parts)


def _checks(connection: Connection, watch: Watch) -> Iterator[_Family]:
    since = watch.setting.now() - RECENT
    points = history.latest(connection, watch.system.model.system, watch.system.name, since)
    checks = {check.id: check for check in watch.system.checks}
    state = _Family("opsbook_check_state", "0 ok, 1 warning, 2 critical, 3 unknown")
    value = _Family("opsbook_check_value", "The observed value in its canonical unit")
    at = _Family("opsbook_check_timestamp_seconds", "When it was checked last")
    for id, point in sorted(points.items()):
        if id not in checks:
            continue
        labels = {"component": checks[id].of, "check": id, "observation": checks[id].observe}
        state.samples.append((labels, float(LEVEL[State(point.state)])))
        at.samples.append((labels, point.at))
        if point.value is not None:
            value.samples.append((labels, point.value))
    yield from (state, value, at)


def _drills(watch: Watch) -> Iterator[_Family]:
    """What drills measured last, beside what is promised."""
    took = _Family("opsbook_objective_measured_seconds", "What the last good drill measured")
    promised = _Family("opsbook_objective_promised_seconds", "What the book promises")
    newest = {row.objective: row for row in drills.measured(watch.setting.store, watch.system.name) if row.good}
    for name, objective in watch.system.model.objectives.items():
        for promise, limit, measured in (
            ("rto", objective.rto, newest[name].rto_seconds if name in newest else None),
            ("rpo", objective.rpo, newest[name].rpo_seconds if name in newest else None),
        ):
            labels = {"objective": name, "promise": promise}
            if limit is not None:
                promised.samples.append((labels, limit.total_seconds()))
            if limit is not None and measured is not None:
                took.samples.append((labels, measured))
    yield from (took, promised)


def _parts(watch: Watch, parts: Sequence[Part]) -> Iterator[_Family]:
    standings = sorted(watch.standings.values(), key=lambda one: one.name)
    ticks = [({"part": one.name}, float(one.ticks)) for one in standings]
    yield _Family("opsbook_part_ticks_total", "How often a part of the watch was called", list(ticks), "counter")
    failed = [({"part": one.name}, float(one.failed)) for one in standings]
    yield _Family("opsbook_part_failing", "Ticks that failed since it last did its work", list(failed))
    lag = [({"part": one.name}, one.lag) for one in standings]
    yield _Family("opsbook_part_lag_seconds", "How much later than it should a part was called", list(lag))
    took = [({"part": one.name}, one.seconds) for one in standings]
    yield _Family("opsbook_part_tick_seconds", "How long its last tick took", list(took))
    slow = _Family("opsbook_component_asked_less_often", "How many times less often, since its reads time out")
    ages = _Family("opsbook_backup_age_seconds", "Age of the newest good backup")
    for part in parts:
        if isinstance(part, Checking):
            slow.samples += [({"component": name}, float(times)) for name, times in sorted(part.slow.items())]
        if isinstance(part, BackupAges):
            ages.samples += [
                ({"backup": one.backup.id, "component": one.backup.of}, one.age.total_seconds())
                for one in part.ages
                if one.age is not None
            ]
    yield from (slow, ages)


def _counted(
    connection: Connection, watch: Watch, table: Table, names: Sequence[str], *wanted: ColumnElement[bool]
) -> list[Sample]:
    columns = [table.c[name] for name in names]
    query = select(*columns, func.count()).where(_here(watch, table), *wanted).group_by(*columns)
    return [(dict(zip(names, map(str, row[:-1]), strict=True)), float(row[-1])) for row in connection.execute(query)]


def _here(watch: Watch, table: Table) -> ColumnElement[bool]:
    return (table.c.system == watch.where["system"]) & (table.c.environment == watch.where["environment"])


def _labels(labels: Mapping[str, str]) -> str:
    return ",".join(f'{key}="{_escaped(value)}"' for key, value in labels.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
