"""An ACME authority of one's own, where pebble is installed: certificates are renewed from it as from a public one.

It is for trying things out: its root is new at each start. `tls/trusted.crt` has every root that it has had, beside
that of the local authority.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from stack import binaries, certificates
from stack.instance import Instance
from stack.rendering import write

LIFETIME_SECONDS = 90 * 86400
MOST_ROOTS = 20


def program(instance: Instance) -> str | None:
    """Pebble, where it is installed and this instance was laid out with it."""
    return binaries.find("pebble") if settings(instance).exists() else None


def settings(instance: Instance) -> Path:
    """Its file of settings."""
    return instance.folder("etc") / "pebble.json"


def trusted(instance: Instance) -> Path:
    """The roots that clients of this system trust."""
    return instance.folder("tls") / "trusted.crt"


def directory(instance: Instance) -> str:
    """Where ACME begins."""
    return f"https://localhost:{instance.port('acme')}/dir"


def roots(instance: Instance) -> str:
    """Where its root can be had while it runs."""
    return f"https://localhost:{instance.port('acme-management')}/roots/0"


def configure(instance: Instance) -> None:
    """Its settings, and the roots that are trusted from the beginning."""
    tls = instance.folder("tls")
    if not trusted(instance).exists():
        shutil.copyfile(tls / "ca.crt", trusted(instance))
    if binaries.find("pebble") is None:
        return
    if not (tls / "acme.crt").exists():
        certificates.issue(instance, certificates.AUTHORITY_DAYS, "acme")
    wanted = {
        "listenAddress": f"127.0.0.1:{instance.port('acme')}",
        "managementListenAddress": f"127.0.0.1:{instance.port('acme-management')}",
        "certificate": str(tls / "acme.crt"),
        "privateKey": str(tls / "acme.key"),
        "httpPort": instance.port("http"),
        "tlsPort": instance.port("https"),
        "ocspResponderURL": "",
        "externalAccountBindingRequired": False,
        "certificateValidityPeriod": LIFETIME_SECONDS,
    }
    write(settings(instance), json.dumps({"pebble": wanted}, indent=2) + "\n")


def trust(path: Path, root: str) -> None:
    """Add a root to those that are trusted; the first, the local authority's, stays, and old ones go."""
    end = "-----END CERTIFICATE-----\n"
    known = [one + end for one in path.read_text().split(end) if one.strip()]
    if root.strip() in (one.strip() for one in known):
        return
    fresh = path.with_suffix(".new")
    fresh.write_text("".join([known[0], *known[1:][-MOST_ROOTS + 2 :], root.strip() + "\n"]))
    fresh.replace(path)
