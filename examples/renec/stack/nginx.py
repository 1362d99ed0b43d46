"""nginx: TLS in front of the API and the UI."""

from __future__ import annotations

import os
import pwd

from stack.instance import Instance
from stack.rendering import render, write

ACCOUNTS = ("www-data", "nginx", "nobody")


def user_line() -> str:
    """The unprivileged user of the worker processes; only root can choose one."""
    if os.geteuid() != 0:
        return ""
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((f"user {name};" for name in ACCOUNTS if name in known), "")


def serving(instance: Instance) -> str:
    """The side of the API to which nginx sends requests, as a deploy has left it: `api` or `api-green`."""
    upstream = instance.folder("etc") / "nginx" / "upstream-api.conf"
    green = render(upstream.name, api=instance.port("api-green"))
    return "api-green" if upstream.exists() and upstream.read_text() == green else "api"


def configure(instance: Instance) -> None:
    """Write the configuration; what operations rewrite only once: `maintenance.conf`, `upstream-api.conf`."""
    folder = instance.folder("etc") / "nginx"
    folder.mkdir(exist_ok=True)
    (instance.folder("data") / "nginx").mkdir(exist_ok=True)
    (instance.root / "acme" / ".well-known" / "acme-challenge").mkdir(parents=True, exist_ok=True)
    maintenance, api = folder / "maintenance.conf", folder / "upstream-api.conf"
    if not maintenance.exists():
        write(maintenance, "")
    for side, port in (("blue", "api"), ("green", "api-green")):
        write(folder / f"{api.name}.{side}", render(api.name, api=instance.port(port)))
    if not api.exists():
        write(api, render(api.name, api=instance.port("api")))
    write(folder / "upstreams.conf", render("upstreams.conf", ui=instance.port("ui")))
    text = render(
        "nginx.conf", user=user_line(), root=instance.root, http=instance.port("http"), https=instance.port("https")
    )
    write(folder / "nginx.conf", text)
