"""Settings of PostgreSQL advised from its machine and its load. Pure: all that is known is an argument.

Rules are those of the official documentation; where it gives a range, the figure here is its careful end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from opsbook.book.units import show_duration
from opsbook.upkeep.advice.contract import GIBI, MEBI, Advice, Advised, Machine, Needs, near, round_size, size

DOCS = "https://www.postgresql.org/docs/current/"
RESOURCE, QUERY = DOCS + "runtime-config-resource.html", DOCS + "runtime-config-query.html"
WAL, VACUUM = DOCS + "wal-configuration.html", DOCS + "routine-vacuuming.html"
CONNECTIONS = DOCS + "runtime-config-connection.html"
ENOUGH_SECONDS = 3600.0
"""Load that was measured for a shorter time is not judged."""
FEWEST_CHECKPOINTS = 10
REQUESTED_SHARE = 0.3
"""With more of the checkpoints forced by WAL than this, max_wal_size is too small for the writes."""
LARGE_ROWS = 1_000_000
"""Of a table with more rows than this, a fifth is too many dead ones to wait for."""
DEAD_ROWS = 100_000
"""Dead rows after which a large table should be vacuumed."""
SORTS = 3
"""Sorts and hashes that a connection is reckoned to hold at a time."""
HASH_SHARE = 0.5
"""Of the memory beside shared_buffers, what all sorts together may take."""


@dataclass(frozen=True)
class Setting:
    """One setting: `value` in bytes, seconds or as it is; `shown` as SHOW prints it."""

    value: float
    shown: str
    restart: bool = False


@dataclass(frozen=True)
class BigTable:
    """A table with many rows, and after which share of dead ones it is vacuumed."""

    name: str
    rows: float
    dead: float
    scale: float
    threshold: float = 50


@dataclass(frozen=True)
class Load:
    """What the server says of itself. Times in seconds, sizes in bytes; None where it does not tell."""

    settings: Mapping[str, Setting]
    databases: float
    measured: float
    """How long its statistics have been counted."""
    hit_ratio: float | None = None
    temporary: float = 0
    temporary_files: int = 0
    timed: int = 0
    requested: int = 0
    wal_rate: float | None = None
    """Bytes of WAL a second."""
    page_share: float | None = None
    """Share of the WAL that is full pages, written after each checkpoint."""
    peak: float | None = None
    """Most connections that were seen."""
    peak_over: str = "now"
    planned: float | None = None
    """Connections that all pools may open at their full size, where the book says it."""
    tables: tuple[BigTable, ...] = field(default=())


Rule = Callable[[str, Load, Machine], Iterator[Advice]]


def advise(component: str, load: Load, machine: Machine, enough: float = ENOUGH_SECONDS) -> Advised:
    """Advice on a server. Rules of the machine need its memory; rules of the load need it measured long enough."""
    found: list[Advice] = []
    untold: list[str] = []
    if machine.share is None:
        untold.append("its memory is not known, so that no size is advised: say --memory")
    else:
        found += [one for rule in OF_MACHINE for one in rule(component, load, machine)]
    if not machine.flash:
        untold.append("that its disk does not turn is not known, so that random_page_cost is not judged")
    found += _random_page_cost(component, load, machine)
    if load.measured < enough:
        untold.append(
            f"its load was measured for {show_duration(load.measured)} only: too short to judge WAL, sorts and "
            f"connections ({show_duration(enough)} are needed)"
        )
    else:
        found += [one for rule in OF_LOAD for one in rule(component, load, machine)]
        if load.wal_rate is None:
            untold.append(
                "this version does not count its WAL (14 and newer do), so that checkpoint times are not judged"
            )
    found += _big_tables(component, load, machine)
    return Advised(component, "postgres", tuple(found), _told(load, machine), tuple(untold))


def _told(load: Load, machine: Machine) -> tuple[str, ...]:
    said = [f"databases hold {size(load.databases)}"]
    if machine.told:
        said.append(machine.told)
    if load.hit_ratio is not None:
        said.append(f"{load.hit_ratio:.1%} of reads came from memory")
    if load.wal_rate is not None:
        said.append(f"{size(load.wal_rate)} of WAL a second")
    if load.peak is not None:
        said.append(f"{load.peak:g} connections at most ({load.peak_over})")
    return (*said, f"measured over {show_duration(load.measured)}")


def _one(
    component: str, load: Load, name: str, advised: float, text: str, why: str, source: str, risk: str
) -> Iterator[Advice]:
    """The advice, where the server has the setting and it is far enough from what is advised."""
    now = load.settings.get(name)
    if now is None or near(now.value, advised):
        return
    needs: Needs = "restart" if now.restart else "reload"
    yield Advice(component, name, now.shown, text, why, source, needs, risk)


def _megabytes(number: float) -> str:
    return f"{number / MEBI:.0f}MB"


def buffers(load: Load, share: float) -> float:
    """A quarter of the memory, less where all databases fit into less: they would not fill it."""
    return round_size(max(128 * MEBI, min(share / 4, load.databases * 1.5)))


def _shared_buffers(component: str, load: Load, machine: Machine) -> Iterator[Advice]:
    share = machine.share or 0.0
    wanted = min(buffers(load, share), round_size(share * 0.4))
    now = load.settings["shared_buffers"].value
    larger_than_needed = now > wanted and now <= share * 0.4
    if larger_than_needed:  # a cache that could be smaller does no harm
        return
    enough = wanted < share / 8
    why = f"databases hold {size(load.databases)}: half as much again is enough" if enough else (
        f"a quarter of {size(share)}, which databases of {size(load.databases)} can fill")  # fmt: skip
    risk = "too much of it leaves the system less to cache files with; its memory is taken at the start"
    yield from _one(component, load, "shared_buffers", wanted, _megabytes(wanted), why, RESOURCE, risk)


def _effective_cache_size(component: str, load: Load, machine: Machine) -> Iterator[Advice]:
    share = machine.share or 0.0
    wanted = round_size(share * 0.75)
    why = f"three quarters of {size(share)} can hold pages of files; only the planner reads it, nothing is taken"
    yield from _one(component, load, "effective_cache_size", wanted, _megabytes(wanted), why, QUERY,
                    "plans change: compare slow statements before and after")  # fmt: skip


def _maintenance(component: str, load: Load, machine: Machine) -> Iterator[Advice]:
    share, workers = machine.share or 0.0, load.settings.get("autovacuum_max_workers")
    count = int(workers.value) if workers else 3
    wanted = round_size(min(GIBI, max(64 * MEBI, min(share / 16 / max(1, count / 3), load.databases / 4))))
    now = load.settings["maintenance_work_mem"].value
    if wanted < now and now * (count + 1) < share / 4:
        return
    why = (f"at most a sixteenth of {size(share)}, so that {count} autovacuum workers stay below a fifth together; "
           f"databases hold {size(load.databases)}")  # fmt: skip
    yield from _one(component, load, "maintenance_work_mem", wanted, _megabytes(wanted), why, RESOURCE,
                    f"{count} autovacuum workers may each take it, where autovacuum_work_mem is not set")  # fmt: skip


def connections(load: Load) -> float:
    """How many connections sort at a time, at the worst: what the pools may open, else what the server admits."""
    most = load.settings["max_connections"].value
    return min(most, load.planned) if load.planned else most


def room_for_sorts(load: Load, share: float) -> float:
    """work_mem that is safe: all connections with their sorts stay within half of what the buffers leave."""
    free = max(0.0, share - load.settings["shared_buffers"].value)
    return free * HASH_SHARE / max(1.0, connections(load) * SORTS)


def _too_much_work_mem(component: str, load: Load, machine: Machine) -> Iterator[Advice]:
    share, now = machine.share or 0.0, load.settings["work_mem"].value
    most = now * connections(load)
    if most <= share - load.settings["shared_buffers"].value:
        return
    wanted = max(4 * MEBI, round_size(room_for_sorts(load, share)))
    if wanted >= now:
        return
    why = (f"{connections(load):g} connections with one sort of {size(now)} each take {size(most)}, and beside "
           f"shared_buffers {size(share - load.settings['shared_buffers'].value)} are there")  # fmt: skip
    yield from _one(component, load, "work_mem", wanted, _megabytes(wanted), why, RESOURCE,
                    "larger sorts go to disk: watch temporary files")  # fmt: skip


def _work_mem(component: str, load: Load, machine: Machine) -> Iterator[Advice]:
    share = machine.share
    if share is None or not load.temporary_files:
        return
    room, now = room_for_sorts(load, share), load.settings["work_mem"].value
    mean = load.temporary / load.temporary_files
    wanted = round_size(min(room, max(now * 2, mean * 1.5)))
    if wanted <= now:
        return
    why = (f"{load.temporary_files} temporary files of {size(mean)} each in {show_duration(load.measured)}: sorts did "
           f"not fit; {connections(load):g} connections × {SORTS} sorts leave room for {size(room)}")  # fmt: skip
    yield from _one(component, load, "work_mem", wanted, _megabytes(wanted), why, RESOURCE,
                    "a statement can take it several times, in every connection")  # fmt: skip


def _random_page_cost(component: str, load: Load, machine: Machine) -> Iterator[Advice]:
    if machine.flash and load.settings["random_page_cost"].value > 2:
        yield from _one(component, load, "random_page_cost", 1.1, "1.1",
                        "the disk of its data folder does not turn: a random read costs about as much as the next one",
                        QUERY, "plans change towards indexes: compare slow statements before and after")  # fmt: skip


def _max_wal_size(component: str, load: Load, _machine: Machine) -> Iterator[Advice]:
    if load.timed + load.requested < FEWEST_CHECKPOINTS or load.wal_rate is None:
        return
    share = load.requested / (load.timed + load.requested)
    if share <= REQUESTED_SHARE:
        return
    # A checkpoint is begun by WAL at max_wal_size / (1 + checkpoint_completion_target); half more for its peaks.
    target = load.settings["checkpoint_completion_target"].value
    wanted = load.wal_rate * load.settings["checkpoint_timeout"].value * (1 + target) * 1.5
    wanted = round_size(max(wanted, load.settings["max_wal_size"].value * 2))
    why = (f"{load.requested} of {load.requested + load.timed} checkpoints were forced, most by "
           f"{size(load.wal_rate)} of WAL a second")  # fmt: skip
    yield from _one(component, load, "max_wal_size", wanted, _megabytes(wanted), why, WAL,
                    f"the disk of pg_wal needs room for {size(wanted)}; recovery takes longer")  # fmt: skip


def _checkpoint_timeout(component: str, load: Load, _machine: Machine) -> Iterator[Advice]:
    now = load.settings["checkpoint_timeout"].value
    if load.page_share is None or load.page_share < 0.5 or now >= 900 or not load.wal_rate or load.wal_rate < 64 * 1024:
        return
    why = (f"{load.page_share:.0%} of the WAL are full pages, which are written once after each checkpoint: fewer "
           "checkpoints write fewer")  # fmt: skip
    yield from _one(component, load, "checkpoint_timeout", 900, "15min", why, WAL,
                    "recovery after a crash replays up to 15 minutes of WAL")  # fmt: skip


def _max_connections(component: str, load: Load, _machine: Machine) -> Iterator[Advice]:
    most = load.settings["max_connections"].value
    kept = load.settings["superuser_reserved_connections"].value
    need = max(load.planned or 0.0, load.peak or 0.0)
    if need <= (most - kept) * 0.8:
        return
    wanted = -(-(need * 1.25 + kept) // 10) * 10
    told = f"pools may open {load.planned:g}" if need == load.planned else f"{need:g} were open at once"
    why = f"{told}, and {most - kept:g} are there without the reserved ones: smaller pools, or PgBouncer, come first"
    yield from _one(component, load, "max_connections", wanted, f"{wanted:.0f}", why, CONNECTIONS,
                    "each takes memory; a standby needs at least as many, and is restarted first")  # fmt: skip


def _big_tables(component: str, load: Load, _machine: Machine) -> Iterator[Advice]:
    for table in load.tables:
        after = table.threshold + table.scale * table.rows
        if table.rows < LARGE_ROWS or after <= DEAD_ROWS * 2:
            continue
        wanted = max(0.001, round(DEAD_ROWS / table.rows, 3))
        why = f"{table.rows:,.0f} rows: it is vacuumed after {after:,.0f} dead ones; {table.dead:,.0f} are dead now"
        yield Advice(component, f"autovacuum_vacuum_scale_factor of {table.name}", f"{table.scale:g}", f"{wanted:g}",
                     why, VACUUM, "reload", "it is vacuumed more often, a little each time")  # fmt: skip


OF_MACHINE: tuple[Rule, ...] = (_shared_buffers, _effective_cache_size, _maintenance, _too_much_work_mem)
OF_LOAD: tuple[Rule, ...] = (_work_mem, _max_wal_size, _checkpoint_timeout, _max_connections)
NAMES = (
    "shared_buffers", "effective_cache_size", "maintenance_work_mem", "work_mem", "random_page_cost", "max_wal_size",
    "checkpoint_timeout", "checkpoint_completion_target", "max_connections", "superuser_reserved_connections",
    "autovacuum_max_workers", "autovacuum_vacuum_scale_factor", "autovacuum_vacuum_threshold",
)  # fmt: skip
"""Settings that the rules read."""
