"""The lock beside the store that makes one process its owner: the one that executes."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import IO

from opsbook.store.database import unusable
from opsbook.store.shared_files import make_file

UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)
"""Somebody who may only look can still see whether the lock is held."""


class OwnerLock:
    """The lock that makes one process the owner. The kernel gives it back when the process dies."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "owner.lock"
        self._file: IO[str] | None = None

    def take(self) -> bool:
        """True where this process is the owner now. Raises StoreFailed where the lock cannot be written."""
        if self._file is not None:
            return True
        try:
            make_file(self.path)
            file = self.path.open("a+", encoding="utf-8")
        except OSError as error:
            raise unusable(self.path, error.strerror or str(error)) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        file.seek(0)
        file.truncate()
        json.dump({"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}, file)
        file.flush()
        self._file = file
        return True

    def free(self) -> bool:
        """Whether nobody is the owner. Raises StoreFailed where the lock cannot be looked at."""
        if self._file is not None:
            return False
        try:
            file = self._to_look_at()
        except FileNotFoundError:
            return True  # who cannot even make it looks only, and nobody has held it
        except OSError as error:
            raise unusable(self.path, error.strerror or str(error)) from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    def _to_look_at(self) -> IO[str]:
        try:
            make_file(self.path)
            return self.path.open("a+", encoding="utf-8")
        except OSError as error:
            if error.errno not in UNWRITABLE:
                raise
            return self.path.open(encoding="utf-8")

    def holder(self) -> str:
        """Who the owner is, for people."""
        try:
            told = json.loads(self.path.read_text(encoding="utf-8"))
            return f"pid {told['pid']} on {told['host']}"
        except (OSError, ValueError, KeyError):
            return "another process"

    def give_back(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
