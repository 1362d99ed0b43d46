"""The audit chain: every act, each record carrying the hash of the one before.

Invariant: hash(n) = SHA-256(hash(n-1) + "\\n" + canonical JSON of record n), with the empty text before record 1. So an
edited, dropped, reordered or inserted record is found from the rows alone; a cut tail or a chain that was written anew
is found by the signed heads outside the store (`audit_head`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, select, text

from opsbook.store.database import StoreFailed, reading
from opsbook.store.tables import audit

CHAIN_LOCK = 0x6F707362
"""PostgreSQL's advisory lock of the chain; SQLite has one writer anyway."""

RETENTION = "audit.retention"
"""The event that stands for a prefix that was cut off: its detail says up to which record, and that record's hash."""

PAGE = 5_000

LAST = text("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
APPEND = text("""
    INSERT INTO audit (seq, at, actor, origin, event, run, step, attempt, procedure, digest, outcome, detail, hash)
    VALUES (:seq, :at, :actor, :origin, :event, :run, :step, :attempt, :procedure, :digest, :outcome, :detail, :hash)
""")


@dataclass(frozen=True)
class Act:
    """Something that somebody did, before it is in the chain. `at` is UTC seconds since 1970."""

    at: float
    actor: str
    origin: str
    event: str
    run: str | None = None
    step: str | None = None
    attempt: int | None = None
    procedure: str = ""
    digest: str = ""
    outcome: str = ""
    detail: Any = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """One link of the chain. `detail` is the text as it is stored: the hash covers it to the byte."""

    seq: int
    act: Act
    detail: str
    hash: str


@dataclass(frozen=True)
class Broken:
    """The first record that is not what was written, and why."""

    seq: int
    reason: str


@dataclass(frozen=True)
class Verification:
    """What a look at the whole chain found. `last` and `hash` are those of the last good record."""

    records: int
    first: int
    last: int
    hash: str
    broken: Broken | None = None


@dataclass(frozen=True)
class Cut:
    """A beginning that retention removed: up to which record, and that record's hash."""

    upto: int
    hash: str


def canonical(value: Any) -> str:
    """JSON that is the same for the same value: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def chained(previous: str, seq: int, act: Act, detail: str) -> str:
    """The hash of a record."""
    told = {**vars(act), "seq": seq, "detail": detail}
    # surrogatepass: a file name or an argument that is no UTF-8 must not keep an act from being recorded.
    return hashlib.sha256(f"{previous}\n{canonical(told)}".encode("utf-8", "surrogatepass")).hexdigest()


def append(connection: Connection, acts: Sequence[Act]) -> None:
    """Put acts at the end of the chain, in the transaction that does what they tell of."""
    if not acts:
        return
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": CHAIN_LOCK})
    seq, tail = last(connection)
    rows = []
    for act in acts:
        seq += 1
        detail = canonical(act.detail)
        tail = chained(tail, seq, act, detail)
        rows.append({**vars(act), "seq": seq, "detail": detail, "hash": tail})
    connection.execute(APPEND, rows)


def last(connection: Connection) -> tuple[int, str]:
    """Number and hash of the newest record; zero and nothing where there is none."""
    row = connection.execute(LAST).first()
    return (row.seq, row.hash) if row else (0, "")


def records(engine: Engine, *, run: str = "", after: int = 0) -> Iterator[Record]:
    """The chain from its beginning, read in pages."""
    wanted = select(audit).order_by(audit.c.seq).limit(PAGE)
    if run:
        wanted = wanted.where(audit.c.run == run)
    while True:
        with reading(engine) as connection:
            page = connection.execute(wanted.where(audit.c.seq > after)).all()
        yield from (_record(row) for row in page)
        if len(page) < PAGE:
            return
        after = page[-1].seq


def newest(engine: Engine, limit: int, *, run: str = "", before: int | None = None) -> list[Record]:
    """The newest records, or the newest before a number, oldest first."""
    wanted = select(audit).order_by(audit.c.seq.desc()).limit(limit)
    if before is not None:
        wanted = wanted.where(audit.c.seq < before)
    if run:
        wanted = wanted.where(audit.c.run == run)
    with reading(engine) as connection:
        return [_record(row) for row in reversed(connection.execute(wanted).all())]


def last_actor(connection: Connection, event: str, words: str) -> str:
    """Who did this last, of acts whose detail holds these words; empty where the chain knows of nobody."""
    mine = (audit.c.event == event) & audit.c.detail.contains(words, autoescape=True)
    query = select(audit.c.actor).where(mine).order_by(audit.c.seq.desc()).limit(1)
    return str(connection.execute(query).scalar() or "")


def as_json(record: Record) -> dict[str, Any]:
    """A record as plain data, with what is needed to verify it elsewhere."""
    return {"seq": record.seq, **vars(record.act), "detail_text": record.detail, "hash": record.hash}


def as_line(record: Record) -> str:
    """A record as a line of JSON."""
    return json.dumps(as_json(record), ensure_ascii=False)


def verify(engine: Engine) -> Verification:
    """Go through the whole chain and name the first record that is not what was written.

    A chain whose beginning was cut must begin where a record of retention, in the chain itself, says so.
    """
    seen = check(())
    try:
        chain = list(_cuts(engine))
        return check(records(engine), chain)
    except StoreFailed as error:
        return replace(seen, broken=_unreadable(engine, error))


def check(chain: Iterable[Record], cuts: Iterable[Cut] = ()) -> Verification:
    """`verify`, on records that are at hand, and the cuts that the chain tells of."""
    seen, first, seq, tail = 0, 0, 0, ""
    for record in chain:
        if not seen:
            first = record.seq
            for cut in cuts:
                if cut.upto == record.seq - 1:
                    seq, tail = cut.upto, cut.hash
        if record.seq != seq + 1:
            return Verification(seen, first, seq, tail, Broken(seq + 1, "it is missing"))
        if chained(tail, record.seq, record.act, record.detail) != record.hash:
            return Verification(seen, first, seq, tail, Broken(record.seq, "it is not what was written"))
        seen, seq, tail = seen + 1, record.seq, record.hash
    return Verification(seen, first, seq, tail)


def cut_before(connection: Connection, moment: float, sign: Callable[[Cut], Act]) -> int:
    """Retention: remove the records that are older, and put one into the chain that keeps the rest verifiable.

    `sign` makes that record's act. Returns how many were removed. The newest record is always kept.
    """
    wanted = select(audit.c.seq, audit.c.hash).where(audit.c.at < moment).order_by(audit.c.seq.desc()).limit(1)
    younger = connection.execute(select(func.min(audit.c.seq)).where(audit.c.at >= moment)).scalar()
    row = connection.execute(wanted.where(audit.c.seq < younger) if younger is not None else wanted).first()
    if row is None:
        return 0
    append(connection, [sign(Cut(row.seq, row.hash))])
    return connection.execute(delete(audit).where(audit.c.seq <= row.seq)).rowcount


def _cuts(engine: Engine) -> Iterator[Cut]:
    with reading(engine) as connection:
        rows = connection.execute(select(audit.c.detail).where(audit.c.event == RETENTION)).scalars().all()
    for detail in rows:
        told = _parsed(detail)
        if isinstance(told, dict):
            yield Cut(int(told.get("upto", 0)), str(told.get("hash", "")))


def _unreadable(engine: Engine, error: StoreFailed) -> Broken:
    """Which record the store cannot even read."""
    seq = 0
    while True:
        try:
            with reading(engine) as connection:
                following = connection.execute(select(func.min(audit.c.seq)).where(audit.c.seq > seq)).scalar()
                if following is None:
                    raise error
                connection.execute(select(audit).where(audit.c.seq == following)).all()
        except StoreFailed as again:
            if again is error:
                raise
            return Broken(seq + 1, f"it cannot be read: {again.message}")
        seq = following


def _record(row: Any) -> Record:
    told = dict(row._mapping)
    seq, detail, digest = told.pop("seq"), told.pop("detail"), told.pop("hash")
    return Record(seq, Act(**told, detail=_parsed(detail)), detail, digest)


def _parsed(text: str) -> Any:
    # What is no JSON any more was tampered with; the hash will say so.
    try:
        return json.loads(text)
    except ValueError:
        return text
