"""Results of checks."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "check_results",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("check_id", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("value", sa.Float, nullable=True),
        sa.Column("sentence", sa.Text, nullable=False),
    )
    op.create_index("check_results_by_check", "check_results", ["environment", "check_id", "at"])
