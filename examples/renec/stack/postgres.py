"""PostgreSQL: the primary, its roles and database, and the replica."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from pathlib import Path

import psycopg
from psycopg import sql

from stack import binaries, credentials
from stack.errors import StackError
from stack.instance import Instance, server_account
from stack.rendering import give_to_server, render, write
from stack.waiting import until

DATABASE = "renec_harvester"
SLOT = "replica_1"
PRIMARY, REPLICA = "pgdata", "pgdata-replica"
START_SECONDS = 120

ROLES = {
    "renec": "LOGIN IN ROLE pg_signal_backend",
    "api_user": "LOGIN",
    "readonly_user": "LOGIN",
    "opsbook_monitor": "LOGIN IN ROLE pg_monitor",
    "replicator": "LOGIN REPLICATION",
    "pgbouncer_auth": "LOGIN",
}
IN_DATABASE = """
CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
CREATE EXTENSION IF NOT EXISTS pgstattuple;
ALTER SCHEMA public OWNER TO renec;
CREATE SCHEMA IF NOT EXISTS pgbouncer;
GRANT USAGE ON SCHEMA pgbouncer TO pgbouncer_auth;
CREATE OR REPLACE FUNCTION pgbouncer.get_auth(wanted text) RETURNS TABLE (username text, password text)
  LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog
  AS 'SELECT rolname::text, rolpassword FROM pg_authid WHERE rolname = wanted AND rolcanlogin AND NOT rolsuper';
REVOKE ALL ON FUNCTION pgbouncer.get_auth(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgbouncer.get_auth(text) TO pgbouncer_auth;
"""


def changed_places(instance: Instance) -> bool:
    """Whether a failover made the replica the primary: what was the primary has the signal of a standby then.

    In containers it is the pool's file that tells: a failover rewrites it.
    """
    pool = instance.folder("pgbouncer") / "databases.ini"
    if pool.exists():
        return "host=postgres-replica" in pool.read_text()
    return (instance.folder(PRIMARY) / "standby.signal").exists()


def roles(instance: Instance) -> tuple[str, str]:
    """The ports of the primary and of the standby, by name."""
    return ("replica", "postgres") if changed_places(instance) else ("postgres", "replica")


def url(instance: Instance, role: str, port: str = "postgres", database: str = DATABASE) -> str:
    """A connection address with the role's password."""
    return f"postgresql://{role}:{credentials.password(instance, role)}@127.0.0.1:{instance.port(port)}/{database}"


def as_server(argv: list[str], variables: dict[str, str] | None = None) -> None:
    """Run a program of PostgreSQL as its user. Raises StackError with what the program said."""
    account = server_account()
    done = subprocess.run(
        argv,
        user=account,
        group=account,
        extra_groups=[] if account else None,
        cwd="/",
        env={**os.environ, "LC_ALL": "C.UTF-8", **(variables or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise StackError(f"{Path(argv[0]).name}: {done.stderr.strip() or done.stdout.strip()}")


def make_cluster(instance: Instance) -> None:
    """initdb with checksums and passwords, then our settings as an included file."""
    data = instance.folder(PRIMARY)
    if (data / "PG_VERSION").exists():
        return
    data.mkdir(mode=0o700, exist_ok=True)
    give_to_server(data)
    first = instance.folder("etc") / "superuser-password"
    write(first, credentials.password(instance, "postgres") + "\n", for_server=True)
    try:
        as_server(
            [binaries.postgres("initdb"), "-D", str(data), "-U", "postgres", f"--pwfile={first}", "--data-checksums",
             "--auth-host=scram-sha-256", "--auth-local=peer", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        )  # fmt: skip
    finally:
        first.unlink()
    write(data / "renec.conf", render("postgresql.conf", sockets=instance.sockets), for_server=True)
    with (data / "postgresql.conf").open("a") as file:
        file.write("\ninclude = 'renec.conf'\n")
    write(data / "pg_hba.conf", render("pg_hba.conf"), for_server=True)
    accounts = {server_account() or getpass.getuser(), getpass.getuser()}
    write(data / "pg_ident.conf", "".join(f"server {a} postgres\n" for a in sorted(accounts)), for_server=True)


def accepts(address: str) -> bool:
    """Whether a server answers a query at this address."""
    try:
        with psycopg.connect(address, connect_timeout=2) as connection:
            connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def wait_for_primary(instance: Instance) -> None:
    address = url(instance, "postgres", database="postgres")
    until(
        lambda: accepts(address),
        START_SECONDS,
        "PostgreSQL did not answer",
        f"see {instance.folder('logs')}/postgres.log",
    )


def make_roles(instance: Instance) -> None:
    """The roles with their passwords (sent as SCRAM verifiers, so no log can hold them) and the database."""
    with psycopg.connect(url(instance, "postgres", database="postgres"), autocommit=True) as connection:
        known = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles")}
        for role, rights in ROLES.items():
            secret = credentials.password(instance, role).encode()
            verifier = connection.pgconn.encrypt_password(secret, role.encode(), b"scram-sha-256").decode()
            if role not in known:
                create = sql.SQL("CREATE ROLE {} {} PASSWORD {}")
                # CREATE ROLE … IN ROLE … must come last
                options, _, member = rights.partition(" IN ROLE ")
                connection.execute(create.format(sql.Identifier(role), sql.SQL(options), sql.Literal(verifier)))
                if member:
                    connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(member), sql.Identifier(role)))
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER renec").format(sql.Identifier(DATABASE)))
    with psycopg.connect(url(instance, "postgres"), autocommit=True) as connection:
        connection.execute(IN_DATABASE)


def make_replica(instance: Instance) -> None:
    """A base backup that streams from the primary over a replication slot."""
    data = instance.folder(REPLICA)
    if (data / "PG_VERSION").exists():
        return
    if data.exists():
        shutil.rmtree(data)
    data.mkdir(mode=0o700)
    give_to_server(data)
    passfile = instance.folder("etc") / "replicator.pgpass"
    secret = credentials.password(instance, "replicator")
    write(passfile, f"127.0.0.1:*:*:replicator:{secret}\n", for_server=True)
    as_server(
        [binaries.postgres("pg_basebackup"), "-d", f"host=127.0.0.1 port={instance.port('postgres')} user=replicator"
         f" passfile={passfile} application_name=replica", "-D", str(data), "-R", "-X", "stream", "-C", "-S", SLOT,
         "-c", "fast", "--no-sync", "-w"]
    )  # fmt: skip
