"""A copy of a server that is gone ends by itself: the connection says how its death is noticed."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from opsbook.connectors import postgres_replica
from opsbook.connectors.postgres_replica import Copying


class Primary:
    """Answers with its version."""

    def rows(self, *_: object) -> list[tuple[int]]:
        return [(15,)]


def test_the_copy_notices_a_server_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def run(argv: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(argv)
        return subprocess.CompletedProcess(argv, 0, "", "")

    monkeypatch.setattr(postgres_replica.subprocess, "run", run)
    monkeypatch.setattr(postgres_replica, "program_of", lambda name, _: name)
    follows = {"host": "db", "user": "copies", "password": "s3cret-word", "tcp_user_timeout": "5000"}
    primary: Any = Primary()
    copying = Copying(primary, primary, {}, follows, "slot", "run/1/0")
    copying._copy(tmp_path)
    ((*_, address),) = asked
    told = conninfo_to_dict(address)
    assert told["keepalives_idle"] == "30" and told["connect_timeout"] == "10"
    assert told["tcp_user_timeout"] == "5000", "what the book says counts"
    assert "s3cret-word" not in address
