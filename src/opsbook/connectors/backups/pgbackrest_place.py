"""Where pgBackRest runs: what is asked of the host, or of the container, that has the files of the server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass
class Work:
    """How one command is run."""

    key: str = ""
    """Marks the processes, so that they are found and ended."""
    stop: threading.Event = field(default_factory=threading.Event)
    hear: Callable[[str], None] = lambda _: None
    """Takes each line that it says."""
    seconds: float = 86_400.0


class Place(Protocol):
    """One place. Blocking; not to be asked on a thread with an event loop."""

    def program(self) -> str:
        """What pgBackRest is called by. Raises NotReached."""
        ...

    def path(self) -> str:
        """Its path, for whoever calls it without a PATH. Raises NotReached."""
        ...

    def text(self, path: Path) -> str | None:
        """What stands in a short file; None where there is none, or it may not be read."""
        ...

    def run(self, argv: Sequence[str], owner: Path | None, work: Work) -> int:
        """Run a command as the owner of a path; as who asks where none is named. Its exit code.

        Raises Interrupted, ChangeFailed where it was cut off.
        """
        ...

    def lay(self, path: Path, text: str, owner: Path, folders: Sequence[Path]) -> None:
        """Write a file for the owner of a path alone, after the folders that are not there yet. Raises NotReached."""
        ...

    def lacking(self, data: Path) -> str:
        """In words: that the files of a cluster are not at this place."""
        ...
