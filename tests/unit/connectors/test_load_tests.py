"""The report of the load generator, and what it is told."""

from __future__ import annotations

import asyncio
import os
import subprocess

import pytest

from opsbook.connectors import load_tests
from opsbook.connectors.executors.load import Load
from opsbook.connectors.load_tests import argv, read
from opsbook.connectors.process_tree import KEY
from opsbook.operations.load import LoadTest

SUMMARY = """
Summary:
  Total:\t2.0209 secs
  Slowest:\t0.0120 secs
  Requests/sec:\t9.8965


Latency distribution:
  10% in 0.0010 secs
  50% in 0.0021 secs
  99% in 0.0113 secs

Status code distribution:
  [200]\t14 responses
  [503]\t2 responses

Error distribution:
  [4]\tGet "http://127.0.0.1:1/": dial tcp 127.0.0.1:1: connect: connection refused
"""


def test_it_counts_what_failed_and_what_was_answered_with_an_error() -> None:
    found = read(SUMMARY)
    assert (found.requests, found.errors, found.statuses) == (20, 6, {"200": 14, "503": 2})
    assert (found.percentiles[50], found.percentiles[99], found.seconds) == (0.0021, 0.0113, 2.0209)
    assert "connection refused" in found.words
    assert found.share == 0.3


def test_nothing_was_answered_is_no_division_by_zero() -> None:
    found = read("  Total:\t1.0 secs\nStatus code distribution:\n")
    assert (found.requests, found.share, found.percentiles) == (0, 0.0, {})
    with pytest.raises(ValueError, match="no summary"):
        read("flag provided but not defined")


def test_the_rate_is_shared_by_the_connections_and_the_name_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_tests, "program", lambda: "hey")
    words = list(argv("http://api.shop:8000/x", "127.0.0.1", 50, 10, 4))
    assert words[words.index("-q") + 1] == "12.500000"
    assert words[words.index("-host") + 1] == "api.shop:8000"
    assert words[-1] == "http://127.0.0.1:8000/x"


@pytest.mark.parametrize("path", [".elsewhere/x", "@elsewhere/", "/a b", "/x\n"])
def test_a_path_that_would_lead_to_another_host_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        LoadTest(of="api", checks=("up",), path=path)
    assert LoadTest(of="api", checks=("up",), path="/things?x=1").path == "/things?x=1"


def test_the_generator_that_a_dead_process_left_is_ended() -> None:
    async def ended() -> bool:
        return await Load(None).end("load-that-was-left", None)  # type: ignore[arg-type]

    with subprocess.Popen(["sleep", "60"], env={"PATH": os.defpath, KEY: "load-that-was-left"}) as child:
        assert asyncio.run(ended())
        assert child.wait(10) != 0
