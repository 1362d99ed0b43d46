"""Ten thousand alerts in one go: how long one transaction takes that decides for all of them, incidents included."""

from __future__ import annotations

import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml
from figures import Figure, tell

from opsbook.book.load import load_book
from opsbook.book.system import System, in_environment
from opsbook.catalogue import catalogue
from opsbook.checks.evaluate import State
from opsbook.store.database import open_store, writing
from opsbook.watch.alerts import take_in
from opsbook.watch.contract import Signal
from opsbook.watch.deciding import respond_with

COUNT = 10_000
START = datetime(2026, 1, 5, 3, 0, tzinfo=UTC)


def system(folder: Path) -> System:
    """A book with somebody to tell."""
    known = {
        "opsbook": 1, "system": "bench", "environments": {"here": {"policy": "open"}},
        "components": {f"c{n}": {"kind": "http", "url": "http://127.0.0.1:1"} for n in range(20)},
        "severities": {"P1": {"means": "down"}}, "channels": {"sink": "json://127.0.0.1:1"},
        "escalation": [{"level": "L1", "notify": "sink"}], "incidents": {"group_by": "component"},
    }  # fmt: skip
    (folder / "book.yaml").write_text(yaml.safe_dump(known))
    return in_environment(load_book(folder / "book.yaml", catalogue()))


def signals(state: State, at: datetime) -> list[Signal]:
    """As Alertmanager would send them."""
    return [
        Signal(f"alertmanager:{n}", "alertmanager", at, state, "it is down", component=f"c{n % 20}", severity="P1")
        for n in range(COUNT)
    ]


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="opsbook-bench-") as name:
        folder = Path(name)
        book, store, respond = system(folder), open_store(f"sqlite:///{folder}/store.db"), respond_with()
        for minute, (what, state) in enumerate(
            (("fire", State.CRITICAL), ("again", State.CRITICAL), ("resolve", State.OK))
        ):
            at = START + timedelta(minutes=minute)
            told, begun, spent = signals(state, at), time.perf_counter(), time.process_time()
            with writing(store) as connection:
                turned = take_in(connection, book, told, at, respond)
            wall, cpu = time.perf_counter() - begun, time.process_time() - spent
            print(f"{what}: {len(turned):,} turns")
            tell(Figure(f"{COUNT:,} alerts {what}: one transaction", wall, "s"))
            tell(Figure(f"{COUNT:,} alerts {what}: processor", cpu, "s"))


if __name__ == "__main__":
    main()
