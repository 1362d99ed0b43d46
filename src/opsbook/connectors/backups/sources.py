"""Where the streams of a backup come from: child processes, iterators."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO

from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.executors.secrets import masked

END_SECONDS = 10.0
LAST_WORDS = 2_000


class SourceFailed(ChangeFailed):
    """What is backed up said no while it was read."""


class Child:
    """What a program writes to its standard output; its end is one only where it ended well."""

    def __init__(self, argv: Sequence[str], process: subprocess.Popen[bytes], errors: IO[bytes], secret: str) -> None:
        self.program = os.path.basename(argv[0])  # noqa: PTH119
        self._process, self._errors, self._secret = process, errors, secret
        assert process.stdout is not None
        self._stdout = process.stdout

    def read(self, size: int, /) -> bytes:
        return os.read(self._stdout.fileno(), size)

    def finish(self) -> None:
        """Raises SourceFailed with the program's own words."""
        try:
            code = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            raise SourceFailed(f"{self.program} did not end", "try again") from None
        if code:
            raise SourceFailed(f"{self.program} ended with {code}: {self.words()}", _hint(self.words()))

    def words(self) -> str:
        """The last lines that it wrote to its standard error."""
        self._errors.seek(0)
        lines = self._errors.read()[-LAST_WORDS:].decode(errors="replace").strip().splitlines()
        told = "; ".join(line.strip() for line in lines[:3])
        return masked(told, [self._secret])


@contextmanager
def child(argv: Sequence[str], environment: Mapping[str, str]) -> Iterator[Child]:
    """A program as a source; ended when the block is left, whatever it does. Raises SourceFailed."""
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                list(argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=dict(environment)
            )
        except OSError as error:
            raise SourceFailed(f"{argv[0]} could not be started: {error.strerror}", "install it") from error
        try:
            yield Child(argv, process, errors, environment.get("PGPASSWORD", ""))
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(END_SECONDS)
            assert process.stdout is not None
            process.stdout.close()


class Pieces:
    """An iterator of bytes as a source."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, _size: int, /) -> bytes:
        # An empty piece would look like the end.
        return next((piece for piece in self._pieces if piece), b"")

    def finish(self) -> None:
        """Its end is the end."""


def _hint(words: str) -> str:
    if "permission denied" in words:
        return "set `admin` of the component to a role that may read all of it (pg_read_all_data)"
    if "conflict with recovery" in words:
        return "take it from the primary, or set hot_standby_feedback on the standby"
    return "its words say more"
