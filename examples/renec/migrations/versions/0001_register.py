"""What is harvested: standards, certifiers, evaluation centres, and the harvests themselves."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None

NOW = sa.text("now()")
TIME = sa.DateTime(timezone=True)


def harvested(name: str, *columns: sa.Column[object]) -> None:
    op.create_table(
        name,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("code", sa.String(32), nullable=False, unique=True),
        *columns,
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("content_hash", sa.String(64), nullable=False),
        sa.Column("first_seen_at", TIME, nullable=False, server_default=NOW),
        sa.Column("last_seen_at", TIME, nullable=False, server_default=NOW, index=True),
    )


def text(name: str, index: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.Text, nullable=False, index=index)


def count(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.Integer, nullable=False, server_default="0")


def upgrade() -> None:
    harvested(
        "ec_standards_v2",
        text("title"),
        text("sector", index=True),
        sa.Column("level", sa.Integer, nullable=False),
        text("committee"),
        sa.Column("published_on", sa.Date, nullable=False),
        text("status"),
    )
    harvested(
        "certificadores_v2", text("name"), text("kind"), text("state", index=True), text("email"), count("standards")
    )
    harvested(
        "centros",
        text("name"),
        sa.Column("certifier_code", sa.String(32), nullable=False, index=True),
        text("state", index=True),
        text("municipality"),
    )
    op.create_table(
        "harvest_runs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("status", sa.String(16), nullable=False, index=True),
        sa.Column("started_at", TIME, nullable=False, server_default=NOW, index=True),
        sa.Column("heartbeat_at", TIME, nullable=False, server_default=NOW),
        sa.Column("finished_at", TIME),
        *(count(name) for name in ("expected", "items", "requests", "not_modified", "throttled", "errors")),
        sa.Column("error_types", JSONB, nullable=False, server_default="{}"),
    )
    # Two harvests at once would double the load on the register: the database allows one.
    op.create_index(
        "one_running_harvest",
        "harvest_runs",
        [sa.text("(true)")],
        unique=True,
        postgresql_where=sa.text("status = 'running'"),
    )


def downgrade() -> None:
    for name in ("harvest_runs", "centros", "certificadores_v2", "ec_standards_v2"):
        op.drop_table(name)
