"""Runs migrations as the owner of the schema: MIGRATION_DATABASE_URL, not the application's own role."""

from __future__ import annotations

import os

from alembic import context
from sqlalchemy import create_engine, pool, text

from src.models import Table
from src.settings import read_variables, settings_file

LOCK_TIMEOUT = "10s"


def database_url() -> str:
    """The owner's address, from `-x url=…`, the environment or the settings file."""
    given = context.get_x_argument(as_dictionary=True).get("url") or os.environ.get("MIGRATION_DATABASE_URL")
    url = given or read_variables(settings_file())["MIGRATION_DATABASE_URL"]
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


def migrate_offline() -> None:
    """Print the SQL instead of running it."""
    context.configure(url=database_url(), target_metadata=Table.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


def migrate_online() -> None:
    """Run the migrations, each in its own transaction, giving up on a lock after ten seconds."""
    engine = create_engine(database_url(), poolclass=pool.NullPool)
    with engine.connect() as connection:
        connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
        connection.commit()
        context.configure(connection=connection, target_metadata=Table.metadata, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    migrate_offline()
else:
    migrate_online()
