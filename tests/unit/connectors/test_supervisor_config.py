"""What a supervisord.conf says."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from opsbook.connectors.runtimes.supervisor_config import read_config
from opsbook.connectors.runtimes.supervisor_events import read_events
from opsbook.connectors.runtimes.supervisor_rpc import settings_of_url
from opsbook.errors import Unreachable

CONFIG = """\
[unix_http_server]
file = %(here)s/run/s.sock   ; where it listens
username = ops
password = s3cret-word
[supervisord]
logfile = logs/d.log
environment = A="1,2",PATH_LIKE="/x:/y"
[include]
files = conf.d/*.conf
[program:api]
command = /bin/api --name %(program_name)s-%(process_num)02d
process_name = %(program_name)s_%(process_num)02d
numprocs = 3
numprocs_start = 1
directory = %(here)s/current
autostart = false
environment = B="two words",HOME_DIR="%(ENV_OPSBOOK_TEST)s",PCT="100%%"
[group:jobs]
programs = beat,probe
[program:beat]
command = /bin/beat
"""
PROBE = "[program:probe]\ncommand=/bin/probe\nstopwaitsecs=33\n[fcgi-program:web]\ncommand=/bin/web\nsocket=tcp://127.0.0.1:1\n"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPSBOOK_TEST", "/home/x")
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "more.conf").write_text(PROBE)
    (tmp_path / "s.conf").write_text(CONFIG)
    return tmp_path / "s.conf"


def test_it_says_where_supervisord_listens(path: Path) -> None:
    found = read_config(path)
    assert found.unix == str(path.parent / "run" / "s.sock")
    assert (found.username, found.password) == ("ops", "s3cret-word")
    assert found.log == str(path.parent / "logs" / "d.log")
    assert "s3cret-word" not in repr(found)


def test_it_says_the_slots_groups_and_environment_of_programs(path: Path) -> None:
    programs = {program.name: program for program in read_config(path).programs}
    api = programs["api"]
    assert api.process_names == ("api_01", "api_02", "api_03")
    assert api.directory == str(path.parent / "current")
    assert not api.autostart
    assert api.environment == {"A": "1,2", "PATH_LIKE": "/x:/y", "B": "two words", "HOME_DIR": "/home/x", "PCT": "100%"}
    assert (programs["beat"].group, programs["probe"].group, api.group) == ("jobs", "jobs", "api")
    assert programs["probe"].stop_seconds == 33
    assert programs["web"].shares_socket
    assert not api.shares_socket


def test_a_configuration_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="No such file"):
        read_config(tmp_path / "none.conf")
    (tmp_path / "bad.conf").write_text("this is not ini")
    with pytest.raises(Unreachable, match="not a supervisor configuration"):
        read_config(tmp_path / "bad.conf")


def test_an_address_says_where_and_who() -> None:
    found = settings_of_url("http://ops:pw@127.0.0.1:9001")
    assert (found.url, found.username, found.password) == ("http://127.0.0.1:9001", "ops", "pw")
    assert settings_of_url("unix:///run/s.sock").unix == "/run/s.sock"
    with pytest.raises(Unreachable):
        settings_of_url("http://nowhere")


LOG = """\
2026-01-02 11:00:00,001 INFO spawned: 'api_01' with pid 7
2026-01-02 11:00:01,001 INFO success: api_01 entered RUNNING state, process has stayed up for > than 1 seconds
2026-01-02 11:00:02,001 WARN exited: api_01 (terminated by SIGKILL; not expected)
2026-01-02 11:00:02,100 INFO spawned: 'beat' with pid 8
2026-01-02 11:00:03,001 INFO exited: api_01 (exit status 0; expected)
2026-01-02 11:00:04,001 INFO gave up: api_01 entered FATAL state, too many start retries too quickly
2026-01-02 11:00:05,001 INFO stopped: api_01 (terminated by SIGTERM)
2026-01-02 11:00:06,001 INFO waiting for api_01 to stop
"""


def test_its_log_tells_events_of_the_processes_that_are_meant() -> None:
    found = list(read_events(LOG.splitlines(), {"api_01"}, datetime(2026, 1, 2, tzinfo=UTC)))
    assert [event.kind for event in found] == ["started", "ready", "crashed", "ended", "failed", "stopped"]
    assert found[2].message == "exited: api_01 (terminated by SIGKILL; not expected)"
    assert {event.instance for event in found} == {"api_01"}
