"""Compose files as the Docker API is told them; events, logs and versions as the engine tells them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from opsbook.connectors.runtimes.compose_containers import Container, moment
from opsbook.connectors.runtimes.compose_create import alone, not_understood, wanted
from opsbook.connectors.runtimes.compose_events import read_events
from opsbook.connectors.runtimes.compose_file import ComposeFile, fill, read_compose_file, seconds, size
from opsbook.connectors.runtimes.compose_logs import after
from opsbook.connectors.runtimes.compose_record import Record, image_of, version_of
from opsbook.connectors.runtimes.compose_usage import cores, memory
from opsbook.connectors.runtimes.contract import LogLine, Unsupported
from opsbook.errors import UsageError


def a_file(folder: Path, service: dict[str, Any], **more: Any) -> ComposeFile:
    path = folder / "compose.yaml"
    path.write_text(yaml.safe_dump({"name": "shop", "services": {"api": {"image": "shop:1", **service}}, **more}))
    return read_compose_file(path, "", {"TAG": "7"})


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("${TAG}", "7"),
        ("$TAG-x", "7-x"),
        ("$$TAG", "$TAG"),
        ("${NONE}", ""),
        ("${NONE:-a}", "a"),
        ("${EMPTY:-a}", "a"),
        ("${EMPTY-a}", ""),
        ("${TAG:+set}", "set"),
        ("${NONE+set}", ""),
    ],
)
def test_it_fills_in_variables_as_compose_does(written: str, meant: str) -> None:
    assert fill([{"k": written}], {"TAG": "7", "EMPTY": ""}, "compose.yaml") == [{"k": meant}]


def test_a_project_is_named_as_compose_names_it(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text("services: {api: {image: 'shop:1'}}")
    assert read_compose_file(file, "", {}).project == tmp_path.name.lower()
    file.write_text("name: shop\nservices: {api: {image: 'shop:1'}}")
    assert read_compose_file(file, "", {}).project == "shop"
    (tmp_path / ".env").write_text("COMPOSE_PROJECT_NAME=beside\n")
    assert read_compose_file(file, "", {}).project == "beside"
    assert read_compose_file(file, "given", {}).project == "given"


def test_it_names_a_variable_that_must_be_set() -> None:
    with pytest.raises(UsageError, match="PASSWORD is not set: ask ops"):
        fill("${PASSWORD:?ask ops}", {}, "compose.yaml")


@pytest.mark.parametrize(
    ("service", "place", "value"),
    [
        ({"command": "run --now 'a b'"}, ("Cmd",), ["run", "--now", "a b"]),
        ({"command": ["a", 1]}, ("Cmd",), ["a", "1"]),
        ({"environment": {"A": 1, "B": True, "TAG": None}}, ("Env",), ["A=1", "B=true", "TAG=7"]),
        ({"environment": ["A=b=c", "NONE"]}, ("Env",), ["A=b=c"]),
        ({"mem_limit": "64m"}, ("HostConfig", "Memory"), 64 * 1024**2),
        ({"deploy": {"resources": {"limits": {"cpus": "0.5"}}}}, ("HostConfig", "NanoCpus"), 500_000_000),
        ({"volumes": ["data:/d:ro"]}, ("HostConfig", "Binds"), ["shop_data:/d:ro"]),
        ({"volumes": ["/srv:/d"]}, ("HostConfig", "Binds"), ["/srv:/d"]),
        (
            {"ports": ["127.0.0.1:80:8000"]},
            ("HostConfig", "PortBindings"),
            {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "80"}]},
        ),
        (
            {"ports": [{"target": 53, "protocol": "udp"}]},
            ("HostConfig", "PortBindings"),
            {"53/udp": [{"HostIp": "", "HostPort": ""}]},
        ),
        ({"restart": "on-failure:3"}, ("HostConfig", "RestartPolicy"), {"Name": "on-failure", "MaximumRetryCount": 3}),
        ({"restart": False}, ("HostConfig", "RestartPolicy"), {"Name": "no"}),
        ({}, ("HostConfig", "NetworkMode"), "shop_default"),
        ({"network_mode": "host"}, ("HostConfig", "NetworkMode"), "host"),
        (
            {"networks": {"back": {"aliases": ["db"]}}},
            ("NetworkingConfig",),
            {"EndpointsConfig": {"shop_back": {"Aliases": ["api", "db"]}}},
        ),
        (
            {"healthcheck": {"test": "true", "interval": "1m30s", "retries": 2}},
            ("Healthcheck",),
            {"Test": ["CMD-SHELL", "true"], "Interval": 90_000_000_000, "Retries": 2},
        ),
        ({"healthcheck": {"disable": True}}, ("Healthcheck",), {"Test": ["NONE"]}),
    ],
)
def test_it_tells_the_engine_what_the_file_says(
    tmp_path: Path, service: dict[str, Any], place: tuple[str, ...], value: Any
) -> None:
    file = a_file(tmp_path, service)
    found: Any = wanted(file, file.services["api"], 1, "shop-api-1", "shop:2").config
    assert (found["Image"], found["Labels"]["com.docker.compose.service"]) == ("shop:2", "api")
    for key in place:
        found = found[key]
    assert found == value


@pytest.mark.parametrize(
    ("service", "key"),
    [
        ({"devices": ["/dev/kvm"]}, "devices"),
        ({"secrets": ["token"]}, "secrets"),
        ({"deploy": {"placement": {}}}, "deploy.placement"),
        ({"deploy": {"mode": "global"}}, "deploy.mode"),
        ({"image": "", "build": "."}, "build"),
        ({"x-owner": "me", "ports": ["80"]}, ""),
    ],
)
def test_it_names_the_key_that_it_does_not_understand(tmp_path: Path, service: dict[str, Any], key: str) -> None:
    assert not_understood(a_file(tmp_path, service).services["api"]) == key


def test_a_volume_without_a_name_is_refused(tmp_path: Path) -> None:
    file = a_file(tmp_path, {"volumes": ["/var/lib/data"]})
    with pytest.raises(Unsupported, match="begin with an empty one"):
        wanted(file, file.services["api"], 1, "shop-api-1", "shop:2")


@pytest.mark.parametrize(
    ("service", "why"),
    [
        ({"ports": ["8080:80"]}, "it publishes the port 8080"),
        ({"ports": ["8080-8090:80"]}, ""),
        ({"ports": ["80"]}, ""),
        ({"container_name": "api"}, "its container is named api"),
    ],
)
def test_it_knows_what_there_can_be_one_of_only(tmp_path: Path, service: dict[str, Any], why: str) -> None:
    assert alone(a_file(tmp_path, service).services["api"]) == why


def test_services_stand_after_those_that_they_need(tmp_path: Path) -> None:
    path = tmp_path / "compose.yaml"
    path.write_text("services: {a: {image: x, depends_on: [c]}, b: {image: x}, c: {image: x, depends_on: {b: {}}}}")
    file = read_compose_file(path, "", {})
    assert file.order == ("b", "c", "a")
    path.write_text("services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}}")
    with pytest.raises(UsageError, match="depends on itself"):
        _ = read_compose_file(path, "", {}).order


@pytest.mark.parametrize(("written", "meant"), [("1m30s", 90), ("500ms", 0.5), ("1h", 3600), (10, 10)])
def test_it_reads_durations(written: Any, meant: float) -> None:
    assert seconds(written) == meant


def test_it_reads_sizes() -> None:
    assert (size("64m"), size("1.5GB"), size(1024)) == (67108864, 1610612736, 1024)
    with pytest.raises(UsageError, match="not a size"):
        size("much")


@pytest.mark.parametrize(
    ("version", "image"),
    [
        ("2", "reg:5000/shop/api:2"),
        ("sha256:ab", "reg:5000/shop/api@sha256:ab"),
        ("other/api:3", "other/api:3"),
    ],
)
def test_a_version_is_a_tag_a_digest_or_an_image(version: str, image: str) -> None:
    assert image_of(version, "reg:5000/shop/api:1") == image
    assert version_of(image, "reg:5000/shop/api:1") == version


def test_the_record_tells_versions_and_gives_way_to_a_file_that_was_changed(tmp_path: Path) -> None:
    record = Record(tmp_path / "deploys.jsonl")
    assert record.wanted("api", "shop:1") == "shop:1"
    record.begin("api", "shop:1", "shop:1")
    record.note("api", "shop:1", "shop:2")
    record.note("api", "shop:1", "shop:2")
    record.path.write_text(record.path.read_text() + '{"service": "api", "ima')
    assert [(one.version, one.current) for one in record.revisions("api", "shop:1", "shop:2")] == [
        ("1", False),
        ("2", True),
    ]
    assert record.wanted("api", "shop:1") == "shop:2"
    assert record.wanted("api", "shop:9") == "shop:9"
    assert (record.previous("api", "shop:2"), record.previous("web", "shop:2")) == ("shop:1", "")


def event(action: str, code: str = "", who: str = "a") -> dict[str, Any]:
    said = {"name": "shop-api-1", **({"exitCode": code} if code else {})}
    return {"Action": action, "Actor": {"ID": who, "Attributes": said}, "timeNano": 1_700_000_000_000_000_000}


@pytest.mark.parametrize(
    ("told", "kinds"),
    [
        ([event("start"), event("die", "3")], ["started", "crashed"]),
        ([event("kill"), event("die", "1")], ["ended"]),
        ([event("die", "143")], ["ended"]),
        ([event("die", "137")], ["killed"]),
        ([event("oom"), event("die", "137")], ["oom", "crashed"]),
        ([event("kill"), event("die", "0"), event("start"), event("die", "1")], ["ended", "started", "crashed"]),
        ([event("kill", who="b"), event("die", "1")], ["crashed"]),
        ([event("health_status: unhealthy"), event("health_status: healthy")], ["unhealthy"]),
        ([event("exec_create: ls")], []),
    ],
)
def test_an_end_that_nobody_asked_for_is_a_crash(told: list[dict[str, Any]], kinds: list[str]) -> None:
    assert [one.kind for one in read_events(told)] == kinds


def container(state: dict[str, Any], **config: Any) -> Container:
    return Container({"Id": "a", "Name": "/shop-api-1", "Config": config, "State": state, "RestartCount": 2})


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"Running": True, "Status": "running"}, ""),
        ({"Status": "exited", "ExitCode": 3}, "it ended with exit status 3; its last words: no disk"),
        ({"Status": "exited", "ExitCode": 0}, "it is stopped; it ended with exit status 0"),
        ({"Status": "created"}, "it was not started"),
        ({"Status": "created", "Error": "port is taken"}, "it could not be started: port is taken"),
        ({"Running": True, "Paused": True, "Status": "paused"}, "it is paused"),
        (
            {"Status": "exited", "ExitCode": 137, "OOMKilled": True},
            "it was killed because it used more memory than its limit; its last words: no disk",
        ),
        (
            {"Running": True, "Restarting": True, "Status": "restarting", "ExitCode": 1},
            "it ended with exit status 1 and is started again (2 times so far); its last words: no disk",
        ),
    ],
)
def test_a_state_is_told_in_one_sentence(state: dict[str, Any], reason: str) -> None:
    assert container(state).reason("no disk") == reason


def test_a_health_check_tells_its_last_output() -> None:
    health = {"Status": "unhealthy", "Log": [{"Output": "fine"}, {"Output": "no\n disk\n"}]}
    one = container({"Running": True, "Health": health}, Healthcheck={"Test": ["CMD", "x"]})
    assert (one.ready, one.reason()) == (False, "its health check fails: no disk")
    assert container({"Running": True, "Health": {"Status": "starting"}}).ready, "nothing is checked"


def test_lines_that_were_seen_are_not_told_again() -> None:
    at, later = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC)
    lines = [LogLine("a", text, when) for text, when in (("1", at), ("2", at), ("3", at), ("4", later))]
    assert [line.text for line in after(lines, (at, 2))] == ["3", "4"]


def test_it_reads_times_with_nine_digits() -> None:
    assert moment("2026-11-21T19:26:02.639649196Z") == datetime(2026, 11, 21, 19, 26, 2, 639649, tzinfo=UTC)
    assert moment("0001-01-01T00:00:00Z") is None
    assert moment("hello") is None


def test_it_measures_cores_between_two_looks() -> None:
    def told(used: int, passed: int) -> dict[str, Any]:
        return {"cpu_stats": {"cpu_usage": {"total_usage": used}, "system_cpu_usage": passed, "online_cpus": 4}}

    assert cores(told(0, 0), told(500, 4000)) == 0.5
    assert cores(told(0, 10), told(5, 10)) == 0
    assert memory({"memory_stats": {"usage": 100, "stats": {"inactive_file": 30}}}) == 70
