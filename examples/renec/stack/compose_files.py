"""The folder of an instance on compose: `compose.yaml` and what it mounts, passwords, certificate, variables."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import ssl
import sys
import tempfile
from pathlib import Path

import redis as client
import yaml

from stack import certificates, credentials, environment, readiness, releases
from stack.environment import lines
from stack.errors import StackError
from stack.images import Release
from stack.instance import DEFAULT_BASE, EXAMPLE, LONGEST_SOCKET_FOLDER, PORTS, Instance, named_run
from stack.postgres import DATABASE
from stack.rendering import render

SOURCE = EXAMPLE / "compose"
GIVEN = ("compose.yaml", "programs", "nginx/nginx.conf", "nginx/upstream-api.conf.blue",
         "nginx/upstream-api.conf.green", "pgbouncer/pgbouncer.ini", "prometheus/prometheus.yml")  # fmt: skip
"""Written anew at every `up`."""
KEPT = {"nginx/upstream-api.conf": "nginx/upstream-api.conf.blue", "pgbouncer/databases.ini": "pgbouncer/databases.ini"}
"""Operations rewrite them, so they are written once."""
FOLDERS = ("artifacts", "backups", "config", "etc", "acme", "logs", "messages", "networks", "nginx", "pgbouncer",
           "pids", "prometheus", "redis", "releases", "switches", "application-secrets")  # fmt: skip
APPLICATION_SECRET = "api_user"


def folder() -> Path:
    return named_run() / "compose"


def existing() -> Instance | None:
    """The instance on compose in the named folder, if any."""
    file = folder() / "instance.json"
    if not file.exists():
        return None
    known = json.loads(file.read_text())
    return Instance(folder(), folder().resolve(), known["base"], Path(known["sockets"]))


def require() -> Instance:
    """Raises StackError where nothing was set up."""
    instance = existing()
    if instance is None:
        raise StackError(f"nothing is set up in {folder()}", "run `renec up --on compose` first")
    return instance


def lay_out() -> Instance:
    """The folder of a new instance, and its ports."""
    run = folder()
    run.mkdir(parents=True, exist_ok=True)
    root = run.resolve()
    sockets = root / "s"
    if len(bytes(sockets)) > LONGEST_SOCKET_FOLDER:
        sockets = Path(tempfile.mkdtemp(prefix="renec-", dir="/tmp"))
    sockets.mkdir(exist_ok=True)
    instance = Instance(run, root, int(os.environ.get("RENEC_PORT_BASE", DEFAULT_BASE)), sockets)
    for name in FOLDERS:
        instance.folder(name).mkdir(exist_ok=True)
    instance.folder("secrets").mkdir(mode=0o700, exist_ok=True)
    instance.folder("application-secrets").chmod(0o700)
    known = {"base": instance.base, "sockets": str(sockets), "project": f"renec-{secrets.token_hex(3)}"}
    (root / "instance.json").write_text(json.dumps(known))
    return instance


def project(instance: Instance) -> str:
    """Each instance has one of its own: an engine's names and events are kept by the name of the project."""
    return str(json.loads((instance.root / "instance.json").read_text())["project"])


def engine(instance: Instance) -> str:
    """The address of the engine that it was brought up on."""
    return environment.read(instance.root / "env")["DOCKER_HOST"]


def write_given(instance: Instance) -> None:
    for name in GIVEN:
        if (SOURCE / name).is_dir():
            shutil.copytree(SOURCE / name, instance.folder(name), dirs_exist_ok=True)
        else:
            shutil.copyfile(SOURCE / name, instance.folder(name))
    for name, source in KEPT.items():
        if not instance.folder(name).exists():
            shutil.copyfile(SOURCE / source, instance.folder(name))
    if not (instance.folder("nginx") / "maintenance.conf").exists():
        (instance.folder("nginx") / "maintenance.conf").write_text("")
    (instance.folder("acme") / ".well-known" / "acme-challenge").mkdir(parents=True, exist_ok=True)
    for name in ("rules.yml", "alertmanager.yml"):
        if not (instance.folder("prometheus") / name).exists():
            (instance.folder("prometheus") / name).write_text(render(name))


def write(instance: Instance, address: str) -> None:
    """Everything that the containers read, and the files of variables. What exists of passwords and keys stays."""
    credentials.generate(instance)
    secret, shared = instance.folder("secrets") / APPLICATION_SECRET, instance.folder("application-secrets")
    if not secret.is_symlink():  # the application sees its own password and no other
        secret.replace(shared / APPLICATION_SECRET)
        secret.symlink_to(shared / APPLICATION_SECRET)
    certificates.make_authority(instance)
    if not (instance.folder("tls") / "server.crt").exists():
        certificates.issue(instance)
    write_given(instance)
    (instance.folder("nginx") / "outside.conf").write_text(
        f"map $host $https_port {{ default {instance.port('https')}; }}\n"
    )
    secret_of = {name: credentials.password(instance, name) for name in credentials.NAMES}
    text = render(
        "redis.conf", port=6379, folder="/var/lib/redis", pidfile="/tmp/redis.pid", password=secret_of["redis"]
    )
    private(instance.folder("redis") / "redis.conf", text.replace("bind 127.0.0.1", "bind 0.0.0.0"))
    users = "".join(
        f'"{name}" "{secret_of[name]}"\n' for name in ("pgbouncer_auth", "pgbouncer_admin", "opsbook_monitor")
    )
    private(instance.folder("pgbouncer") / "userlist.txt", users)
    if not (instance.folder("config") / "app.env").exists():
        private(instance.folder("config") / "app.env", lines(application(instance)))
    private(instance.root / "env", lines(operators(instance, address)))
    (instance.root / ".env").write_text(lines(compose_variables(instance)))


