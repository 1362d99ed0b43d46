"""The doctor: what it reaches, what it does not, and what it tells to do."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from opsbook.checks.diagnosis import Diagnosis
from opsbook.checks.doctor import examine, probes
from opsbook.checks.doctor_book import TOOLS, examine_book
from opsbook.cli.doctor import command
from opsbook.clock import SystemClock
from opsbook.connectors.registry import open_connections, registered
from tests.integration.servers import Postgres, RedisServer, free_port, make_system, new_redis, silent_server
from tests.integration.supervisord import new_supervisord

REDIS_UP = {"id": "up", "observe": "redis.up", "of": "cache"}


async def _examine(folder: Path, components: dict[str, dict[str, Any]], **keys: Any) -> dict[str, Diagnosis]:
    system = make_system(folder, components, **keys)
    async with open_connections(system) as connections:
        found = await examine(system, connections, SystemClock())
    return {f"{one.area} {one.name}": one for one in found}


def _book(system_folder: Path, components: dict[str, dict[str, Any]], **keys: Any) -> dict[str, Diagnosis]:
    system = make_system(system_folder, components, **keys)
    return {f"{one.area} {one.name}": one for one in examine_book(system, SystemClock().now())}


@pytest.mark.real
async def test_what_answers_is_fine(
    tmp_path: Path, redis_server: RedisServer, postgres_pair: tuple[Postgres, Postgres]
) -> None:
    primary, standby = postgres_pair
    database = {"kind": "postgres", "dsn": primary.monitor, "replica": standby.monitor}
    found = await _examine(tmp_path, {"cache": {"kind": "redis", "url": redis_server.url}, "database": database})
    assert found["component cache"].health == "fine"
    assert "answers" in found["component cache"].message
    assert found["component database"].health == "fine"
    assert found["component database (postgres.replica_up)"].health == "fine"


@pytest.mark.real
async def test_a_wrong_password_and_a_closed_port_say_what_to_look_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with new_redis("--requirepass", "right-word") as locked:
        monkeypatch.setenv("CACHE_URL", f"redis://:wrong-word@127.0.0.1:{locked.port}/0")
        monkeypatch.setenv("GONE_URL", f"redis://127.0.0.1:{free_port()}/0")
        found = await _examine(
            tmp_path,
            {"cache": {"kind": "redis", "url": "${CACHE_URL}"}, "gone": {"kind": "redis", "url": "${GONE_URL}"}},
        )
    assert (found["component cache"].health, found["component gone"].health) == ("wrong", "wrong")
    assert "password" in found["component cache"].message
    assert "${CACHE_URL}" in found["component cache"].hint
    assert "connect" in found["component gone"].message
    assert "wrong-word" not in str(found)


async def test_one_that_never_answers_costs_only_itself(tmp_path: Path) -> None:
    with silent_server() as port:
        components = {
            "mute": {"kind": "redis", "url": f"redis://127.0.0.1:{port}/0"},
            "machine": {"kind": "host"},
        }
        found = await _examine(tmp_path, components, intervals={"timeout": "500ms"})
    assert (found["component mute"].health, found["component machine"].health) == ("wrong", "fine")
    assert "500 ms" in found["component mute"].message or "0.5 s" in found["component mute"].message


async def test_a_missing_secret_is_not_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOBODY_SET_THIS", raising=False)
    components = {
        "broker": {"kind": "redis", "url": "${NOBODY_SET_THIS}"},
        "worker": {"kind": "celery", "broker": "broker"},
    }
    found = await _examine(tmp_path, components)
    for name in ("component broker", "component worker"):
        assert found[name].message == "not tried: the environment variable NOBODY_SET_THIS is not set"
        assert found[name].hint.startswith("set NOBODY_SET_THIS")


@pytest.mark.real
async def test_the_runtime_is_asked_for_every_workload(tmp_path: Path) -> None:
    with new_supervisord() as held:
        system = held.system({
            "worker": {"kind": "workload", "workload": "worker"},
            "lost": {"kind": "workload", "workload": "wroker"},
        })  # fmt: skip
        async with open_connections(system) as connections:
            found = {f"{one.area} {one.name}": one for one in await examine(system, connections, SystemClock())}
    assert found["runtime supervisor"].health == "fine", found["runtime supervisor"]
    assert found["component worker"].health == "wrong"  # it is held, and was never started
    assert "runtime worker" not in found
    assert found["runtime lost"].health == "wrong"
    assert found["runtime lost"].hint == "did you mean 'worker'?"


async def test_a_runtime_that_is_away_is_wrong_and_one_that_is_not_known_is_noted(tmp_path: Path) -> None:
    away = {"test": {"runtime": {"kind": "supervisor", "url": f"unix://{tmp_path}/none.sock"}}}
    found = await _examine(tmp_path / "a", {"machine": {"kind": "host"}}, environments=away)
    assert found["runtime supervisor"].health == "wrong"
    assert found["runtime supervisor"].hint
    for kind, settings in (("compose", {}), ("kubernetes", {"namespace": "shop"})):
        if kind in registered().runtimes:
            continue
        other = {"test": {"runtime": {"kind": kind, **settings}}}
        found = await _examine(tmp_path / kind, {"machine": {"kind": "host"}}, environments=other)
        assert found[f"runtime {kind}"].health == "note"


def test_an_env_file_that_others_can_read_is_noted(tmp_path: Path) -> None:
    environments = {"test": {"env_file": "secrets.env"}}
    (tmp_path / "secrets.env").write_text("CACHE_URL=redis://:hunter2@127.0.0.1\n")
    (tmp_path / "secrets.env").chmod(0o644)
    components = {"cache": {"kind": "redis", "url": "${CACHE_URL}"}}
    found = _book(tmp_path, components, environments=environments)
    assert found["credential secrets.env"].health == "note"
    assert found["credential secrets.env"].hint.startswith("chmod 600 ")
    assert found["credential 1 reference"].health == "fine"
    assert "hunter2" not in str(found)
    (tmp_path / "secrets.env").chmod(0o600)
    assert _book(tmp_path, components, environments=environments)["credential secrets.env"].health == "fine"


async def test_a_missing_env_file_is_wrong_and_everything_else_is_still_told(tmp_path: Path) -> None:
    found = await _examine(
        tmp_path, {"cache": {"kind": "redis", "url": "${A}"}}, environments={"test": {"env_file": "none.env"}}
    )
    assert found["credential none.env"].health == "wrong"
    assert "No such file" in found["credential none.env"].message
    assert found["component cache"].message.startswith("not tried")
    assert found["clock this machine"].health == "fine"


def test_secrets_that_stand_in_the_book_are_called_out_and_not_shown(tmp_path: Path) -> None:
    found = _book(
        tmp_path,
        {"cache": {"kind": "redis", "url": "redis://:hunter2@127.0.0.1:1/0"}},
        channels={"oncall": "slack://T0/B0/hunter2", "mail": "mailto:ops@example.org"},
    )
    assert found["credential components.cache.url"].health == "note"
    assert "CACHE_URL" in found["credential components.cache.url"].hint
    assert "credential channels.oncall.url" in found
    assert "credential channels.mail.url" not in found
    assert "hunter2" not in str(found)


def test_tools_that_the_book_needs_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "pg_dump").write_text("#!/bin/sh\n")
    (programs / "pg_dump").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    backups = [{"id": "nightly", "of": "database", "method": "dump"}]
    found = _book(tmp_path, {"database": {"kind": "postgres", "dsn": "postgresql://localhost"}}, backups=backups)
    assert found["tool pg_dump"].health == "fine"
    assert found["tool pg_restore"].message == "not found on PATH; the backup nightly needs it"
    assert all(isinstance(program, str) for programs_ in TOOLS.values() for program in programs_)


def test_keys_without_behaviour_yet_are_told_once_with_their_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {"objectives.*.drill": "nobody drills", "checks.*.for": "nobody waits", "silences": "nobody is silent"}
    monkeypatch.setattr("opsbook.book.inactive.INACTIVE", keys)
    found = _book(
        tmp_path,
        {"cache": {"kind": "redis", "url": "redis://localhost"}},
        checks=[{**REDIS_UP, "for": "5m"}, {**REDIS_UP, "id": "again", "for": "5m"}],
        objectives={"cache": {"rto": "1h", "drill": "0 5 * * 0"}},
        silences=[],
    )
    inactive = [name for name, one in found.items() if "without effect" in one.message]
    assert inactive == ["book objectives.cache.drill", "book checks[0].for"]
    assert "(line " in found["book objectives.cache.drill"].message


def test_what_no_check_looks_at_and_procedures_that_are_not_there_are_noted(tmp_path: Path) -> None:
    components = {"cache": {"kind": "redis", "url": "redis://x"}, "other": {"kind": "redis", "url": "redis://y"}}
    checks = [{**REDIS_UP, "procedure": "restart-cache"}]
    found = _book(tmp_path, components, checks=checks)
    assert found["book unwatched components"].message == "no check looks at other"
    assert "there is no procedures/restart-cache.md" in found["book restart-cache"].message
    (tmp_path / "procedures").mkdir()
    (tmp_path / "procedures" / "restart-cache.md").write_text("---\n---\n")
    assert "book restart-cache" not in _book(tmp_path, components, checks=checks)


def test_a_clock_that_lags_behind_the_book_is_wrong(tmp_path: Path) -> None:
    system = make_system(tmp_path, {"machine": {"kind": "host"}})
    ahead = SystemClock().now().timestamp() + 3600
    os.utime(tmp_path / "book.yaml", (ahead, ahead))
    found = {one.area: one for one in examine_book(system, SystemClock().now())}
    assert found["clock"].health == "wrong"


def test_every_kind_of_component_can_be_tried_or_says_why_not() -> None:
    tried: Callable[[str, bool], bool] = lambda kind, held: bool(  # noqa: E731
        probes(registered().components[kind].model_construct(kind=kind, workload="x"), held)
    )
    # Other tests may have registered kinds of their own.
    kinds = [kind for kind, model in registered().components.items() if model.__module__.startswith("opsbook.")]
    assert [kind for kind in kinds if not tried(kind, True)] == []
    assert [kind for kind in kinds if not tried(kind, False)] == ["celery-beat", "workload"]


@pytest.mark.real
def test_the_verb_exits_with_0_or_3_and_speaks_json(tmp_path: Path, redis_server: RedisServer) -> None:
    make_system(tmp_path, {"cache": {"kind": "redis", "url": redis_server.url}}, checks=[REDIS_UP])
    runner = CliRunner()
    good = runner.invoke(command, ["--book", str(tmp_path), "--format", "json"], standalone_mode=False)
    assert good.return_value == 0
    document = json.loads(good.stdout)
    assert document["health"] == "fine"
    assert {"component", "clock", "store"} <= {one["area"] for one in document["diagnoses"]}
    make_system(tmp_path, {"cache": {"kind": "redis", "url": f"redis://127.0.0.1:{free_port()}"}}, checks=[REDIS_UP])
    bad = runner.invoke(command, ["--book", str(tmp_path)], standalone_mode=False)
    assert bad.return_value == 3
    assert "does it run?" in bad.stdout
    assert bad.stdout.rstrip().endswith("test in test: 1 wrong, 3 fine")


def test_a_store_that_cannot_be_written_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_system(tmp_path, {"machine": {"kind": "host"}})
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OPSBOOK_STORE", str(tmp_path / "file" / "store.db"))
    done = CliRunner().invoke(command, ["--book", str(tmp_path), "--format", "json"], standalone_mode=False)
    assert done.return_value == 3
    (store,) = [one for one in json.loads(done.stdout)["diagnoses"] if one["area"] == "store"]
    assert store["health"] == "wrong"
    assert "OPSBOOK_STORE" in store["hint"]
