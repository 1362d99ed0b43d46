"""The file system of the images' first layer: Debian 12 with the servers that the example runs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from stack import image_archive
from stack.errors import StackError

SUITE = "bookworm"
PACKAGES = (
    "ca-certificates", "python3", "procps", "postgresql-15", "redis-server", "nginx-light", "pgbouncer", "prometheus",
    "prometheus-alertmanager", "pgbackrest",
)  # fmt: skip
LEFT_OUT = (
    "dev/*", "proc/*", "sys/*", "run/*", "tmp/*", "var/cache/apt/*", "var/lib/apt/lists/*", "var/log/*",
    "var/lib/postgresql/15/main", "etc/postgresql/15/main", "etc/resolv.conf", "usr/sbin/policy-rc.d",
    "usr/share/doc/*", "usr/share/javascript/*", "usr/share/man/*", "usr/share/info/*", "usr/share/locale/*",
    "usr/share/i18n/*",
    "usr/lib/postgresql/15/lib/bitcode", "usr/lib/postgresql/15/lib/llvmjit.so", "*/libLLVM*", "*/libz3.so*",
    "usr/lib/*-linux-gnu/gconv/*", "usr/lib/*-linux-gnu/perl/*/unicore", "usr/bin/promtool", "usr/bin/amtool",
)  # fmt: skip
INSTALL = """
set -e
mount -t proc proc "$1/proc"
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
chroot "$1" apt-get update -q
shift_root=$1; shift
exec chroot "$shift_root" apt-get install -q -y --no-install-recommends -o Dpkg::Options::=--force-confold "$@"
"""


def make(root: Path, base: Path | None) -> None:
    """Debian in `root`: what the archive `base` holds or what debootstrap fetches, and the servers added to it.

    Raises StackError where that needs rights or programs that are not there, with what they said.
    """
    if os.geteuid() != 0:
        raise StackError("making the first image needs root", "run this command once as root")
    if base:
        image_archive.unpack(base, root)
    else:
        if shutil.which("debootstrap") is None:
            raise StackError(
                "debootstrap is not installed",
                "apt-get install debootstrap, or name the archive of a Debian 12 image in RENEC_BASE_IMAGE",
            )
        mirror = filter(None, [os.environ.get("RENEC_MIRROR")])  # debootstrap knows Debian's own
        run(["debootstrap", "--variant=minbase", SUITE, str(root), *mirror])
    keep_servers_from_starting(root)
    lookup = Path("/etc/resolv.conf")
    if lookup.exists():
        (root / "etc/resolv.conf").unlink(missing_ok=True)
        shutil.copyfile(lookup, root / "etc/resolv.conf")
    # In a mount namespace of its own: what is mounted for the packages' scripts goes with it.
    run(["unshare", "--mount", "sh", "-c", INSTALL, "sh", str(root), *PACKAGES])


def keep_servers_from_starting(root: Path) -> None:
    """Packages of Debian start what they bring, and PostgreSQL's makes a database: here they only bring files."""
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    common = root / "etc/postgresql-common"
    common.mkdir(parents=True, exist_ok=True)
    (common / "createcluster.conf").write_text("create_main_cluster = false\n")


def run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        raise StackError(f"{command[0]} failed: {said}")
