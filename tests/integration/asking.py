"""Requests all the time, each over a connection of its own, and what became of them."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

ANSWER_SECONDS = 10.0


@contextmanager
def asked(port: int, path: str = "/items", rate: float = 40.0, threads: int = 4) -> Iterator[Counter[str]]:
    """Status, or the name of the error, and how often. `rate` is that of all threads together, at most."""
    found: Counter[str] = Counter()
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            began = time.monotonic()
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
                connection.request("GET", path)
                answer = connection.getresponse()
                answer.read()
                connection.close()
                found[str(answer.status)] += 1
            except (OSError, http.client.HTTPException) as error:
                found[type(error).__name__] += 1
            over.wait(max(0.0, threads / rate - (time.monotonic() - began)))

    all_of_them = [threading.Thread(target=ask, daemon=True) for _ in range(threads)]
    for one in all_of_them:
        one.start()
    try:
        yield found
    finally:
        over.set()
        for one in all_of_them:
            one.join()
