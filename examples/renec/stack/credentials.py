"""Passwords: made once, each in a file of mode 0600 below `secrets/`."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from stack.instance import Instance

NAMES = (
    "postgres",
    "renec",
    "api_user",
    "readonly_user",
    "opsbook_monitor",
    "replicator",
    "pgbouncer_auth",
    "pgbouncer_admin",
    "redis",
    "admin_token",
    "reader_token",
)


def write_private(path: Path, text: str, owner: tuple[int, int] | None = None) -> None:
    """Write a file that only its owner can read; it is never visible half-written or with wider rights."""
    partial = path.with_name(path.name + ".new")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    if owner:
        os.chown(partial, *owner)
    partial.replace(path)


def generate(instance: Instance) -> None:
    """Make the passwords that do not exist yet."""
    for name in NAMES:
        path = instance.folder("secrets") / name
        if not path.exists():
            write_private(path, secrets.token_urlsafe(24) + "\n")


def password(instance: Instance, name: str) -> str:
    return (instance.folder("secrets") / name).read_text().strip()
