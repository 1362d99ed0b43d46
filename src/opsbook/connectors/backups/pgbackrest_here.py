"""pgBackRest of this host. Root becomes the server's user for all that it does."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import stat
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

from opsbook.connectors.backups.pgbackrest_place import Work
from opsbook.connectors.backups.postgres_restore import Interrupted
from opsbook.connectors.executors.secrets import NotReached
from opsbook.connectors.process_tree import KEY

END_SECONDS = 20.0
LOOK_SECONDS = 0.2


class Here:
    """This host."""

    def program(self) -> str:
        """See `Place.program`."""
        found = shutil.which("pgbackrest") or shutil.which("pgbackrest", path="/usr/bin:/usr/local/bin")
        if not found:
            raise NotReached("this host has no pgbackrest", "install the package pgbackrest")
        return found

    def path(self) -> str:
        """See `Place.path`."""
        return self.program()

    def text(self, path: Path) -> str | None:
        """See `Place.text`."""
        try:
            return path.read_text(errors="replace")
        except OSError:
            return "" if path.is_file() else None

    def run(self, argv: Sequence[str], owner: Path | None, work: Work) -> int:
        """See `Place.run`."""
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "HOME": "/", KEY: work.key}
        with subprocess.Popen(
            list(argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/",
            env=environment, start_new_session=True, **(identity(owner) if owner else {}),
        ) as child:  # fmt: skip
            assert child.stdout is not None
            reading = threading.Thread(target=_read, args=(child.stdout, work.hear), daemon=True)
            reading.start()
            try:
                while child.poll() is None:
                    if work.stop.is_set():
                        raise Interrupted("it was stopped")
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        child.wait(LOOK_SECONDS)
            except BaseException:
                _end(child)
                raise
            finally:
                reading.join(END_SECONDS)
        return child.returncode

    def lay(self, path: Path, text: str, owner: Path, folders: Sequence[Path]) -> None:
        """See `Place.lay`."""
        about = owner.stat()
        try:
            for folder in (path.parent, *folders):
                if not folder.exists():
                    folder.mkdir(parents=True, mode=0o755 if folder == path.parent else 0o750)
                    if os.geteuid() == 0 and folder != path.parent:
                        os.chown(folder, about.st_uid, about.st_gid)
            _reachable(path.parent, about.st_uid)
            descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".pgbackrest-")
            try:
                with os.fdopen(descriptor, "w") as file:
                    os.fchmod(file.fileno(), 0o600)
                    if os.geteuid() == 0:
                        os.fchown(file.fileno(), about.st_uid, about.st_gid)
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(path)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name)  # noqa: PTH108
                raise
        except OSError as error:
            raise NotReached(f"{error.filename or path}: {error.strerror}", "run it as root") from error

    def lacking(self, data: Path) -> str:
        """See `Place.lacking`."""
        return f"the files of the cluster ({data}) cannot be read on this host"


def identity(owner: Path) -> dict[str, Any]:
    """Keywords of subprocess that make root the owner of a path."""
    if os.geteuid() != 0:
        return {}
    about = owner.stat()
    return {"user": about.st_uid, "group": about.st_gid, "extra_groups": []}


def _reachable(folder: Path, uid: int) -> None:
    if os.geteuid() != 0:
        return
    for one in (folder, *folder.parents):
        about = one.stat()
        if not (about.st_mode & stat.S_IXOTH or (about.st_uid == uid and about.st_mode & stat.S_IXUSR)):
            raise NotReached(
                f"the server's user does not reach {folder}: {one} is closed to it",
                f"chmod o+x {shlex.quote(str(one))}",
            )


def _read(stdout: IO[bytes], hear: Callable[[str], None]) -> None:
    for raw in stdout:
        hear(raw.decode(errors="replace"))


def _end(child: subprocess.Popen[bytes]) -> None:
    """It ends in order when it is asked to: what it has copied is used by the next one."""
    child.terminate()
    try:
        child.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
