"""The workers of a shared store and their claims on runs, as leases. Times are those of the store's own clock.

A worker's lease says that it lives, and is renewed. A claim says which worker a run belongs to; it is worth as much as
that worker's lease. Taking a claim over raises its fencing number: what the former worker then writes with the old one
is refused. Only on PostgreSQL; an embedded store has one owner.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, text

WORKER, GUEST, CLAIM = "worker:", "guest:", "run:"
"""Beginnings of the names of leases: of a worker, of a command that executes its own run alone, and of claims."""
KEPT_SECONDS = 24 * 3600
"""Leases of workers that are gone are forgotten after this time."""
TABLE_LOCK = 0x6F70736C656173
"""The advisory lock around taking claims."""

NOW = "extract(epoch FROM clock_timestamp())"
JOIN = text(
    f"INSERT INTO leases (name, holder, until, fence) VALUES (:name, :holder, {NOW} + :seconds, 1)"  # noqa: S608
)
RENEW = text(f"UPDATE leases SET until = {NOW} + :seconds WHERE name = :name AND until > {NOW}")  # noqa: S608
LEAVE = text("DELETE FROM leases WHERE name = :name OR (holder = :name AND name LIKE 'run:%')")
ALIVE = text(
    f"SELECT holder FROM leases WHERE starts_with(name, :name) AND until > {NOW} ORDER BY name"  # noqa: S608
)
CLAIMED = text(f"""
SELECT claim.name, worker.holder FROM leases AS claim JOIN leases AS worker ON worker.name = claim.holder
WHERE starts_with(claim.name, 'run:') AND worker.until > {NOW}
""")  # noqa: S608
TAKE = text(f"""
INSERT INTO leases (name, holder, until, fence)
SELECT :claim, :worker, 0, 1 FROM runs WHERE id = :run AND ended_at IS NULL
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, fence = leases.fence + 1
WHERE NOT EXISTS (SELECT FROM leases AS worker WHERE worker.name = leases.holder AND worker.until > {NOW})
RETURNING fence
""")  # noqa: S608
HOLDS = text(f"""
SELECT 1 FROM leases AS claim JOIN leases AS worker ON worker.name = claim.holder
WHERE claim.name = :claim AND claim.holder = :worker AND claim.fence = :fence AND worker.until > {NOW}
FOR SHARE OF claim
""")  # noqa: S608
GIVE_BACK = text("DELETE FROM leases WHERE name = :claim AND holder = :worker")
FORGET = text(f"""
DELETE FROM leases WHERE (starts_with(name, 'worker:') OR starts_with(name, 'guest:')) AND until < {NOW} - :seconds
OR starts_with(name, 'run:') AND NOT EXISTS (SELECT FROM leases AS worker WHERE worker.name = leases.holder)
""")  # noqa: S608


def worker_name(kind: str, system: str, id: str) -> str:
    """The name of a worker's lease: workers of one store may belong to several systems."""
    return f"{kind}{system}/{id}"


def join(connection: Connection, name: str, holder: str, seconds: float) -> None:
    """Take the lease of a new worker. `holder` tells people who it is."""
    connection.execute(FORGET, {"seconds": KEPT_SECONDS})
    connection.execute(JOIN, {"name": name, "holder": holder, "seconds": seconds})


def renew(connection: Connection, name: str, seconds: float) -> bool:
    """Keep it for so long from now; False where it was over already, and is lost for good."""
    return connection.execute(RENEW, {"name": name, "seconds": seconds}).rowcount > 0


def leave(connection: Connection, name: str) -> None:
    """Give back the lease and every claim that hangs on it: others take the runs up at once."""
    connection.execute(LEAVE, {"name": name})


def alive(connection: Connection, system: str) -> list[str]:
    """The workers of a system that live, for people."""
    return list(connection.execute(ALIVE, {"name": worker_name(WORKER, system, "")}).scalars())


def claimed(connection: Connection) -> dict[str, str]:
    """Run → who executes it, for people; of runs whose worker lives."""
    return {name.removeprefix(CLAIM): holder for name, holder in connection.execute(CLAIMED)}


def take(connection: Connection, run: str, worker: str) -> int | None:
    """Claim a run that has not ended and that no living worker has: the fencing number, or None."""
    # A lease that another has just taken is seen by the statement that follows the lock.
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": TABLE_LOCK})
    found = connection.execute(TAKE, {"claim": CLAIM + run, "worker": worker, "run": run}).scalar()
    return None if found is None else int(found)


def holds(connection: Connection, run: str, worker: str, fence: int) -> bool:
    """Whether the run still belongs to this worker. True: nobody takes it before this transaction has ended."""
    told = {"claim": CLAIM + run, "worker": worker, "fence": fence}
    return connection.execute(HOLDS, told).scalar() is not None


def give_back(connection: Connection, runs: Iterable[str], worker: str) -> None:
    """Let go of claims: of runs that have ended."""
    for run in runs:
        connection.execute(GIVE_BACK, {"claim": CLAIM + run, "worker": worker})
