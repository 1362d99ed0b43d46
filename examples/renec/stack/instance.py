"""Where an instance lives: its folder and its ports. Two instances with other folders and ports live side by side."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pwd
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stack.errors import StackError

EXAMPLE = Path(__file__).resolve().parents[1]
DEFAULT_BASE = 18000
LONGEST_SOCKET_FOLDER = 75  # a socket path may have 107 bytes; supervisor and PostgreSQL add up to 25 of their own
PORTS = {
    "api": 0,
    "ui": 1,
    "api-green": 2,
    "webhook": 10,
    "smtp": 25,
    "http": 80,
    "registry": 90,
    "redis": 379,
    "postgres": 432,
    "replica": 433,
    "acme": 140,
    "acme-management": 141,
    "https": 443,
    "pgbouncer": 632,
    "prometheus": 900,
    "alertmanager": 903,
}


def server_account() -> str | None:
    """The user that PostgreSQL and PgBouncer run as when we are root, since both refuse root; else None."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError as error:
        raise StackError(
            "there is no user postgres", "install PostgreSQL's server package or work as a normal user"
        ) from error


def traversable(folder: Path) -> bool:
    """Whether another user may reach into `folder`: every existing ancestor has x for others."""
    ancestors = [p for p in (folder, *folder.parents) if p.exists()]
    return all(p.stat().st_mode & 0o001 for p in ancestors)


@dataclass(frozen=True)
class Instance:
    """`run` is the folder as named, `root` the real one behind it; no other instance uses either."""

    run: Path
    root: Path
    base: int
    sockets: Path

    def port(self, name: str) -> int:
        return self.base + PORTS[name]

    def folder(self, name: str) -> Path:
        return self.root / name

    @property
    def current(self) -> Path:
        """The symlink to the release that new processes start from."""
        return self.root / "current"

    @property
    def supervisor_config(self) -> Path:
        return self.root / "supervisord.conf"

    @property
    def supervisor_socket(self) -> Path:
        return self.sockets / "supervisor.sock"

    @property
    def complete(self) -> bool:
        """Whether the set-up went through to its end."""
        return (self.root / "complete").exists()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Only one command changes an instance at a time. The lock ends with the process that holds it."""
        with (self.root / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StackError(f"another renec command works on {self.run}", "wait until it is done") from error
            yield


def named_run() -> Path:
    """The folder that RENEC_RUN names, or `.run` beside the example."""
    return Path(os.environ.get("RENEC_RUN") or EXAMPLE / ".run").absolute()


def existing() -> Instance | None:
    """The instance that was laid out in the named folder, if any."""
    run = named_run()
    file = run / "instance.json"
    if not file.exists():
        return None
    known = json.loads(file.read_text())
    return Instance(run, run.resolve(), known["base"], Path(known["sockets"]))


def require() -> Instance:
    """The instance in the named folder. Raises StackError where nothing was set up."""
    instance = existing()
    if instance is None:
        raise StackError(f"nothing is set up in {named_run()}", "run `renec up` first")
    return instance


def lay_out() -> Instance:
    """Make the folder of a new instance and remember its ports.

    Where PostgreSQL's own user cannot reach the named folder, the real one is put below /var/tmp and linked.
    """
    run = named_run()
    base = int(os.environ.get("RENEC_PORT_BASE", DEFAULT_BASE))
    run.parent.mkdir(parents=True, exist_ok=True)
    root = run
    if not run.exists() and server_account() and not traversable(run.parent):
        root = Path("/var/tmp") / f"renec-{hashlib.sha256(str(run).encode()).hexdigest()[:12]}"
        run.symlink_to(root)
    root = run.resolve()
    root.mkdir(mode=0o755, exist_ok=True)
    root.chmod(0o755)
    sockets = root / "s"
    if len(bytes(sockets)) > LONGEST_SOCKET_FOLDER:
        sockets = Path(tempfile.mkdtemp(prefix="renec-", dir="/tmp"))
    sockets.mkdir(exist_ok=True)
    sockets.chmod(0o1777)  # several users put their sockets here, and none may remove another's
    instance = Instance(run, root, base, sockets)
    for name in ("etc", "logs", "pids", "releases", "switches", "artifacts", "metrics", "data", "backups"):
        instance.folder(name).mkdir(exist_ok=True)
    instance.folder("secrets").mkdir(mode=0o700, exist_ok=True)
    (root / "instance.json").write_text(json.dumps({"base": base, "sockets": str(sockets)}))
    return instance
