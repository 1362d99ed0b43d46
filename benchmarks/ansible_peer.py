"""Ansible as a peer: a playbook on the machine itself whose tasks do nothing.

It is installed into an environment of its own in the user's cache folder, by pip; where that cannot be, the peer is
absent and the benchmark says so. opsbook never needs it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

VERSION = "2.17.7"
TASKS = 40
INSTALL_SECONDS, PLAY_SECONDS = 300, 300

HEAD = "- hosts: localhost\n  gather_facts: false\n  tasks:\n"
SETTINGS = {
    "ANSIBLE_LOCALHOST_WARNING": "0",
    "ANSIBLE_INVENTORY_UNPARSED_WARNING": "0",
    "ANSIBLE_NOCOLOR": "1",
    "LC_ALL": "C.UTF-8",
}


def play(program: Path) -> tuple[float, float]:
    """Seconds of one more task, and of a playbook with a single task.

    `ping` is its module that changes nothing. The seconds of a task are the difference between a playbook of 41 and one
    of a single task, so that Ansible's start is not counted.
    """
    with tempfile.TemporaryDirectory(prefix="opsbook-bench-") as name:
        folder = Path(name)
        (folder / "ansible.cfg").touch()  # so that nobody's own settings count
        one, many = _seconds(program, folder, 1), _seconds(program, folder, 1 + TASKS)
    return (many - one) / TASKS, one


def _seconds(program: Path, folder: Path, tasks: int) -> float:
    playbook = folder / f"{tasks}.yml"
    playbook.write_text(HEAD + "".join(f"    - {{name: s{n}, ansible.builtin.ping: }}\n" for n in range(tasks)))
    command = [str(program), "-i", "localhost,", "-c", "local", "-e",
               f"ansible_python_interpreter={program.with_name('python')}", str(playbook)]  # fmt: skip
    started = time.perf_counter()
    variables = {**os.environ, **SETTINGS, "HOME": str(folder), "ANSIBLE_CONFIG": str(folder / "ansible.cfg")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=PLAY_SECONDS, env=variables)
    spent = time.perf_counter() - started
    assert done.returncode == 0 and f"ok={tasks} " in done.stdout, done.stdout + done.stderr
    return spent


def installed() -> Path | str:
    """Its `ansible-playbook`, installed where it is not yet; or why not."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = cache / "opsbook-benchmarks" / f"ansible-core-{VERSION}-py{sys.version_info.major}{sys.version_info.minor}"
    program = home / "bin" / "ansible-playbook"
    if program.exists():
        return program
    try:
        venv.create(home, with_pip=True, clear=True)
        command = [str(home / "bin" / "python"), "-m", "pip", "install", "-q", "-q", f"ansible-core=={VERSION}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        return f"ansible-core could not be installed: {error}"
    if done.returncode or not program.exists():
        return f"ansible-core {VERSION} could not be installed: {done.stderr.strip().splitlines()[-1:]}"
    return program
