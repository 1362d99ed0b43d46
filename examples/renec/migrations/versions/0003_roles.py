"""What each role may do. The roles themselves belong to the cluster and exist before."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

APP = ("ec_standards_v2", "certificadores_v2", "centros", "harvest_runs", "spider_logs", "api_logs", "task_runs")


def upgrade() -> None:
    tables = ", ".join(APP)
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO api_user")
    op.execute("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO api_user")
    op.execute(f"GRANT SELECT ON {tables}, alembic_version TO readonly_user, opsbook_monitor")
    op.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO api_user")
    op.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO api_user")
    op.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO readonly_user, opsbook_monitor")


def downgrade() -> None:
    op.execute(
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON TABLES FROM api_user, readonly_user, opsbook_monitor"
    )
    op.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON SEQUENCES FROM api_user")
    op.execute("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM api_user, readonly_user, opsbook_monitor")
    op.execute("REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM api_user")