def private(path: Path, text: str) -> None:
    credentials.write_private(path, text)


def keep_sources(instance: Instance, one: Release) -> None:
    """The sources of a release, for who applies its migrations from here."""
    if not (instance.folder("releases") / one.version).exists():
        releases.make(instance, one.version, one.fault, one.migration)


def application(instance: Instance) -> dict[str, object]:
    """What the application reads, by the names that the containers have for each other."""
    secret = {name: credentials.password(instance, name) for name in ("renec", "redis", "admin_token", "reader_token")}
    return {
        **environment.application(instance),
        "DATABASE_URL": f"postgresql://api_user@pgbouncer:6432/{DATABASE}",
        "DATABASE_PASSWORD_FILE": "/run/renec/secrets/api_user",
        "MIGRATION_DATABASE_URL": f"postgresql://renec:{secret['renec']}@postgres:5432/{DATABASE}",
        "BROKER_URL": f"redis://default:{secret['redis']}@redis:6379/0",
        "REDIS_URL": f"redis://default:{secret['redis']}@redis:6379/1",
        "API_URL": "http://nginx:8000",
        "REGISTRY_URL": "http://registry-site:8000",
        "ARTIFACTS_DIR": "/var/lib/renec/artifacts",
        "SWITCHES_DIR": "/var/lib/renec/switches",
        "PROMETHEUS_MULTIPROC_DIR": "/var/lib/renec/metrics",
    }


def operators(instance: Instance, address: str) -> dict[str, object]:
    """What a book of this system refers to: addresses and paths of this host, by the names they have on supervisor."""
    nginx = instance.folder("nginx")
    given = environment.operators(instance)
    elsewhere = ("SUPERVISOR_CONFIG", "POSTGRES_DATA_DIR", "REPLICA_DATA_DIR", "POSTGRES_SOCKET_DIR", "CURRENT_RELEASE",
                 "NGINX_CONFIG", "NGINX_PID_FILE")  # fmt: skip
    own = {f"{name.upper()}_URL": f"http://127.0.0.1:{instance.port(name)}" for name in ("prometheus", "alertmanager")}
    return {
        **{name: value for name, value in given.items() if name not in elsewhere},
        **own,
        "CA_FILE": instance.folder("tls") / "ca.crt",
        "DOCKER_HOST": address,
        "DATABASE_PASSWORD_FILE": instance.folder("application-secrets") / APPLICATION_SECRET,
        "SECRETS_DIR": instance.folder("application-secrets"),
        "APP_ENV_FILE": instance.folder("config") / "app.env",
        "PGBOUNCER_DATABASES_FILE": instance.folder("pgbouncer") / "databases.ini",
        "MAINTENANCE_FILE": nginx / "maintenance.conf",
        "API_UPSTREAM_FILE": nginx / "upstream-api.conf",
        "ACME_WEBROOT": instance.folder("acme"),
        "PYTHON": sys.executable,
    }


def compose_variables(instance: Instance) -> dict[str, object]:
    """The `.env` beside the compose file; it holds no secret."""
    version = releases.first_version()
    ports = {f"RENEC_PORT_{name.upper().replace('-', '_')}": instance.port(name) for name in PORTS}
    return {"COMPOSE_PROJECT_NAME": project(instance), "RENEC_VERSION": version, "RENEC_BASE_VERSION": version, **ports}


def wanted(instance: Instance) -> dict[str, int]:
    """Service → containers that the file wants."""
    services = yaml.safe_load((instance.root / "compose.yaml").read_text())["services"]
    return {name: int((said.get("deploy") or {}).get("replicas", 1)) for name, said in services.items()}


def through_nginx(instance: Instance) -> bool:
    """Whether the API and the page answer where people call them."""
    trust = ssl.create_default_context(cafile=str(instance.folder("tls") / "ca.crt"))
    at = f"https://127.0.0.1:{instance.port('https')}"
    return readiness.answers(f"{at}/ready", trust) and readiness.answers(f"{at}/ui/health", trust)


def workers(instance: Instance) -> int:
    """Workers that listen for remote control, the last thing that a worker opens."""
    try:
        with client.Redis.from_url(environment.redis_url(instance, 0), socket_timeout=3) as connection:
            return sum(int(one["psub"]) > 0 for one in connection.client_list(_type="pubsub"))
    except client.RedisError:
        return 0


def remove(instance: Instance) -> None:
    """The folder, and the one above where nothing else is in it."""
    if not instance.sockets.is_relative_to(instance.root):
        shutil.rmtree(instance.sockets, ignore_errors=True)
    shutil.rmtree(instance.root)
    above = instance.run.parent
    if above.is_dir() and not above.is_symlink() and not any(above.iterdir()):
        above.rmdir()
