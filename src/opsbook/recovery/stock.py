"""What all stores and repositories of a book hold now; what cannot be asked is told beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from opsbook.book.recovery import Backup
from opsbook.book.system import System
from opsbook.connectors.backups.catalogue import Listing, backup_named
from opsbook.connectors.backups.pgbackrest_info import Repository
from opsbook.connectors.executors.pgbackrest import NotConfigured
from opsbook.errors import OpsbookError
from opsbook.recovery.backups import held, taken
from opsbook.recovery.continuous import continuous, held_by

NOT_CONFIGURED = -1
"""The code of a repository that was never configured, beside those of pgBackRest."""
Listed = tuple[Backup, Repository]


@dataclass(frozen=True)
class Stock:
    """What was found, in the order of the book."""

    listings: list[tuple[Backup, Listing]] = field(default_factory=list)
    repositories: list[Listed] = field(default_factory=list)
    failed: list[OpsbookError] = field(default_factory=list)


def stock(system: System, names: Sequence[str] = (), known: str = "") -> Stock:
    """Of all backups that opsbook takes, or of the named ones. `known` is the key they should be signed with. Blocking.

    Raises UsageError with the nearest name.
    """
    wanted = [backup_named(system, name) for name in names] or [*taken(system), *continuous(system)]
    found = Stock()
    for one in wanted:
        try:
            if one.method == "pgbackrest":
                found.repositories.append((one, held_by(system, one)))
            else:
                found.listings.append((one, held(system, [one], known)[one.id]))
        except NotConfigured:
            found.repositories.append((one, Repository("", NOT_CONFIGURED, "not configured")))
        except OpsbookError as error:
            found.failed.append(error)
    return found
