"""Setting an instance up, once: databases, roles, schema, certificates, the first release."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from stack import (
    authority,
    certificates,
    credentials,
    environment,
    monitoring,
    nginx,
    pgbouncer,
    postgres,
    readiness,
    redis,
    releases,
    supervisor,
)
from stack.errors import StackError
from stack.instance import Instance
from stack.progress import Progress
from stack.rendering import give_to_server

SEEDED_ROWS, SEEDED_DAYS = 5000, 500


def configure(instance: Instance) -> None:
    """Write every configuration file anew, except those that operations own."""
    credentials.generate(instance)
    for part in (redis, pgbouncer, nginx, monitoring, authority, supervisor):
        part.configure(instance)
    environment.write_files(instance)


def prepare(instance: Instance, progress: Progress) -> None:
    """What needs no running server: passwords, cluster, certificates, release."""
    credentials.generate(instance)
    give_to_server(instance.folder("backups"))  # a backup tool of PostgreSQL runs as its user
    with ThreadPoolExecutor(2) as pool, progress.step("database cluster, certificates, first release"):
        cluster = pool.submit(postgres.make_cluster, instance)
        certificates.make_authority(instance)
        certificates.issue(instance)
        version = releases.first_version()
        if not (instance.folder("releases") / version).exists():
            releases.make(instance, version)
        releases.point_current_to(instance, version)
        cluster.result()
    configure(instance)


def fill(instance: Instance, progress: Progress) -> None:
    """What needs the primary: roles, schema, old log rows, the replica's base backup."""
    with progress.step("roles and database"):
        postgres.make_roles(instance)
    with ThreadPoolExecutor(1) as pool, progress.step("schema, seed rows and the replica's base backup"):
        replica = pool.submit(postgres.make_replica, instance)
        in_release(instance, "-m", "alembic", "upgrade", "head")
        readiness.wait(instance, supervisor.program(instance, "pgbouncer"))
        in_release(instance, "-m", "src.cli", "seed-logs", "--rows", str(SEEDED_ROWS), "--days", str(SEEDED_DAYS))
        replica.result()


def release_environment(instance: Instance) -> dict[str, str]:
    """The environment of a command that works as the application does."""
    return {
        **os.environ,
        **environment.read(instance.root / "app.env"),
        "RENEC_SETTINGS": str(instance.root / "app.env"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }


def in_release(instance: Instance, *arguments: str) -> None:
    """Run Python in the current release. Raises StackError with what it said."""
    command = [sys.executable, *arguments]
    variables = release_environment(instance)
    done = subprocess.run(command, cwd=instance.current, env=variables, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StackError(f"{' '.join(arguments)}: {(done.stderr or done.stdout).strip()[-400:]}")
