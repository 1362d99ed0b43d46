"""Runs with their steps, changes, approvals, acts of people, locks and output."""

import sqlalchemy as sa
from alembic import op

from opsbook.store.migrations.columns import flag, moment, number, text

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    _runs()
    _work()
    _people()
    _locks()


def _runs() -> None:
    required = [
        "system",
        "environment",
        "book",
        "book_revision",
        "procedure",
        "title",
        "risk",
        "compiled",
        "parameters",
        "plan",
        "digest",
        "likeness",
        "state",
        "requester",
        "origin",
    ]
    optional = ["message", "confirmed", "break_glass", "rerun_of", "from_step", "verdict", "cancel", "executor"]
    op.create_table(
        "runs",
        sa.Column("id", sa.Text, primary_key=True),
        *(text(name) for name in required),
        *(text(name, default="") for name in optional),
        number("woken", default="0"),
        number("heard", default="0"),
        number("crashes", default="0"),
        moment("requested_at"),
        moment("started_at", nullable=True),
        moment("ended_at", nullable=True),
    )
    op.create_index("runs_by_state", "runs", ["state"])
    op.create_index("runs_by_time", "runs", ["requested_at"])
    op.create_index("runs_by_likeness", "runs", ["likeness"])


def _work() -> None:
    op.create_table(
        "steps",
        sa.Column("run", sa.Text, primary_key=True),
        sa.Column("step", sa.Text, primary_key=True),
        number("position"),
        text("state"),
        *(text(name, default="") for name in ("message", "planned", "result")),
        moment("started_at", nullable=True),
        moment("ended_at", nullable=True),
    )
    op.create_table(
        "changes",
        sa.Column("key", sa.Text, primary_key=True),
        text("run"),
        text("step"),
        number("index"),
        flag("undo"),
        number("attempt"),
        text("state"),
        text("change"),
        *(text(name, default="") for name in ("cursor", "result", "message")),
        moment("started_at"),
        moment("ended_at", nullable=True),
    )
    op.create_index("changes_by_run", "changes", ["run"])
    op.create_table(
        "output",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        text("run"),
        text("step"),
        flag("tail"),
        number("start"),
        moment("at"),
        text("text"),
        sqlite_autoincrement=True,
    )
    op.create_index("output_by_step", "output", ["run", "step", "start"])


def _people() -> None:
    op.create_table(
        "approvals",
        sa.Column("id", sa.Integer, primary_key=True),
        *(text(name) for name in ("run", "step", "digest", "approver", "origin")),
        moment("at"),
        text("void", default=""),
        sa.UniqueConstraint("run", "step", "digest", "approver", name="approvals_once"),
    )
    op.create_table(
        "acts",
        sa.Column("id", sa.Integer, primary_key=True),
        text("run"),
        text("step"),
        number("item"),
        *(text(name) for name in ("actor", "origin", "note")),
        moment("at"),
        sa.UniqueConstraint("run", "step", "item", name="acts_once"),
    )


def _locks() -> None:
    op.create_table(
        "locks",
        sa.Column("path", sa.Text, primary_key=True),
        text("run"),
        number("fence"),
        moment("since"),
    )
    op.create_index("locks_by_run", "locks", ["run"])
    op.create_table(
        "lock_tickets",
        sa.Column("ticket", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("run", sa.Text, nullable=False, unique=True),
        text("paths"),
        moment("at"),
        sqlite_autoincrement=True,
    )
