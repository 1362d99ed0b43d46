"""PgBouncer: the pool in front of the database. Users are looked up in the database; the console has its own file."""

from __future__ import annotations

from stack import credentials
from stack.instance import Instance
from stack.postgres import DATABASE
from stack.rendering import give_to_server, render, write

IN_FILE = ("pgbouncer_auth", "pgbouncer_admin", "opsbook_monitor")


def configure(instance: Instance) -> None:
    """Write the configuration. The file of databases is left alone once it exists: a failover rewrites it."""
    folder = instance.folder("etc") / "pgbouncer"
    folder.mkdir(exist_ok=True)
    give_to_server(folder)
    databases, userlist = folder / "databases.ini", folder / "userlist.txt"
    if not databases.exists():
        line = f"{DATABASE} = host=127.0.0.1 port={instance.port('postgres')} dbname={DATABASE}"
        write(databases, f"[databases]\n{line}\n", for_server=True)
    users = "".join(f'"{name}" "{credentials.password(instance, name)}"\n' for name in IN_FILE)
    write(userlist, users, for_server=True)
    text = render(
        "pgbouncer.ini",
        databases=databases,
        userlist=userlist,
        port=instance.port("pgbouncer"),
        pidfile=folder / "pgbouncer.pid",
    )
    write(folder / "pgbouncer.ini", text, for_server=True)
