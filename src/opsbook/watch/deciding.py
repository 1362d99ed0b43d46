"""What parts call when they have signals: takes them in, in one transaction, by the one thread that writes."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from opsbook.book.system import System
from opsbook.engine.setting import Write
from opsbook.watch.alerts import take_in
from opsbook.watch.contract import Respond, Signal, Turn, Watch
from opsbook.watch.waking import TELLING, wake


def respond_with() -> Respond:
    """The part of incidents in the transaction."""
    if importlib.util.find_spec("opsbook.watch.incidents") is None:
        return _nothing
    found: Respond = importlib.import_module("opsbook.watch.incidents").respond
    return found


def _nothing(_connection: Connection, _system: System, _turns: Sequence[Turn], _now: datetime) -> None:
    """Nobody makes incidents of alerts."""


async def tell(watch: Watch, signals: Sequence[Signal], also: Sequence[Write] = ()) -> list[Turn]:
    """Take signals in, with other writes before them in the same transaction. Raises StoreFailed."""
    if not signals and not also:
        return []
    turned: list[Turn] = []
    now = watch.setting.clock.now()

    def decide(connection: Connection) -> None:
        turned.extend(take_in(connection, watch.system, signals, now, respond_with()))

    writes = [*also, decide] if signals else list(also)
    await watch.setting.in_writer(lambda: watch.setting.write(writes))
    if turned:
        wake(*TELLING)
    return turned
