"""HTTP services that answer, that answer badly, and that do not answer."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from opsbook.connectors.contract import Failure, Reading
from opsbook.connectors.registry import open_connections
from tests.integration.servers import ask, free_port, make_system, silent_server
from tests.integration.web import answer, drip, endless, gibberish, hang, reset, serving, slow

pytestmark = pytest.mark.real
OK = answer('{"status": "ok", "data": {"age_ms": 1500, "items": [{"n": 7}], "at": 0, "none": null}}')


async def read(folder: Path, component: dict[str, Any], *facts: Any, within: float = 5.0) -> list[Reading]:
    system = make_system(folder, {"api": {"kind": "http", **component}})
    async with open_connections(system) as connections:
        return await ask(connections, "api", *facts, within=within)


async def read_one(folder: Path, routes: dict[str, Any], *facts: Any, within: float = 5.0, **keys: Any) -> Any:
    with serving(routes) as server:
        found = await read(folder, {"url": f"http://127.0.0.1:{server.port}", **keys}, *facts, within=within)
    return found[0] if len(found) == 1 else found


async def test_a_2xx_answer_is_up_with_its_phases(tmp_path: Path) -> None:
    reading = await read_one(tmp_path, {"/health": OK}, "http.up")
    assert reading.value is True
    assert reading.message == "answers 200 OK"
    phases = reading.detail["phases"]
    assert phases["dns"] == phases["tls"] == 0.0
    assert 0 < phases["connect"] + phases["first_byte"] <= phases["total"]


@pytest.mark.parametrize(
    "status", ["500 Internal Server Error", "503 Service Unavailable", "404 Not Found", "302 Found"]
)
async def test_any_other_answer_is_down(tmp_path: Path, status: str) -> None:
    reading = await read_one(tmp_path, {"/health": answer("", status, location="/login")}, "http.up")
    assert reading.value is False
    assert status in reading.message


async def test_a_refused_connection_is_unreachable_in_the_systems_own_words(tmp_path: Path) -> None:
    (reading,) = await read(tmp_path, {"url": f"http://127.0.0.1:{free_port()}"}, "http.up")
    assert (reading.value, reading.failure) == (None, Failure.UNREACHABLE)
    assert "Connection refused" in reading.message


async def test_a_name_that_does_not_exist_is_unreachable(tmp_path: Path) -> None:
    (reading,) = await read(tmp_path, {"url": "http://no-such-host.invalid"}, "http.up")
    assert reading.failure is Failure.UNREACHABLE
    assert "does not resolve" in reading.message


@pytest.mark.parametrize("behaviour", [hang, drip])
async def test_a_server_that_hangs_is_cut_at_the_timeout(tmp_path: Path, behaviour: Any) -> None:
    started = time.monotonic()
    reading = await read_one(tmp_path, {"/health": behaviour}, "http.up", within=0.5)
    assert (reading.value, reading.failure) == (None, Failure.TIMEOUT)
    assert time.monotonic() - started < 2


async def test_a_port_that_never_speaks_is_cut(tmp_path: Path) -> None:
    with silent_server() as port:
        http, https = [
            (await read(tmp_path, {"url": f"{scheme}://127.0.0.1:{port}"}, "http.up", within=0.4))[0]
            for scheme in ("http", "https")
        ]
    assert http.failure is Failure.TIMEOUT
    assert https.failure is Failure.TIMEOUT


@pytest.mark.parametrize("behaviour", [reset, gibberish])
async def test_a_broken_exchange_is_unreachable(tmp_path: Path, behaviour: Any) -> None:
    reading = await read_one(tmp_path, {"/health": behaviour}, "http.up")
    assert reading.failure is Failure.UNREACHABLE
    assert "broke the exchange off" in reading.message


async def test_an_endless_body_is_read_in_part(tmp_path: Path) -> None:
    started = time.monotonic()
    up, body = await read_one(tmp_path, {"/health": endless}, "http.up", ("http.body", {"contains": "b"}))
    assert up.value is True
    assert body.value is False
    assert time.monotonic() - started < 4


async def test_one_connection_serves_all_facts_of_a_component(tmp_path: Path) -> None:
    facts = [
        "http.up",
        "http.status",
        *(("http.json_count", {"at": "data.items[0].n", "path": f"/{n}"}) for n in range(5)),
    ]
    routes = {"/health": OK, **{f"/{n}": OK for n in range(5)}}
    with serving(routes) as server:
        readings = await read(tmp_path, {"url": f"http://127.0.0.1:{server.port}"}, *facts)
        assert all(reading.failure is None for reading in readings)
        assert (server.connections, server.requests) == (1, 6)


async def test_a_page_that_hangs_does_not_hold_up_the_others(tmp_path: Path) -> None:
    stuck, up = await read_one(
        tmp_path, {"/stuck": hang, "/health": OK}, ("http.status", {"path": "/stuck"}), "http.up", within=1.5
    )
    assert stuck.failure is Failure.TIMEOUT
    assert up.value is True


async def test_one_bad_service_never_stops_the_others(tmp_path: Path) -> None:
    with serving({"/health": hang}) as bad, serving({"/health": OK}) as good:
        components = {f"bad-{n}": {"kind": "http", "url": f"http://127.0.0.1:{bad.port}"} for n in range(200)}
        components["good"] = {"kind": "http", "url": f"http://127.0.0.1:{good.port}"}
        async with open_connections(make_system(tmp_path, components)) as connections:
            found = await asyncio.gather(*(ask(connections, name, "http.up", within=3) for name in components))
    assert found[-1][0].value is True
    assert all(reading.failure is Failure.TIMEOUT for (reading,) in found[:-1])


async def test_headers_and_their_secrets_are_sent_and_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_TOKEN", "s3cret-word")
    with serving({"/health": answer("no", "401 Unauthorized")}) as server:
        headers = {"Authorization": "Bearer ${API_TOKEN}"}
        readings = await read(
            tmp_path, {"url": f"http://127.0.0.1:{server.port}", "headers": headers}, "http.up", "http.status"
        )
        assert "authorization: bearer s3cret-word" in server.heads[0].lower()
    assert "s3cret-word" not in repr(readings)


async def test_another_address_is_asked_for_the_name_of_the_url(tmp_path: Path) -> None:
    with serving({"/health": OK}) as server:
        url = f"http://api.example.invalid:{server.port}"
        (reading,) = await read(tmp_path, {"url": url, "address": "127.0.0.1"}, "http.up")
        assert reading.value is True
        assert f"host: api.example.invalid:{server.port}" in server.heads[0].lower()


@pytest.mark.parametrize(
    ("wanted", "good"),
    [
        ({"contains": '"ok"'}, True),
        ({"contains": "fine"}, False),
        ({"lacks": "error"}, True),
        ({"lacks": "status"}, False),
        ({"matches": r'"n":\s*\d'}, True),
        ({"matches": "^never$"}, False),
        ({"at": "status", "equals": "ok"}, True),
        ({"at": "data.items[0].n", "equals": 8}, False),
        ({"contains": "ok", "status": 201}, False),
    ],
)
async def test_a_body_is_held_against_what_it_must_be(tmp_path: Path, wanted: dict[str, Any], good: bool) -> None:
    assert (await read_one(tmp_path, {"/health": OK}, ("http.body", wanted))).value is good


@pytest.mark.parametrize(
    ("fact", "parameters", "value"),
    [
        ("http.json_count", {"at": "data.items[0].n"}, 7.0),
        ("http.json_count", {"at": "data.items"}, 1.0),
        ("http.json_duration", {"at": "data.age_ms", "unit": "ms"}, 1.5),
        ("http.json_ratio", {"at": "data.items[0].n", "percent": True}, 0.07),
        ("http.json_size", {"at": "data.age_ms"}, 1500.0),
        ("http.json_text", {"at": "status"}, "ok"),
    ],
)
async def test_a_json_page_tells_figures(tmp_path: Path, fact: str, parameters: dict[str, Any], value: Any) -> None:
    assert (await read_one(tmp_path, {"/health": OK}, (fact, parameters))).value == pytest.approx(value)


async def test_what_a_json_page_does_not_tell_is_unknown_with_its_reason(tmp_path: Path) -> None:
    missing, null, word, age = await read_one(
        tmp_path,
        {"/health": OK},
        ("http.json_count", {"at": "data.nope"}),
        ("http.json_count", {"at": "data.none"}),
        ("http.json_ratio", {"at": "status"}),
        ("http.json_age", {"at": "data.at"}),
    )
    assert missing.failure is Failure.FAILED
    assert "data, which is an object with age_ms, items, at, none" in missing.message
    assert null.failure is Failure.ABSENT
    assert word.failure is Failure.FAILED
    assert age.value > 1.7e9


async def test_a_header_must_be_there_with_its_value(tmp_path: Path) -> None:
    routes = {"/health": answer("", Strict_Transport_Security="max-age=63072000", Set_Cookie="sid=s3cret")}
    good, wrong, absent, cookie = await read_one(
        tmp_path,
        routes,
        ("http.header", {"name": "strict-transport-security", "contains": "max-age=63072000"}),
        ("http.header", {"name": "strict-transport-security", "contains": "preload"}),
        ("http.header", {"name": "content-security-policy"}),
        ("http.header", {"name": "set-cookie"}),
    )
    assert (good.value, wrong.value, absent.value) == (True, False, False)
    assert "s3cret" not in repr(cookie)


async def test_plain_http_must_lead_to_https(tmp_path: Path) -> None:
    with serving({"/": answer("", "301 Moved Permanently", location="https://x/"), "/plain": OK}) as server:
        url = {"url": "https://127.0.0.1"}
        good, bad = await read(
            tmp_path,
            url,
            ("http.redirects_to_https", {"port": server.port}),
            ("http.redirects_to_https", {"port": server.port, "path": "/plain"}),
        )
    assert good.value is True
    assert bad.value is False


async def test_the_latency_of_a_slow_service_is_its_slowness(tmp_path: Path) -> None:
    with serving({"/health": slow(0.05, OK)}) as server:
        p50, p95 = await read(
            tmp_path,
            {"url": f"http://127.0.0.1:{server.port}"},
            ("http.latency_p50", {"probes": 10}),
            ("http.latency_p95", {"probes": 10}),
        )
        assert server.requests == 10, "the percentiles share their probes"
        assert server.connections == 10
    assert 0.05 <= p50.value <= p95.value < 0.5
    assert p95.detail["phases"]["first_byte"] >= 0.05


async def test_probes_may_reuse_a_connection(tmp_path: Path) -> None:
    with serving({"/health": OK}) as server:
        url = {"url": f"http://127.0.0.1:{server.port}"}
        (reading,) = await read(tmp_path, url, ("http.latency_p99", {"connect": False, "probes": 30, "concurrency": 2}))
        assert reading.failure is None
        assert server.connections == 2


async def test_a_service_slower_than_the_timeout_has_a_latency_of_at_least_that(tmp_path: Path) -> None:
    reading = await read_one(tmp_path, {"/health": slow(0.3, OK)}, "http.latency_p95", within=1.0)
    assert reading.failure is None
    assert reading.value >= 0.29


async def test_a_hung_service_has_no_latency(tmp_path: Path) -> None:
    reading = await read_one(tmp_path, {"/health": hang}, "http.latency_p95", within=0.5)
    assert (reading.value, reading.failure) == (None, Failure.TIMEOUT)


async def test_quick_errors_are_not_quick_answers(tmp_path: Path) -> None:
    reading = await read_one(tmp_path, {"/health": answer("", "500 Oops")}, "http.latency_p50")
    assert reading.value is None
    assert "20 of 20 probes failed: status 500" in reading.message


async def test_metrics_are_read_directly(tmp_path: Path) -> None:
    count = 0

    async def page(server: Any, head: str, reader: Any, writer: Any) -> None:
        nonlocal count
        count += 10
        text = (
            "# TYPE http_requests_total counter\n"
            f'http_requests_total{{status="200"}} {count * 9}\nhttp_requests_total{{status="503"}} {count}\n'
            "# TYPE queue_depth gauge\nqueue_depth 42\n# TYPE latency_seconds histogram\n"
            f'latency_seconds_bucket{{le="0.1"}} {count}\nlatency_seconds_bucket{{le="1"}} {count * 2}\n'
            f'latency_seconds_bucket{{le="+Inf"}} {count * 2}\n'
        )
        writer.write(answer(text))

    gauge, ratio, since, quantile, rate, absent, quiet = await read_one(
        tmp_path,
        {"/metrics": page},
        ("metrics.gauge", {"metric": "queue_depth"}),
        ("http.error_ratio", {"over": "200ms"}),
        ("http.error_ratio", {"over": "0s"}),
        ("metrics.quantile", {"metric": "latency_seconds", "rank": 0.75, "over": "200ms"}),
        ("metrics.rate", {"metric": "http_requests_total", "over": "200ms"}),
        ("metrics.gauge", {"metric": "queue_dept"}),
        ("metrics.ratio", {"metric": "queue_depth", "whole": "queue_depth", "over": "200ms"}),
        metrics="/metrics",
    )
    assert gauge.value == 42
    assert ratio.value == since.value == pytest.approx(0.1)
    assert quantile.value == pytest.approx(0.55)
    assert 100 < rate.value <= 500
    assert "did you mean queue_depth?" in absent.message
    assert quiet.failure is Failure.ABSENT, "no traffic is not zero errors"


async def test_a_page_without_metrics_is_told(tmp_path: Path) -> None:
    with serving({"/health": OK}) as server:
        url = f"http://127.0.0.1:{server.port}"
        (none,) = await read(tmp_path, {"url": url}, ("metrics.gauge", {"metric": "x"}))
        (wrong,) = await read(tmp_path, {"url": url, "metrics": "/metrics"}, ("metrics.gauge", {"metric": "x"}))
    assert "has no metrics" in none.message
    assert "404 Not Found in place of metrics" in wrong.message


async def test_a_proxy_tells_its_connections(tmp_path: Path) -> None:
    page = "Active connections: 3 \nserver accepts handled requests\n 9 7 20 \nReading: 0 Writing: 1 Waiting: 2 \n"
    with serving({"/nginx": answer(page), "/": OK}) as server:
        url = f"http://127.0.0.1:{server.port}"
        components = {"front": {"kind": "proxy", "url": url, "status": "/nginx"}, "bare": {"kind": "proxy", "url": url}}
        async with open_connections(make_system(tmp_path, components)) as connections:
            up, held, dropped = await ask(connections, "front", "http.up", "proxy.connections", "proxy.dropped")
            (unknown,) = await ask(connections, "bare", "proxy.connections")
    assert (up.value, held.value, dropped.value) == (True, 3.0, 2.0)
    assert "has no status page" in unknown.message
