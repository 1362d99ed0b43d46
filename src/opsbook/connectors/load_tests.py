"""hey, which sends requests at a bounded rate over a bounded number of connections; its report read.

Of the load generators that Debian has it is the one that keeps to a rate: wrk goes as fast as it can, which is an
attack and no test. https://github.com/rakyll/hey
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from opsbook.errors import Refused

REQUEST_SECONDS = 10
_STATUS = re.compile(r"^\s*\[(\d{3})\]\s+(\d+) responses$", re.MULTILINE)
_ERROR = re.compile(r"^\s*\[(\d+)\]\s+(\S.*)$", re.MULTILINE)
_PERCENTILE = re.compile(r"^\s*(\d+)%+ in ([\d.]+) secs", re.MULTILINE)
_TOTAL = re.compile(r"^\s*(Total|Slowest|Requests/sec):\s+([\d.]+)", re.MULTILINE)


@dataclass(frozen=True)
class Report:
    """What came of it. Seconds of a percentile are those of answers; None where there was none."""

    requests: int
    errors: int
    statuses: dict[str, int]
    percentiles: dict[int, float]
    seconds: float
    words: str
    """The first error."""

    @property
    def share(self) -> float:
        """Of requests that failed or were answered with 5xx."""
        return self.errors / self.requests if self.requests else 0.0


def program() -> str:
    """Raises Refused where it is not installed."""
    if found := shutil.which("hey"):
        return found
    raise Refused("hey is not installed here, which sends the requests", "apt-get install hey")


def argv(url: str, address: str, rate: float, seconds: int, connections: int) -> Sequence[str]:
    """Its arguments; each connection takes its share of the rate. `address`: where to connect in place of the host."""
    options = ["-z", f"{seconds}s", "-c", str(connections), "-q", f"{rate / connections:.6f}"]
    options += ["-t", str(REQUEST_SECONDS), "-disable-redirects"]
    if address:
        parts = urlsplit(url)
        options += ["-host", parts.netloc.rpartition("@")[2]]
        port = f":{parts.port}" if parts.port else ""
        url = urlunsplit(parts._replace(netloc=f"{address}{port}"))
    return [program(), *options, url]


def read(said: str) -> Report:
    """Its summary. Raises ValueError where there is none."""
    totals = {name: float(figure) for name, figure in _TOTAL.findall(said)}
    if "Total" not in totals:
        raise ValueError("it printed no summary")
    head, _, tail = said.partition("Error distribution:")
    statuses = {code: int(count) for code, count in _STATUS.findall(head)}
    failed = [(int(count), words.strip()) for count, words in _ERROR.findall(tail)]
    errors = sum(count for count, _ in failed) + sum(count for code, count in statuses.items() if code >= "500")
    requests = sum(statuses.values()) + sum(count for count, _ in failed)
    percentiles = {int(share): float(took) for share, took in _PERCENTILE.findall(head)}
    if statuses:
        # Of fewer than a hundred answers it leaves the 99th out, which is then the slowest.
        percentiles.setdefault(99, totals.get("Slowest", 0.0))
    return Report(requests, errors, statuses, percentiles, totals["Total"], failed[0][1][:200] if failed else "")
