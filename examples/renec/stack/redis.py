"""Redis: the queue in database 0, the cache in database 1."""

from __future__ import annotations

from stack import credentials
from stack.instance import Instance
from stack.rendering import render, write


def configure(instance: Instance) -> None:
    """Write the configuration with its password."""
    folder = instance.folder("data") / "redis"
    folder.mkdir(exist_ok=True)
    text = render(
        "redis.conf",
        port=instance.port("redis"),
        folder=folder,
        pidfile=instance.folder("pids") / "redis.pid",
        password=credentials.password(instance, "redis"),
    )
    write(instance.folder("etc") / "redis.conf", text)
