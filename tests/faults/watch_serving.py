"""The real `opsbook serve`, killed at random moments while faults come: every page arrives, and at most one comes
twice for each kill, as counted at the one who gets them and gives receipts.

Each fault is a site that goes down, with channels of its own for the first and the second level, so that no digest
takes pages together. On a file one process serves; on PostgreSQL two do, and one of them is killed.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

from tests.faults.kills import Count
from tests.integration.servers import new_postgres
from tests.integration.serving import Serving
from tests.integration.sinks import Hook, webhook

LEVELS = ("first", "second")
PATIENCE = 180.0
"""Seconds: a claim of one that died runs out first, and its leadership."""


@contextmanager
def sites() -> Iterator[tuple[int, set[int]]]:
    """A server with a path for each site, and which of them are down."""
    down: set[int] = set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503 if int(self.path.strip("/")) in down else 200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield server.server_address[1], down
    finally:
        server.shutdown()
        server.server_close()


def write_book(folder: Path, port: int, hook: Hook, faults: int) -> None:
    """A book whose checks page two levels each, one after the other."""
    names = {f"{level}-{n}": hook.url(f"{level}/{n}") for n in range(faults) for level in LEVELS}
    paths = {
        f"S{n}": {"escalation": [{"level": "L1", "notify": f"first-{n}"},
                                 {"level": "L2", "notify": f"second-{n}", "within": "1s"}]}
        for n in range(faults)
    }  # fmt: skip
    book = {
        "opsbook": 1, "system": "shop", "environments": {"production": {"policy": "open"}},
        "components": {f"s{n}": {"kind": "http", "url": f"http://127.0.0.1:{port}", "health": f"/{n}"}
                       for n in range(faults)},
        "checks": [{"id": f"c{n}", "observe": "http.up", "of": f"s{n}", "severity": f"S{n}", "interval": "1s"}
                   for n in range(faults)],
        "severities": paths, "incidents": {"group_by": "check"}, "channels": {
            # A claim runs out with its channel's time-out.
            name: {"url": url, "timeout": "1s"} for name, url in names.items()},
    }  # fmt: skip
    (folder / "book.yaml").write_text(yaml.safe_dump(book))


def serve_kills(
    kills: int, seed: int, tell: Callable[[str], None] = lambda _: None, *, postgres: bool = False
) -> Count:
    """So many faults, and a kill at a random moment of each."""
    luck, count = random.Random(seed), Count()
    folder = Path(tempfile.mkdtemp(prefix="opsbook-serving-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        hook, (port, down) = stack.enter_context(webhook()), stack.enter_context(sites())
        write_book(folder, port, hook, kills)
        variables = {}
        if postgres:
            server = stack.enter_context(new_postgres())
            server.sql("CREATE DATABASE opsbook", database="postgres")
            variables["OPSBOOK_STORE"] = server.url(database="opsbook")
        (folder / "book").mkdir()
        (folder / "book.yaml").rename(folder / "book" / "book.yaml")
        running = [Serving(folder / "book", **variables).watching() for _ in range(2 if postgres else 1)]
        stack.callback(lambda: _end(running))
        for fault in range(kills):
            down.add(fault)
            time.sleep(luck.uniform(0.0, 3.0))
            place = luck.randrange(len(running))
            running[place].kill()
            count.kills += 1
            running[place] = Serving(folder / "book", **variables)
            tell(f"fault {fault}: killed; {len(hook.got)} messages until then")
        _await_all(hook, kills, count)
        _judge(hook, kills, count)
        count.resumed = count.kills - count.stuck
        if any("Traceback" in one.said() for one in running):
            count.wrong.append(f"a traceback: {running[-1].said()[-500:]}")
    return count


def _end(running: list[Serving]) -> None:
    for one in running:
        one.kill()


def _pages(hook: Hook, level: str, fault: int) -> list[str]:
    return [key for key in hook.keys(f"{level}/{fault}") if key.startswith("page|")]


def _await_all(hook: Hook, faults: int, count: Count) -> None:
    end = time.monotonic() + PATIENCE
    while lost := [(level, n) for n in range(faults) for level in LEVELS if not _pages(hook, level, n)]:
        if time.monotonic() > end:
            count.stuck += len(lost)
            count.wrong.append(f"pages that never came: {lost}")
            return
        time.sleep(0.2)
    time.sleep(1.0)  # what would come twice comes now


def _judge(hook: Hook, faults: int, count: Count) -> None:
    for n in range(faults):
        for level in LEVELS:
            arrived = Counter(_pages(hook, level, n))
            if len(arrived) > 1:
                count.wrong.append(f"fault {n} is several pages to {level}: {sorted(arrived)}")
            count.twice += sum(arrived.values()) - len(arrived)
    if count.twice > count.kills:
        count.wrong.append(f"{count.twice} came twice after {count.kills} kills")


def serving_sweep(only: str, tell: Callable[[str], None]) -> Count:
    """On a file and on PostgreSQL."""
    seed, total = int(os.environ.get("OPSBOOK_TEST_SEED", "5")), Count()
    for name, kills, postgres in (("file", 12, False), ("postgres", 4, True)):
        if only in ("", name):
            total += serve_kills(kills, seed, tell, postgres=postgres)
    return total
