"""A database with everything in it that is hard to restore, a book that backs it up, and a backup of it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import opsbook.recovery.drills  # noqa: F401 - hands the judge of assertions down
from opsbook.book.system import System
from opsbook.connectors.backups import postgres_dump
from opsbook.connectors.backups.catalogue import StoredBackup, backup_named, backup_store, found
from opsbook.connectors.change import Change, Done
from opsbook.connectors.registry import open_connections, registered
from opsbook.engine.facts import RecordedFacts
from opsbook.operations.registry import operations
from tests.integration.executing import RUN, Output
from tests.integration.servers import BIN, Postgres, make_system

STRUCTURE = """
CREATE ROLE shop_owner; CREATE ROLE shop_reader; CREATE ROLE shop_app LOGIN PASSWORD 'pw';
ALTER DATABASE shop OWNER TO shop_owner; ALTER DATABASE shop SET search_path = "$user", public, "Odd Schema";
ALTER DATABASE shop SET work_mem = '8MB'; ALTER DATABASE shop CONNECTION LIMIT 37;
ALTER ROLE shop_app IN DATABASE shop SET statement_timeout = '9s';
REVOKE ALL ON DATABASE shop FROM PUBLIC; GRANT CONNECT ON DATABASE shop TO shop_app;
CREATE SCHEMA "Odd Schema" AUTHORIZATION shop_owner;
CREATE EXTENSION citext; CREATE EXTENSION hstore SCHEMA "Odd Schema";
CREATE TYPE mood AS ENUM ('fine', 'so-so'); CREATE DOMAIN price AS numeric CHECK (value >= 0);
CREATE TABLE customers (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name citext UNIQUE, mood mood,
    born date, notes jsonb, photo bytea, tags text[], attrs "Odd Schema".hstore,
    upper_name text GENERATED ALWAYS AS (upper(name::text)) STORED);
CREATE TABLE orders (id bigserial PRIMARY KEY, customer int NOT NULL REFERENCES customers ON DELETE CASCADE,
    total price, at timestamptz DEFAULT now(), note text, CHECK (total < 1000000));
CREATE INDEX orders_at ON orders (at DESC) WHERE total > 10; CREATE INDEX ON orders USING hash (note);
CREATE STATISTICS orders_together ON customer, total FROM orders;
CREATE TABLE "Odd Schema"."Semi;colon ""odd"" one" ("a b" text, "select" float8, c interval, d inet);
CREATE TABLE events (id bigint, at date NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE events_old PARTITION OF events FOR VALUES FROM (MINVALUE) TO ('2026-01-01');
CREATE TABLE events_new PARTITION OF events FOR VALUES FROM ('2026-01-01') TO (MAXVALUE);
CREATE TABLE parent (a int); CREATE TABLE child (b int) INHERITS (parent);
CREATE TABLE empty_one (id int); CREATE TABLE no_columns (); CREATE UNLOGGED TABLE fleeting (x int);
CREATE SEQUENCE untouched START 7; CREATE SEQUENCE used;
CREATE VIEW rich AS SELECT * FROM orders WHERE total > 500;
CREATE MATERIALIZED VIEW totals AS SELECT customer, sum(total) AS total FROM orders GROUP BY customer;
CREATE MATERIALIZED VIEW top AS SELECT * FROM totals ORDER BY total DESC LIMIT 3;
CREATE UNIQUE INDEX ON totals (customer);
CREATE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no rows come by hand'; END $$;
CREATE TRIGGER no_inserts BEFORE INSERT ON events_old FOR EACH ROW EXECUTE FUNCTION forbid();
ALTER TABLE events_old DISABLE TRIGGER no_inserts;
ALTER TABLE customers ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON customers USING (name = current_user);
ALTER TABLE orders ADD CONSTRAINT late CHECK (id > 0) NOT VALID;
ALTER TABLE orders OWNER TO shop_owner; ALTER TABLE customers OWNER TO shop_owner;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO shop_reader; GRANT INSERT (note) ON orders TO shop_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO shop_reader;
COMMENT ON TABLE orders IS 'what was sold';
"""
ROWS = """
INSERT INTO customers (name, mood, born, notes, photo, tags, attrs)
  SELECT 'name ' || n || E'\\t\\\\ \\n é 漢', CASE n % 3 WHEN 0 THEN 'fine' WHEN 1 THEN 'so-so' END::mood,
    date '1990-01-01' + n, jsonb_build_object('n', n, 'x', NULL), decode(md5(n::text), 'hex'),
    ARRAY['a,b', NULL, '"q"'], "Odd Schema".hstore('k', n::text) FROM generate_series(1, 300) AS n;
INSERT INTO orders (customer, total, note)
  SELECT 1 + n % 300, n % 997, CASE WHEN n % 5 > 0 THEN repeat(md5(n::text), 4) END
  FROM generate_series(1, 12000) AS n;
INSERT INTO "Odd Schema"."Semi;colon ""odd"" one" VALUES ('\\N', 'NaN', '1 mon -3 days', '10.0.0.0/8'),
  ('', '-infinity', NULL, '::1'), (NULL, 0.1, '00:00:01.5', NULL);
INSERT INTO events SELECT n, date '2025-06-01' + n FROM generate_series(1, 500) AS n;
INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2, 3); INSERT INTO no_columns DEFAULT VALUES;
INSERT INTO fleeting VALUES (1); SELECT nextval('used'), nextval('used');
REFRESH MATERIALIZED VIEW totals; REFRESH MATERIALIZED VIEW top;
SELECT lo_from_bytea(0, 'a large object');
ANALYZE
"""
ASSERTIONS = [
    {"id": "orders", "of": "database", "sql": "SELECT count(*) FROM orders", "expect": "value >= 12000"},
    {"id": "no-orphans", "of": "database", "title": "No order is without its customer",
     "sql": "SELECT o.id FROM orders o LEFT JOIN customers c ON c.id = o.customer WHERE c.id IS NULL",
     "expect": "rows == 0"},
]  # fmt: skip


class Key:
    """Signs, as the audit chain's key does."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()

    @property
    def public(self) -> str:
        import base64

        return base64.b64encode(self._key.public_key().public_bytes_raw()).decode()

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data)


