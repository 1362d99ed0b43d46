"""What is recorded while working: spider events, API requests, task runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

NOW = sa.text("now()")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "spider_logs",
        sa.Column("id", sa.BigInteger, primary_key=True),
        sa.Column("run_id", sa.Integer, sa.ForeignKey("harvest_runs.id", ondelete="SET NULL"), index=True),
        sa.Column("level", sa.String(8), nullable=False),
        sa.Column("event", sa.String(32), nullable=False),
        sa.Column("error_type", sa.String(64)),
        sa.Column("url", sa.Text),
        sa.Column("status", sa.Integer),
        sa.Column("message", sa.Text, nullable=False, server_default=""),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW, index=True),
    )
    op.create_table(
        "api_logs",
        sa.Column("id", sa.BigInteger, primary_key=True),
        sa.Column("method", sa.String(8), nullable=False),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("duration_ms", sa.Float, nullable=False),
        sa.Column("client", sa.Text, nullable=False),
        sa.Column("release", sa.String(32), nullable=False),
        sa.Column("created_at", TIME, nullable=False, server_default=NOW, index=True),
    )
    op.create_table(
        "task_runs",
        sa.Column("id", sa.BigInteger, primary_key=True),
        sa.Column("task", sa.Text, nullable=False, index=True),
        sa.Column("task_id", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("started_at", TIME, nullable=False, server_default=NOW, index=True),
        sa.Column("finished_at", TIME),
        sa.Column("error", sa.Text),
    )


def downgrade() -> None:
    for name in ("task_runs", "api_logs", "spider_logs"):
        op.drop_table(name)
