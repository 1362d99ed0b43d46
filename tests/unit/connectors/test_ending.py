"""What a command in a container has started is found and ended, whoever runs it; what cannot be seen is told."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from opsbook.connectors.runtimes.beside import as_owner
from opsbook.connectors.runtimes.ending import ending

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
MARK = "OPSBOOK_KEY=run/1"
LIKE_A_CONTAINER = (
    "unshare", "--pid", "--fork", "--mount-proc", "setsid", "-w",
    "setpriv", "--bounding-set=-sys_ptrace,-perfmon,-sys_admin", "--inh-caps=-sys_ptrace,-perfmon,-sys_admin",
)  # fmt: skip
NOT_SEEN = "import os, time; os.setgid({0}); os.setuid({0}); time.sleep(60)"
"""As a worker of a web server: it has changed its user by itself, and only who may trace it sees its variables."""
SCRIPT = """
runs() {{ grep -qs "^Uid:[[:space:]]*$1" /proc/[0-9]*/status; }}
until_runs() {{ until runs $1; do /usr/bin/sleep 0.02; done; }}
{worker} 4001 &
setsid env {mark} {owned} &
setsid env {mark} /usr/bin/sleep 61 &
until_runs 4001; until_runs 1234
{ending}; echo "ended $?"
runs 4001 && echo "the worker stays"
runs 1234 && echo "the owner's runs"
setsid env {mark} {late} 4002 &
until_runs 4002
{ending}; echo "ended $?"
"""


def private_processes() -> bool:
    done = subprocess.run([*LIKE_A_CONTAINER, "true"], capture_output=True, check=False)
    return done.returncode == 0


@needs_root
def test_processes_of_another_user_are_ended_though_root_may_not_see_their_variables(tmp_path: Path) -> None:
    if shutil.which("unshare") is None or not private_processes():
        pytest.skip("no process namespaces here")
    owned, quick = tmp_path / "data", tmp_path / "quick"
    owned.mkdir()
    os.chown(owned, 1234, 1234)
    quick.mkdir()
    (quick / "sleep").write_text("#!/bin/sh\nexec /usr/bin/sleep 0.02\n")
    (quick / "sleep").chmod(0o755)
    worker = [sys.executable, "-S", "-c"]
    script = SCRIPT.format(
        mark=MARK,
        owned=shlex.join(as_owner(str(owned), ["sh", "-c", "/usr/bin/sleep 60 & wait"])),
        ending=shlex.join(ending(MARK)),
        worker=shlex.join([*worker, NOT_SEEN.format(4001)]),
        late=shlex.join([*worker, NOT_SEEN.format(4002)]),
    )
    done = subprocess.run(
        [*LIKE_A_CONTAINER, "sh", "-c", script], capture_output=True, text=True, check=False, timeout=60,
        env={"PATH": f"{quick}:/usr/bin:/bin:/usr/sbin:/sbin"},
    )  # fmt: skip
    assert done.stdout.splitlines() == ["ended 0", "the worker stays", "ended 1"], done.stderr


@needs_root
@pytest.mark.parametrize("by", ["setpriv", "runuser"])
def test_who_becomes_the_owner_has_the_owners_home(tmp_path: Path, by: str) -> None:
    if shutil.which(by) is None:
        pytest.skip(f"no {by} here")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "id", "stat", "true", "printenv", by):
        (programs / name).symlink_to(shutil.which(name) or "")
    daemon, path = pwd.getpwnam("daemon"), tmp_path / "data"
    path.mkdir()
    numbers = [daemon.pw_uid, 61234] if by == "setpriv" else [daemon.pw_uid]
    for number in numbers:
        os.chown(path, number, number)
        argv = as_owner(str(path), [shutil.which("printenv") or "", "HOME"])
        done = subprocess.run(
            argv, capture_output=True, text=True, check=False, env={"PATH": str(programs), "HOME": "/root"}
        )
        assert done.stdout == (f"{daemon.pw_dir}\n" if number == daemon.pw_uid else "/nonexistent\n"), done.stderr
