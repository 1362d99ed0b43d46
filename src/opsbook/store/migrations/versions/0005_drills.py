"""Drills: what each measured, and whether it was good."""

import sqlalchemy as sa
from alembic import op

from opsbook.store.migrations.columns import flag, moment, text

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "drills",
        sa.Column("run", sa.Text, primary_key=True),
        sa.Column("objective", sa.Text, primary_key=True),
        moment("at"),
        *(text(name) for name in ("environment", "drill", "kind", "backup", "stamp", "phases", "problems")),
        *(sa.Column(name, sa.Float) for name in ("restored_seconds", "verified_seconds", "rto_seconds", "rpo_seconds")),
        sa.Column("lost_rows", sa.BigInteger),
        sa.Column("bytes", sa.BigInteger),
        flag("good"),
    )
    op.create_index("drills_by_objective", "drills", ["objective", "at"])
