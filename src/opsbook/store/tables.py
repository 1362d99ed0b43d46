"""The tables of opsbook's own store, on SQLite and PostgreSQL alike. Times are UTC seconds since 1970, JSON is text."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, MetaData, Table, Text, UniqueConstraint

metadata = MetaData()

check_results = Table(
    "check_results",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("system", Text, nullable=False, server_default=""),
    Column("environment", Text, nullable=False),
    Column("check_id", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("state", Text, nullable=False),
    Column("value", Float, nullable=True),
    Column("sentence", Text, nullable=False),
    Index("check_results_by_check", "system", "environment", "check_id", "at"),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("system", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("book", Text, nullable=False),
    Column("book_revision", Text, nullable=False),
    Column("procedure", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("risk", Text, nullable=False),
    Column("compiled", Text, nullable=False),
    Column("parameters", Text, nullable=False),
    Column("plan", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("likeness", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("message", Text, nullable=False, server_default=""),
    Column("requester", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("confirmed", Text, nullable=False, server_default=""),
    Column("break_glass", Text, nullable=False, server_default=""),
    Column("rerun_of", Text, nullable=False, server_default=""),
    Column("from_step", Text, nullable=False, server_default=""),
    Column("verdict", Text, nullable=False, server_default=""),
    Column("cancel", Text, nullable=False, server_default=""),
    Column("woken", Integer, nullable=False, server_default="0"),
    Column("heard", Integer, nullable=False, server_default="0"),
    Column("crashes", Integer, nullable=False, server_default="0"),
    Column("executor", Text, nullable=False, server_default=""),
    Column("requested_at", Float, nullable=False),
    Column("started_at", Float),
    Column("ended_at", Float),
    Column("asked_as", Text, nullable=False, server_default=""),
    Index("runs_by_state", "state"),
    Index("runs_by_time", "requested_at"),
    Index("runs_by_likeness", "likeness"),
    Index("runs_by_end", "system", "environment", "ended_at", "id", "procedure", "state"),
)
"""`likeness` is equal for runs of the same procedure with the same parameters in the same environment; `confirmed` is
the digest that the requester saw and said yes to; `woken` counts what was done for a
run, and `heard` how much of it its executor has seen; `asked_as` is JSON, the bounds of a requester that came over the
network: the highest role and the groups; `verdict` is how a run that is being undone will end."""

steps = Table(
    "steps",
    metadata,
    Column("run", Text, primary_key=True),
    Column("step", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("message", Text, nullable=False, server_default=""),
    Column("planned", Text, nullable=False, server_default=""),
    Column("result", Text, nullable=False, server_default=""),
    Column("started_at", Float),
    Column("ended_at", Float),
)

changes = Table(
    "changes",
    metadata,
    Column("key", Text, primary_key=True),
    Column("run", Text, nullable=False),
    Column("step", Text, nullable=False),
    Column("index", Integer, nullable=False),
    Column("undo", Boolean, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("change", Text, nullable=False),
    Column("cursor", Text, nullable=False, server_default=""),
    Column("result", Text, nullable=False, server_default=""),
    Column("message", Text, nullable=False, server_default=""),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float),
    Index("changes_by_run", "run"),
)
"""Intents and outcomes: the row is written with the state `intent` before the executor is called."""

approvals = Table(
    "approvals",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run", Text, nullable=False),
    Column("step", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("approver", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("void", Text, nullable=False, server_default=""),
    UniqueConstraint("run", "step", "digest", "approver", name="approvals_once"),
)
"""`step` is empty for the approval of the whole plan; `void` says why it no longer counts."""

acts = Table(
    "acts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run", Text, nullable=False),
    Column("step", Text, nullable=False),
    Column("item", Integer, nullable=False),
    Column("actor", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("at", Float, nullable=False),
    UniqueConstraint("run", "step", "item", name="acts_once"),
)

locks = Table(
    "locks",
    metadata,
    Column("path", Text, primary_key=True),
    Column("run", Text, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("since", Float, nullable=False),
    Index("locks_by_run", "run"),
)

tickets = Table(
    "lock_tickets",
    metadata,
    Column("ticket", Integer, primary_key=True, autoincrement=True),
    Column("run", Text, nullable=False, unique=True),
    Column("paths", Text, nullable=False),
    Column("at", Float, nullable=False),
    sqlite_autoincrement=True,
)
"""Who waits for which paths, in order of arrival. A ticket's number is never given again: it is the fencing token."""

output = Table(
    "output",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run", Text, nullable=False),
    Column("step", Text, nullable=False),
    Column("tail", Boolean, nullable=False),
    Column("start", Integer, nullable=False),
    Column("at", Float, nullable=False),
    Column("text", Text, nullable=False),
    Index("output_by_step", "run", "step", "start"),
    sqlite_autoincrement=True,
)
"""Pieces of what a step printed. `start` is the position of the piece in the whole output, in characters."""

audit = Table(
    "audit",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", Float, nullable=False),
    Column("actor", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("run", Text),
    Column("step", Text),
    Column("attempt", Integer),
    Column("procedure", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("hash", Text, nullable=False),
    UniqueConstraint("run", "step", "attempt", "event", name="audit_once"),
)
"""The chain: `hash` is SHA-256 over the hash of the record before and this record's canonical JSON."""

rehearsals = Table(
    "rehearsals",
    metadata,
    Column("id", Text, primary_key=True),
    Column("environment", Text, nullable=False),
    Column("book_revision", Text, nullable=False),
    Column("requester", Text, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float),
)

rehearsal_results = Table(
    "rehearsal_results",
    metadata,
    Column("rehearsal", Text, primary_key=True),
    Column("procedure", Text, primary_key=True),
    Column("environment", Text, nullable=False),
    Column("run", Text, nullable=False),
    Column("revision", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("step", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("at", Float, nullable=False),
    Index("rehearsal_results_by_procedure", "procedure", "at"),
)
"""A row without a verdict is of a procedure whose rehearsal goes on, or was cut off."""

rehearsal_firings = Table(
    "rehearsal_firings",
    metadata,
    Column("environment", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("rehearsal", Text, nullable=False),
    Column("at", Float, nullable=False),
)
"""The checks and alert rules that fired in a rehearsal, and in which one last."""

drills = Table(
    "drills",
    metadata,
    Column("run", Text, primary_key=True),
    Column("objective", Text, primary_key=True),
    Column("at", Float, nullable=False),
    Column("environment", Text, nullable=False),
    Column("drill", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("backup", Text, nullable=False),
    Column("stamp", Text, nullable=False),
    Column("phases", Text, nullable=False),
    Column("problems", Text, nullable=False),
    Column("restored_seconds", Float),
    Column("verified_seconds", Float),
    Column("rto_seconds", Float),
    Column("rpo_seconds", Float),
    Column("lost_rows", BigInteger),
    Column("bytes", BigInteger),
    Column("good", Boolean, nullable=False),
    Index("drills_by_objective", "objective", "at"),
)
"""What a drill measured of an objective; its run is the evidence. `phases` and `problems` are JSON."""
