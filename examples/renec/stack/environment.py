"""The two files of variables: `app.env` for the application, `env` for those who operate it."""

from __future__ import annotations

import sys
from pathlib import Path

from stack import authority, credentials, monitoring
from stack.instance import EXAMPLE, Instance
from stack.postgres import DATABASE, roles, url
from stack.rendering import write

DRILL_PORTS = 450
ARTIFACTS_QUOTA_BYTES = 200 * 1024 * 1024


def lines(variables: dict[str, object]) -> str:
    return "".join(f"{name}={value}\n" for name, value in variables.items())


def redis_url(instance: Instance, number: int) -> str:
    return f"redis://default:{credentials.password(instance, 'redis')}@127.0.0.1:{instance.port('redis')}/{number}"


def application(instance: Instance) -> dict[str, object]:
    """What the application reads. Its database password is in a file of its own, so that it can be rotated."""
    pooled = f"postgresql://api_user@127.0.0.1:{instance.port('pgbouncer')}/{DATABASE}"
    return {
        "DATABASE_URL": pooled,
        "DATABASE_PASSWORD_FILE": instance.folder("secrets") / "api_user",
        "DATABASE_POOL_SIZE": 5,
        "DATABASE_POOL_TIMEOUT": 2,
        "MIGRATION_DATABASE_URL": url(instance, "renec", roles(instance)[0]),
        "BROKER_URL": redis_url(instance, 0),
        "REDIS_URL": redis_url(instance, 1),
        "CACHE_TTL": 30,
        "API_URL": f"http://127.0.0.1:{instance.port('api')}",
        "REGISTRY_URL": f"http://127.0.0.1:{instance.port('registry')}",
        "DOWNLOAD_DELAY": 0.05,
        "CONCURRENT_REQUESTS": 4,
        "AUTOTHROTTLE_TARGET_CONCURRENCY": 2.0,
        "FRESHNESS_LIMIT_SECONDS": 26 * 3600,
        "ARTIFACTS_DIR": instance.folder("artifacts"),
        "ARTIFACTS_QUOTA_BYTES": ARTIFACTS_QUOTA_BYTES,
        "SWITCHES_DIR": instance.folder("switches"),
        "PROMETHEUS_MULTIPROC_DIR": instance.folder("metrics"),
        "ADMIN_TOKEN": credentials.password(instance, "admin_token"),
        "READER_TOKEN": credentials.password(instance, "reader_token"),
    }


def addresses(instance: Instance) -> dict[str, str]:
    """Addresses without any secret."""
    at = {name: f"http://127.0.0.1:{instance.port(name)}" for name in ("api", "ui", "http", "registry")}
    secure = f"https://127.0.0.1:{instance.port('https')}"
    installed = monitoring.programs()
    return {
        "API_URL": secure,
        "API_DIRECT_URL": at["api"],
        "UI_URL": f"{secure}/ui",
        "UI_DIRECT_URL": at["ui"],
        "REGISTRY_URL": at["registry"],
        "API_BLUE_URL": at["api"],
        "API_GREEN_URL": f"http://127.0.0.1:{instance.port('api-green')}",
        "NGINX_STATUS_URL": f"{at['http']}/nginx_status",
        **{f"{n.upper()}_URL": f"http://127.0.0.1:{instance.port(n)}" for n in installed},
    }


def operators(instance: Instance) -> dict[str, object]:
    """What a book of this system refers to."""
    app = application(instance)
    nginx = instance.folder("etc") / "nginx"
    apart = ("DATABASE_URL", "API_URL", "REGISTRY_URL", "PROMETHEUS_MULTIPROC_DIR")
    monitor = credentials.password(instance, "opsbook_monitor")
    console = credentials.password(instance, "pgbouncer_admin")
    primary, standby = roles(instance)
    bouncer = f"127.0.0.1:{instance.port('pgbouncer')}/pgbouncer"
    return {
        **{name: value for name, value in app.items() if name not in apart},
        **addresses(instance),
        "CA_FILE": authority.trusted(instance),
        "ACME_DIRECTORY": authority.directory(instance),
        "ACME_CA_FILE": instance.folder("tls") / "ca.crt",
        "DATABASE_URL": url(instance, "opsbook_monitor", primary),
        "DATABASE_ADMIN_URL": url(instance, "renec", primary),
        "DATABASE_SUPERUSER_URL": url(instance, "postgres", primary),
        "DATABASE_READONLY_URL": url(instance, "readonly_user", primary),
        "REPLICA_URL": url(instance, "opsbook_monitor", standby),
        "REPLICA_SUPERUSER_URL": url(instance, "postgres", standby),
        # the two servers, whichever of them is the primary
        "POSTGRES_URL": url(instance, "postgres"),
        "POSTGRES_REPLICA_URL": url(instance, "postgres", "replica"),
        "PGBOUNCER_URL": f"postgresql://opsbook_monitor:{monitor}@{bouncer}",
        "PGBOUNCER_ADMIN_URL": f"postgresql://pgbouncer_admin:{console}@{bouncer}",
        "PGBOUNCER_DATABASES_FILE": instance.folder("etc") / "pgbouncer" / "databases.ini",
        "POSTGRES_DATA_DIR": instance.folder("pgdata"),
        "REPLICA_DATA_DIR": instance.folder("pgdata-replica"),
        "POSTGRES_SOCKET_DIR": instance.sockets,
        "SUPERVISOR_CONFIG": instance.supervisor_config,
        "RUN_DIR": instance.root,
        # a second system, which a drill makes and removes, on ports between those of this one
        "RENEC_COMMAND": EXAMPLE / "renec",
        "DRILL_RUN": instance.root / "drill",
        "DRILL_PORT_BASE": instance.base + DRILL_PORTS,
        "LOG_DIR": instance.folder("logs"),
        "BACKUP_DIR": instance.folder("backups"),
        "SECRETS_DIR": instance.folder("secrets"),
        "RELEASES_DIR": instance.folder("releases"),
        "CURRENT_RELEASE": instance.current,
        "APP_ENV_FILE": instance.root / "app.env",
        "MAINTENANCE_FILE": nginx / "maintenance.conf",
        "API_UPSTREAM_FILE": nginx / "upstream-api.conf",
        "PYTHON": sys.executable,
        "NGINX_CONFIG": nginx / "nginx.conf",
        "NGINX_PID_FILE": instance.folder("pids") / "nginx.pid",
        "TLS_DIR": instance.folder("tls"),
        "ACME_WEBROOT": instance.root / "acme",
        # whom opsbook tells; all of it arrives in data/messages.jsonl
        "PAGER_URL": f"http://127.0.0.1:{instance.port('webhook')}/pager",
        "CHAT_URL": f"http://127.0.0.1:{instance.port('webhook')}/chat",
        "MAIL_URL": f"smtp://127.0.0.1:{instance.port('smtp')}?from=opsbook@localhost&to=ops@localhost",
        "REDIS_PASSWORD": credentials.password(instance, "redis"),
    }


def write_files(instance: Instance) -> None:
    """Both files, mode 0600."""
    write(instance.root / "app.env", lines(application(instance)))
    write(instance.root / "env", lines(operators(instance)))


def read(path: Path) -> dict[str, str]:
    """KEY=VALUE lines of a file."""
    pairs = (line.partition("=") for line in path.read_text().splitlines() if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}
