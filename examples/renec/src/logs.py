"""One log line for every process: `2026-01-01T00:00:00Z ERROR name: message`, so that errors can be counted by type."""

from __future__ import annotations

import logging
import sys
import time

LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"
TIME = "%Y-%m-%dT%H:%M:%SZ"


class OneLine(logging.Formatter):
    """Keeps a record on one line: an exception is shown by its type and message."""

    converter = time.gmtime

    def __init__(self) -> None:
        super().__init__(LINE, TIME)

    def formatException(self, ei) -> str:  # type: ignore[no-untyped-def]  # noqa: N802
        return f"{ei[0].__name__}: {ei[1]}".splitlines()[0]

    def format(self, record: logging.LogRecord) -> str:
        return " | ".join(super().format(record).splitlines())


def log_to_stderr(level: str = "INFO") -> None:
    """Send every logger of this process to stderr in the common form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    quieten_libraries()


def quieten_libraries() -> None:
    """Leave of the libraries' messages what matters to an operator."""
    for noisy in ("httpx", "httpcore", "asyncio", "uvicorn.access", "scrapy", "twisted", "py.warnings"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("scrapy.core.scraper").setLevel(logging.CRITICAL)  # the recorder logs the same failures by type
