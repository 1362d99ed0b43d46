"""Since when the promises of an incident count: its path may have begun anew since."""

from alembic import op

from opsbook.store.migrations.columns import moment

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    # Null is from the opening; of an incident that was reopened before this came, from its last round.
    op.add_column("incidents", moment("clocks_from", nullable=True))
