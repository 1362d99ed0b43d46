"""Operations of PostgreSQL under the kill sweep. The server's own statistics count what was executed to its end."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from tests.faults.sites import Case, Site, given
from tests.integration.servers import Postgres, until

ROWS = 30_000


class Sleeper:
    """A session that sleeps in one statement after the other, and counts how often it was cancelled."""

    def __init__(self, server: Postgres) -> None:
        self.connection = server.connect(application_name="victim")
        self.cancelled, self.closing = 0, False
        self.thread = threading.Thread(target=self._sleep, daemon=True)
        self.thread.start()

    def _sleep(self) -> None:
        while not self.closing:
            try:
                self.connection.execute("SELECT pg_sleep(300)")
            except psycopg.errors.QueryCanceled:
                self.cancelled += 1
            except psycopg.Error:
                return

    def close(self) -> None:
        self.closing = True
        with contextlib.suppress(psycopg.Error):
            self.connection.cancel()
        self.thread.join(10)
        self.connection.close()


class PostgresSite(Site):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        # The server's own user must be able to come here, whoever may enter the given folder.
        self.data = Path(tempfile.mkdtemp(prefix="opsbook-pg-"))
        self.server = Postgres(self.data)
        self.sessions: list[psycopg.Connection[Any]] = []
        self.sleeper: Sleeper | None = None

    def start(self) -> None:
        self.server.create(track_activity_query_size="4096").start().prepare()

    def stop(self) -> None:
        self.leave()
        self.server.stop("immediate")
        shutil.rmtree(self.data, ignore_errors=True)

    @property
    def components(self) -> dict[str, dict[str, Any]]:
        admin = self.server.url(database="app")
        return {"database": {"kind": "postgres", "dsn": self.server.monitor, "admin": admin}}

    def leave(self) -> None:
        """End the sessions that were there to be ended."""
        for one in self.sessions:
            one.close()
        self.sessions = []
        if self.sleeper is not None:
            self.sleeper.close()
            self.sleeper = None

    def orders(self) -> None:
        """A table with dead rows, an index, and old rows whose end is noted row by row."""
        self.leave()
        self.server.sql(
            "DROP TABLE IF EXISTS orders, gone",
            "CREATE TABLE orders (id int PRIMARY KEY, state text, at timestamptz)",
            "CREATE TABLE gone (id int)",
            f"INSERT INTO orders SELECT n, 'new', now() - n * interval '1 minute' FROM generate_series(1, {ROWS}) n",
            "CREATE INDEX orders_state ON orders (state)",
            "DELETE FROM orders WHERE id % 3 = 0",
            "CREATE OR REPLACE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN INSERT INTO gone VALUES (OLD.id); RETURN OLD; END'",
            "CREATE TRIGGER note BEFORE DELETE ON orders FOR EACH ROW EXECUTE FUNCTION note()",
            "GRANT SELECT ON orders TO monitor",
            "SELECT pg_stat_statements_reset()",
        )

    def calls(self, pattern: str) -> int:
        """How many statements of this form were executed to their end."""
        seen = "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements WHERE query ~* %s"
        with self.server.connect() as connection:
            (found,) = connection.execute(seen, [pattern]).fetchone() or (0,)
        return int(found)

    def value(self, query: str) -> Any:
        return self.server.sql(query)[0][0]


def executed(pattern: str) -> Callable[[PostgresSite], int]:
    return lambda site: site.calls(pattern)


def _idle(site: PostgresSite) -> None:
    site.leave()
    site.sessions = [site.server.connect(application_name="victim"), site.server.connect(application_name="other")]


def _ended(site: PostgresSite) -> int:
    """Sessions of the scope that were ended; the other one must live."""
    assert site.sessions[1].execute("SELECT 1").fetchone()
    try:
        site.sessions[0].execute("SELECT 1")
    except psycopg.Error:
        return 1
    return 0


def _sleeping(site: PostgresSite) -> None:
    site.leave()
    site.sleeper = Sleeper(site.server)
    active = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'victim' AND state = 'active'"
    until(lambda: site.value(active), what="it sleeps")


def _cancelled(site: PostgresSite) -> int:
    assert site.sleeper is not None
    return site.sleeper.cancelled


def _setting(*before: str) -> Callable[[PostgresSite], None]:
    def prepare(site: PostgresSite) -> None:
        site.server.sql(*before, "SELECT pg_reload_conf()", "SELECT pg_stat_statements_reset()")

    return prepare


def _statements(*before: str) -> Callable[[PostgresSite], None]:
    def prepare(site: PostgresSite) -> None:
        site.orders()
        site.server.sql(*before, "SELECT pg_stat_statements_reset()")

    return prepare


def _slot(site: PostgresSite) -> None:
    drop = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'left'"
    make = "SELECT pg_create_physical_replication_slot('left', true)"
    site.server.sql(drop, make, "SELECT pg_stat_statements_reset()")


def _purged(site: PostgresSite) -> int:
    """The most often that one row went, and nothing but the old ones."""
    assert site.value("SELECT count(*) FROM orders WHERE at > now() - interval '1 day'") > 0
    left = site.value("SELECT count(*) FROM orders WHERE at < now() - interval '15 days'")
    most = site.value("SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM gone GROUP BY id) AS each")
    return int(most) if not left else 0


TUNED = "work_mem=13MB, deadlock_timeout=2s, fillfactor of public.orders=80"
UNTUNED = ("ALTER SYSTEM RESET work_mem", "ALTER SYSTEM RESET deadlock_timeout", "SELECT pg_reload_conf()")
IS_TUNED = """
SELECT count(*) = 3 FROM (
  SELECT FROM pg_settings WHERE (name, setting) IN (('work_mem', '13312'), ('deadlock_timeout', '2000'))
  UNION ALL SELECT FROM pg_class WHERE oid = 'orders'::regclass AND 'fillfactor=80' = ANY (reloptions)
) AS so
"""


def _tuned(site: PostgresSite) -> int:
    """The most often that one of the settings was set; 0 where one is not as it should be."""
    most = "SELECT coalesce(max(calls), 0) FROM pg_stat_statements WHERE query ~* '^ALTER (SYSTEM|TABLE)'"
    return int(site.value(most)) if site.value(IS_TUNED) else 0


def case(parameters: dict[str, Any], prepare: Callable[[Any], None], count: Callable[[Any], int]) -> Case:
    return Case("database", given(**parameters), prepare, count)


ROLE = "DROP OWNED BY helper; DROP ROLE IF EXISTS helper"
NO_ROLE = f"DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'helper') THEN {ROLE}; END IF; END $$"

CASES: dict[str, Case] = {
    "postgres.vacuum": case({"tables": ["orders"]}, PostgresSite.orders, executed("^VACUUM")),
    "postgres.analyze": case({"tables": ["orders"]}, PostgresSite.orders, executed("^ANALYZE")),
    "postgres.vacuum_full": case({"table": "orders"}, PostgresSite.orders, executed("^VACUUM .*FULL")),
    "postgres.reindex": case({"table": "orders"}, PostgresSite.orders, executed("^REINDEX")),
    "postgres.create_index": case(
        {"table": "orders", "columns": ["at"], "name": "orders_at"}, PostgresSite.orders, executed("^CREATE INDEX")
    ),
    "postgres.drop_index": case(
        {"table": "orders", "index": "orders_state"}, PostgresSite.orders, executed("^DROP INDEX")
    ),
    "postgres.purge": case(
        {"table": "orders", "column": "at", "older_than": "15d", "batch": 500}, PostgresSite.orders, _purged
    ),
    "postgres.terminate": case({"application": "victim"}, _idle, _ended),
    "postgres.cancel": case({"application": "victim"}, _sleeping, _cancelled),
    "postgres.setting": case(
        {"name": "work_mem", "value": "13MB"}, _setting("ALTER SYSTEM RESET work_mem"), executed("^ALTER SYSTEM")
    ),
    "postgres.reset_setting": case(
        {"name": "work_mem"}, _setting("ALTER SYSTEM SET work_mem = '14MB'"), executed("^ALTER SYSTEM")
    ),
    "postgres.tune": case({"settings": TUNED}, _statements(*UNTUNED), _tuned),
    "postgres.role": case({"role": "helper"}, _statements(NO_ROLE), executed("(CREATE|ALTER) ROLE")),
    "postgres.grant": case(
        {"role": "stranger", "privileges": ["INSERT"], "tables": ["orders"]}, PostgresSite.orders, executed("^GRANT")
    ),
    "postgres.revoke": case(
        {"role": "stranger", "privileges": ["SELECT"], "tables": ["orders"]},
        _statements("GRANT SELECT ON orders TO stranger"),
        executed("^REVOKE"),
    ),
    "postgres.drop_slot": case({"slot": "left"}, _slot, executed("pg_drop_replication_slot")),
    "postgres.explain": case({"statement": "SELECT count(*) FROM orders"}, PostgresSite.orders, executed("^EXPLAIN")),
    "postgres.query": case({"sql": "SELECT 4711 AS asked"}, _statements(), executed("AS asked")),
}
