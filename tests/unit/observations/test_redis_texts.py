"""What Redis observations show, and how moments are read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from opsbook.observations.redis_clients import command
from opsbook.observations.redis_keys import moment_of

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [
        NOON.timestamp(),
        str(NOON.timestamp()),
        "2026-01-02T12:00:00Z",
        "2026-01-02T12:00:00",
        "2026-01-02T06:00:00-06:00",
    ],
)
def test_a_moment_is_read_in_every_usual_form(written: object) -> None:
    assert moment_of(written) == NOON


@pytest.mark.parametrize("written", [None, "", "yesterday", "nan", "1e300", {}, b"x"])
def test_what_is_no_moment_is_none(written: object) -> None:
    assert moment_of(written) is None


def test_a_command_is_shown_with_its_key_alone() -> None:
    assert command(b"SET user:1 their-data") == "SET user:1 …"
    assert command("PING") == "PING"
