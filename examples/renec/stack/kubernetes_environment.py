"""The variables of the system on Kubernetes: those of the application, and those of who operates it from outside."""

from __future__ import annotations

import shutil

from stack import credentials
from stack.environment import lines
from stack.instance import Instance
from stack.postgres import DATABASE
from stack.rendering import write


def database(instance: Instance, role: str, host: str = "database", name: str = DATABASE) -> str:
    return f"postgresql://{role}:{credentials.password(instance, role)}@{host}:5432/{name}"


def application(instance: Instance) -> dict[str, str]:
    """What of the application's variables holds a secret: the Secret `app`."""
    queue = f"redis://default:{credentials.password(instance, 'redis')}@redis:6379"
    return {
        "MIGRATION_DATABASE_URL": database(instance, "renec"),
        "BROKER_URL": f"{queue}/0",
        "REDIS_URL": f"{queue}/1",
        "ADMIN_TOKEN": credentials.password(instance, "admin_token"),
        "READER_TOKEN": credentials.password(instance, "reader_token"),
    }


def operators(instance: Instance, namespace: str) -> dict[str, object]:
    """What the book refers to. Addresses are those of the cluster: its components say `through: runtime`."""
    monitor = credentials.password(instance, "opsbook_monitor")
    console = credentials.password(instance, "pgbouncer_admin")
    return {
        **application(instance),
        "RENEC_NAMESPACE": namespace,
        "API_URL": "https://nginx",
        "API_DIRECT_URL": "http://api:8000",
        "API_BLUE_URL": "http://api-blue:8000",
        "API_GREEN_URL": "http://api-green:8000",
        "UI_URL": "https://nginx/ui",
        "UI_DIRECT_URL": "http://ui:8000",
        "REGISTRY_URL": "http://registry-site:8090",
        "PROMETHEUS_URL": "http://prometheus:9090",
        "ALERTMANAGER_URL": "http://alertmanager:9093",
        "CA_FILE": instance.folder("tls") / "ca.crt",
        "DATABASE_URL": database(instance, "opsbook_monitor"),
        "DATABASE_ADMIN_URL": database(instance, "renec"),
        "DATABASE_SUPERUSER_URL": database(instance, "postgres"),
        "DATABASE_READONLY_URL": database(instance, "readonly_user"),
        "REPLICA_URL": database(instance, "opsbook_monitor", "database-standby"),
        "REPLICA_SUPERUSER_URL": database(instance, "postgres", "database-standby"),
        # the two servers, whichever of them is the primary
        "POSTGRES_URL": database(instance, "postgres", "postgres"),
        "POSTGRES_REPLICA_URL": database(instance, "postgres", "postgres-replica"),
        "PGBOUNCER_URL": f"postgresql://opsbook_monitor:{monitor}@pgbouncer:6432/pgbouncer",
        "PGBOUNCER_ADMIN_URL": f"postgresql://pgbouncer_admin:{console}@pgbouncer:6432/pgbouncer",
        "REDIS_PASSWORD": credentials.password(instance, "redis"),
        "RUN_DIR": instance.root,
        # what is kept on this host: nothing of the pods, whose logs their nodes keep
        "LOG_DIR": instance.folder("logs"),
        "BACKUP_DIR": instance.folder("backups"),
        "SECRETS_DIR": instance.folder("secrets"),
        "TLS_DIR": instance.folder("tls"),
        "PAGER_URL": "http://post-office:8010/pager",
        "CHAT_URL": "http://post-office:8010/chat",
        "MAIL_URL": "smtp://post-office:8025?from=opsbook@localhost&to=ops@localhost",
    }


def write_file(instance: Instance, namespace: str) -> None:
    """The file `env`, mode 0600."""
    write(instance.root / "env", lines(operators(instance, namespace)))


def forget(instance: Instance) -> None:
    """Remove what was kept of the system on this host."""
    shutil.rmtree(instance.root, ignore_errors=True)