@dataclass
class Shop:
    """The server, the book and the store of its backups."""

    server: Postgres
    folder: Path
    signer: Key = field(default_factory=Key)
    keys: dict[str, Any] = field(default_factory=dict)
    number: int = 0

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def system(self) -> System:
        url = self.server.url(database="shop")
        database = {"kind": "postgres", "dsn": url, "admin": url}
        backup = {"id": "nightly", "of": "database", "method": "dump", "to": str(self.store), "jobs": 3, "retry": 0}
        keys = {"assertions": ASSERTIONS, "objectives": {"database": {"rto": "2h", "rpo": "1h"}}, **self.keys}
        backups = [{**backup, **keys.pop("backup", {})}]
        own = keys.pop("components", {})
        components = {"database": database, "backups": {"kind": "files", "path": str(self.store)}, **own}
        return make_system(self.folder / "book", components, backups=backups, **keys)

    async def plan(self, operation: str, **parameters: Any) -> list[Change]:
        """The changes of an operation on the database."""
        system = self.system
        given = {"of": "database", **parameters}
        one = operations()[operation]
        async with open_connections(system, self.signer) as connections:
            from opsbook.clock import SystemClock

            facts = RecordedFacts(system, SystemClock(), connections)
            return [change async for change in one.plan(one.spec.parameters.model_validate(given), facts)]

    async def do(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Plan it and apply it; the result of its last change."""
        told: dict[str, Any] = {}
        for change in await self.plan(operation, **parameters):
            told = await self.apply(change)
        return told

    async def apply(self, change: Change, key: str = "", out: Output | None = None) -> dict[str, Any]:
        """One change, under a key of its own."""
        self.number += 1
        async with open_connections(self.system, self.signer) as connections:
            make = registered().executors[change.kind]
            done = await make(connections).apply(key or f"{RUN}{self.number}/step/0", change, None, out or Output())
        assert isinstance(done, Done)
        return dict(done.result)

    def newest(self) -> StoredBackup:
        store = backup_store(self.system, backup_named(self.system, "nightly"))
        try:
            return found(store, "nightly", known=self.signer.public)
        finally:
            store.close()

    def newest_stamp(self) -> str:
        return next(one.name for one in sorted((self.store / "test" / "nightly").iterdir(), reverse=True))

    def objects(self) -> list[Path]:
        """The stored objects of the newest backup, the largest first."""
        folder = self.store / "test" / "nightly" / self.newest_stamp() / "objects"
        return sorted((one for one in folder.rglob("*") if one.is_file()), key=lambda one: -one.stat().st_size)

    def databases(self) -> set[str]:
        return {str(name) for (name,) in self.server.sql("SELECT datname FROM pg_database", database="postgres")}

    def schema(self, database: str) -> str:
        """The structure of a database as pg_dump tells it."""
        argv = [str(BIN / "pg_dump"), "--schema-only", "--dbname", self.server.url(database=database)]
        told = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        # Since 15.14 each dump has a key of its own against what it restores.
        return "\n".join(line for line in told.splitlines() if not line.startswith(("\\restrict", "\\unrestrict")))

    def rows(self, query: str, database: str = "shop") -> list[Any]:
        return self.server.sql(query, database=database)


def prepared(server: Postgres, folder: Path) -> Shop:
    """The database on a server, without a backup yet."""
    server.sql("CREATE DATABASE shop", database="postgres")
    with psycopg.connect(server.url(database="shop"), autocommit=True) as connection:
        for text in (STRUCTURE, ROWS):
            connection.execute(text.encode())  # simple protocol: many statements
    return Shop(server, folder)


def in_small_parts(monkeypatch: Any) -> None:
    """Tables of some hundred kB are cut as large ones are."""
    monkeypatch.setattr(postgres_dump, "PART", 256 << 10)
