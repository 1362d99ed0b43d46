"""The runs that ended last, of whichever procedures, are found by an index."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    # Procedure and state come last: runs of others are passed over without a look at their rows, which are large.
    op.create_index("runs_by_end", "runs", ["system", "environment", "ended_at", "id", "procedure", "state"])
