"""What a path names and the store does not have is answered as not found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opsbook.api.problems import NotFound
from opsbook.errors import UsageError


@contextmanager
def found() -> Iterator[None]:
    """Raises NotFound for a UsageError of looking something up by its name."""
    try:
        yield
    except NotFound:
        raise
    except UsageError as error:
        raise NotFound(error.message, error.hint) from error
