"""The watch killed at every border of alert → incident → page → escalation: no page is lost, and at most one comes
twice for each kill, as counted at the one who gets them."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from tests.faults.kills import Count
from tests.integration.servers import Postgres, new_postgres
from tests.integration.sinks import Hook, webhook

BORDERS = {"write": (9, ("before", "within", "after")), "send": (2, ("before", "after"))}
"""Kind → how many there are, and when one can die at it."""
BOOK = {
    "opsbook": 1,
    "system": "shop",
    "environments": {"production": {"policy": "open"}},
    "components": {"database": {"kind": "http", "url": "http://127.0.0.1:1"}},
    "severities": {"P1": {"means": "down"}},
    "escalation": [
        {"level": "L1", "notify": "first"},
        {"level": "L2", "notify": "second", "within": "500ms"},
    ],
    # A claim of one that died runs out with its channel's time-out.
    "channels": {name: {"url": f"${{{name.upper()}}}", "timeout": "1s"} for name in ("first", "second")},
}


def all_places() -> list[str]:
    """Every border: before, within and after each write, before and after each sending."""
    return [
        f"{kind}:{number}:{when}"
        for kind, (most, moments) in BORDERS.items()
        for number in range(1, most + 1)
        for when in moments
    ]


def sample(size: int, seed: int) -> list[str]:
    """Some of them; always one after a sending, which is where a page may come twice."""
    rest = [place for place in all_places() if place != "send:1:after"]
    return ["send:1:after", *random.Random(seed).sample(rest, size - 1)]


def sweep(places: Sequence[str], tell: Callable[[str], None] = lambda _: None, server: Postgres | None = None) -> Count:
    """Kill at each of them, start again, and count what arrived. On a file, or on a database of a server each."""
    count = Count()
    with webhook() as hook:
        for number, place in enumerate(places):
            store = ""
            if server is not None:
                server.sql(f"CREATE DATABASE watch_{number}", database="postgres")
                store = server.url(database=f"watch_{number}")
            found = _one(hook, place, count, store)
            tell(f"{place}: {found}")
    return count


def _one(hook: Hook, place: str, count: Count, store: str) -> str:
    hook.got.clear()
    folder = Path(tempfile.mkdtemp(prefix="opsbook-watch-"))
    try:
        (folder / "book.yaml").write_text(yaml.safe_dump(BOOK))
        killed = _run(hook, folder, store, place)
        if killed.returncode == 0:
            count.missed += 1
        elif killed.returncode == -9:
            count.kills += 1
            again = _run(hook, folder, store)
            count.resumed += again.returncode == 0
            if again.returncode:
                count.stuck += 1
                count.wrong.append(f"{place}: {again.stderr[-500:]}")
        else:
            count.wrong.append(f"{place}: ended with {killed.returncode}: {killed.stderr[-500:]}")
        return _judge(hook, place, count)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _judge(hook: Hook, place: str, count: Count) -> str:
    arrived = Counter(body["key"] for _, body in hook.got)
    for channel in ("first", "second"):
        pages = {key for key in arrived if key.startswith("page|") and key.endswith(f"|{channel}")}
        if len(pages) != 1:
            count.wrong.append(f"{place}: {len(pages)} pages to {channel}: {sorted(arrived)}")
    twice = sum(number - 1 for number in arrived.values())
    count.twice += twice
    if twice > 1:
        count.wrong.append(f"{place}: {twice} came twice after one kill: {dict(arrived)}")
    return f"{len(arrived)} messages, {twice} twice"


def _run(hook: Hook, folder: Path, store: str, *place: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "FIRST": hook.url("first"), "SECOND": hook.url("second")}
    variables.pop("OPSBOOK_STORE", None)
    if store:
        variables["OPSBOOK_STORE"] = store
    command = [sys.executable, "-m", "tests.faults.watch_process", str(folder), *place]
    root = Path(__file__).parents[2]
    return subprocess.run(command, env=variables, cwd=root, capture_output=True, text=True, timeout=120, check=False)


def watch_sweep(only: str, tell: Callable[[str], None]) -> Count:
    """All places, or those of one kind (write, send) or one store (file, postgres)."""
    places = [place for place in all_places() if only in ("", "file", "postgres", place.partition(":")[0])]
    count = sweep(places, tell) if only != "postgres" else Count()
    if only != "file":
        with new_postgres() as server:
            count += sweep(places, tell, server)
    return count
