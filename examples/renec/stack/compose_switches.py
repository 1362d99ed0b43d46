"""Faults that can be thrown and mended where the system runs in containers."""

from __future__ import annotations

import os
from collections.abc import Callable

from stack import certificates, environment, places, postgres, switches
from stack.instance import Instance

Compose = Callable[..., str]
NAMES = ("slow-api", "api-errors", "stopped-worker", "full-disk", "replication-stopped", "certificate-expiring",
         "stalled-spider", "registry-markup", "registry-throttles", "database-down")  # fmt: skip
SERVERS = {"postgres": "postgres", "replica": "postgres-replica"}
"""Name of the port → service, of the two that change places in a failover."""
TASKS = "src.scheduler.daily_probe"
SHOWS = {name: switches.SWITCHES[name].shows for name in NAMES}


def thrown(instance: Instance) -> list[str]:
    """Switches that are thrown now."""
    return [name for name in NAMES if (instance.folder("switches") / name).exists()]


def throw(instance: Instance, name: str, parameters: str, compose: Compose) -> None:
    """Throw a switch; throwing it again changes its parameters alone."""
    path = instance.folder("switches") / places.known(SHOWS, name)
    again = path.exists()
    path.write_text(parameters)
    if again:
        return
    try:
        act(instance, name, compose)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def act(instance: Instance, name: str, compose: Compose) -> None:
    """What the switch does; the application looks for the others' files itself."""
    if name == "stopped-worker":
        compose(instance, "stop", "celery-worker")
    elif name == "database-down":
        compose(instance, "stop", SERVERS[postgres.roles(instance)[0]])
    elif name == "full-disk":
        used = sum(p.stat().st_size for p in instance.folder("artifacts").rglob("*") if p.is_file())
        with (instance.folder("artifacts") / switches.BALLAST).open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, environment.ARTIFACTS_QUOTA_BYTES - used))
    elif name == "replication-stopped":
        switches.pause_replay(instance)
    elif name == "certificate-expiring":
        certificates.issue(instance, switches.EXPIRING_DAYS)
        reload_nginx(instance, compose)
    elif name == "stalled-spider":
        call = ["python3", "-m", "celery", "-A", TASKS, "call", f"{TASKS}.full_harvest"]
        compose(instance, "exec", "-T", "celery-beat", "python3", "-m", "src.launch", *call)


def mend(instance: Instance, name: str, compose: Compose) -> None:
    """Mend what the switch spoiled; a switch that is not thrown is left alone."""
    path = instance.folder("switches") / places.known(SHOWS, name)
    if not path.exists():
        return
    if name == "stopped-worker":
        compose(instance, "start", "celery-worker")
    elif name == "database-down":
        compose(instance, "start", *SERVERS.values())
    elif name == "full-disk":
        switches.empty_artifacts(instance)
    elif name == "replication-stopped":
        switches.resume_replay(instance)
    elif name == "certificate-expiring":
        if certificates.days_left(instance.folder("tls") / "server.crt") <= switches.EXPIRING_DAYS:
            certificates.issue(instance)
        reload_nginx(instance, compose)
    path.unlink()


def reload_nginx(instance: Instance, compose: Compose) -> None:
    compose(instance, "exec", "-T", "nginx", "nginx", "-c", "/etc/nginx/renec/nginx.conf", "-s", "reload")
    certificates.wait_until_served(instance)
