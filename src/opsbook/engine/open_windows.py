"""Which maintenance windows are open now: those of the book's rules, and those that people opened or closed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Engine

from opsbook.book.system import System
from opsbook.engine.windows import open_now
from opsbook.store import windows
from opsbook.store.database import reading


def windows_open(store: Engine, system: System, components: Iterable[str], now: datetime) -> tuple[str, ...]:
    """The ids of the windows that are open for all of these components: a fact of policy. `now` is aware.

    Where the store knows that a window was opened, moved or closed, that holds; else the book's rule does.
    """
    where = {"system": system.model.system, "environment": system.name}
    moment, wanted = now.timestamp(), set(components)
    with reading(store) as connection:
        came = windows.came(connection, where, since=moment)
    begun = {(one.window, one.start) for one in came if one.state != "noticed"}
    found = [one.window for one in came if one.allows(moment) and wanted <= set(one.components or wanted)]
    ruled = open_now(system.model.windows, system.name, wanted, str(system.model.timezone), now)
    found += [one.window for one in ruled if (one.window, one.start.timestamp()) not in begun]
    return tuple(dict.fromkeys(found))
