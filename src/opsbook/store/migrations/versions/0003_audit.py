"""The audit chain."""

import sqlalchemy as sa
from alembic import op

from opsbook.store.migrations.columns import moment, text

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        moment("at"),
        *(text(name) for name in ("actor", "origin", "event")),
        sa.Column("run", sa.Text),
        sa.Column("step", sa.Text),
        sa.Column("attempt", sa.Integer),
        *(text(name) for name in ("procedure", "digest", "outcome", "detail", "hash")),
        sa.UniqueConstraint("run", "step", "attempt", "event", name="audit_once"),
    )
