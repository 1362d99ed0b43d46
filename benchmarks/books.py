"""Loading a book, with every place and problem kept, against PyYAML reading the same text and keeping neither."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import yaml
from figures import Figure, tell

from opsbook.book.load import load_book
from opsbook.catalogue import catalogue

TIMES = 5
HEAD = """\
opsbook: 1
system: shop
environments: {production: {}}
components: {api: {kind: http, url: "http://127.0.0.1:1"}}
checks:
"""
CHECK = '  - {{id: c{}, observe: http.latency_p95, of: api, warning: "> 1s", critical: "> 2s", for: 5m}}\n'


def seconds(act: Callable[[], object]) -> float:
    """Median of the CPU seconds that an act takes."""
    taken = []
    for _ in range(TIMES):
        started = time.process_time()
        act()
        taken.append(time.process_time() - started)
    return median(taken)


def main() -> None:
    known = catalogue()
    with tempfile.TemporaryDirectory() as folder:
        for checks in (60, 5000):
            book = Path(folder, "book.yaml")
            book.write_text(HEAD + "".join(CHECK.format(n) for n in range(checks)), encoding="utf-8")
            text = book.read_text(encoding="utf-8")
            ours = seconds(partial(load_book, book, known))
            peer = seconds(partial(yaml.safe_load, text))
            tell(Figure(f"a book of {checks:,} checks loaded", ours * 1000, "ms of CPU", "PyYAML", peer * 1000))


if __name__ == "__main__":
    main()
