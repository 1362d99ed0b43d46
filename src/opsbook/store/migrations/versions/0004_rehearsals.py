"""Rehearsals: what became of each procedure, and what fired in them."""

import sqlalchemy as sa
from alembic import op

from opsbook.store.migrations.columns import moment, text

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "rehearsals",
        sa.Column("id", sa.Text, primary_key=True),
        *(text(name) for name in ("environment", "book_revision", "requester")),
        moment("started_at"),
        sa.Column("ended_at", sa.Float),
    )
    op.create_table(
        "rehearsal_results",
        sa.Column("rehearsal", sa.Text, primary_key=True),
        sa.Column("procedure", sa.Text, primary_key=True),
        *(text(name) for name in ("environment", "run", "revision", "verdict", "step", "message")),
        sa.Column("seconds", sa.Float, nullable=False),
        moment("at"),
    )
    op.create_index("rehearsal_results_by_procedure", "rehearsal_results", ["procedure", "at"])
    op.create_table(
        "rehearsal_firings",
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("environment", "kind", "name")),
        *(text(name) for name in ("state", "rehearsal")),
        moment("at"),
    )
