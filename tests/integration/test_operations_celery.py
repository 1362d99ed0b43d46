"""Operations of Celery against a real worker over a real broker: nothing is called twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from opsbook.book.references import SecretReference
from opsbook.connectors.executors.celery import MARK, TaskFailed, task_id_of
from opsbook.connectors.executors.secrets import NotReached
from opsbook.errors import Ambiguous, Refused, Unreachable
from tests.integration.hands import Hands, hands_on
from tests.integration.servers import RedisServer, new_redis, until
from tests.integration.test_celery_observations import APPLICATION, Tiny

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("celery")]

MORE = """

@app.task(name="tiny.count")
def count(name, *, by=1):
    return app.backend.client.incrby("counted:" + name, by)

@app.task(name="tiny.flaky")
def flaky(name):
    if app.backend.client.incr("flaky:" + name) == 1:
        raise RuntimeError("the first time it fails")
    return "well"
"""


class Counting(Tiny):
    """The application with tasks that leave a trace."""

    def __init__(self, folder: Path, broker: RedisServer) -> None:
        super().__init__(folder, broker)
        (folder / "tiny.py").write_text(APPLICATION + MORE)


@pytest.fixture(scope="module")
def broker() -> Iterator[RedisServer]:
    with new_redis() as server:
        yield server


@pytest.fixture(scope="module")
def worker(broker: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    tiny = Counting(tmp_path_factory.mktemp("tiny"), broker)
    try:
        yield tiny.start()
    finally:
        tiny.stop()


def components(server: RedisServer, **keys: Any) -> dict[str, dict[str, Any]]:
    return {
        "broker": {"kind": "redis", "url": server.url},
        "worker": {"kind": "celery", "broker": "broker", "patience": "2s", **keys},
    }


@pytest.fixture
async def hands(worker: Tiny, broker: RedisServer, tmp_path: Path) -> AsyncIterator[Hands]:
    async with hands_on(tmp_path, components(broker)) as one:
        yield one


def counted(broker: RedisServer, name: str) -> int:
    with broker.client() as client:
        return int(client.get(f"counted:{name}") or 0)


class TestCall:
    async def test_it_calls_a_task_and_follows_it_to_its_end(self, hands: Hands, broker: RedisServer) -> None:
        change = await hands.only("celery.call", of="worker", task="tiny.count", args=["one"], kwargs={"by": 5})
        assert counted(broker, "one") == 0, "planning changes nothing"
        result = await hands.apply(change, "run/1/0")
        assert (result["state"], result["result"]) == ("SUCCESS", 5)
        assert result["task_id"] == task_id_of("run/1/0")

    async def test_a_secret_among_its_arguments_is_taken_when_it_is_called(
        self, hands: Hands, broker: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COUNTED", "hush")
        change = await hands.only(
            "celery.call", of="worker", task="tiny.count", args=[SecretReference("${COUNTED}")], kwargs={"by": 2}
        )
        assert "hush" not in str(change) and change.effect["calls"][0]["args"] == ["${COUNTED}"]
        await hands.apply(change, "run/hush/0")
        assert counted(broker, "hush") == 2

    async def test_made_again_it_is_not_called_twice(self, hands: Hands, broker: RedisServer) -> None:
        change = await hands.only("celery.call", of="worker", task="tiny.count", args=["twice"])
        for _ in range(3):
            assert (await hands.apply(change, "run/twice/0"))["result"] == 1
        assert counted(broker, "twice") == 1
        await hands.apply(change, "run/other/0")
        assert counted(broker, "twice") == 2, "another run calls it itself"

    async def test_after_a_crash_it_finds_its_task_wherever_it_is(self, hands: Hands, broker: RedisServer) -> None:
        change = await hands.only("celery.call", of="worker", task="tiny.sleep", args=[1.5])
        applying = asyncio.ensure_future(hands.apply(change, "run/crash/0"))
        task_id = task_id_of("run/crash/0")
        with broker.client() as client:
            await asyncio.to_thread(until, lambda: client.get(MARK + task_id) == "sent", what="it is sent")
            applying.cancel()
            client.set(MARK + task_id, "sending")  # it died before it could note that the message went
            assert await hands.verify("celery.call", change, "run/crash/0") == "not_done"
            before = client.llen("celery")
            assert (await hands.apply(change, "run/crash/0"))["state"] == "SUCCESS"
            assert client.llen("celery") == before

    async def test_without_any_sign_of_it_nobody_can_know(self, hands: Hands, broker: RedisServer) -> None:
        change = await hands.only("celery.call", of="worker", task="tiny.count", args=["lost"])
        assert await hands.verify("celery.call", change, "run/lost/0") == "not_done"
        with broker.client() as client:
            client.set(MARK + task_id_of("run/lost/0"), "sending")
        assert await hands.verify("celery.call", change, "run/lost/0") == "unknown"
        with pytest.raises(Ambiguous, match="no sign of it"):
            await hands.apply(change, "run/lost/0")
        assert counted(broker, "lost") == 0

    async def test_a_task_that_fails_is_a_failure_with_its_words(self, hands: Hands) -> None:
        with pytest.raises(TaskFailed, match=r"tiny\.fail: ValueError: bad"):
            await hands.do("celery.call", of="worker", task="tiny.fail", args=["bad"])

    async def test_it_does_not_wait_for_ever(self, hands: Hands) -> None:
        change = await hands.only("celery.call", of="worker", task="tiny.sleep", args=[3], within="1s")
        with pytest.raises(TaskFailed, match="did not end within 1 s; they go on"):
            await hands.apply(change, "run/long/0")
        assert (await hands.apply(_longer(change), "run/long/0"))["state"] == "SUCCESS"

    async def test_it_refuses_a_task_that_no_worker_knows(self, hands: Hands) -> None:
        with pytest.raises(Refused, match=r"no worker knows the task tiny\.cuont"):
            await hands.plan("celery.call", of="worker", task="tiny.cuont")

    async def test_a_broker_that_is_gone_is_a_certain_failure(self, tmp_path: Path) -> None:
        with new_redis() as server:
            async with hands_on(tmp_path, components(server, patience="200ms")) as hands:
                change = await hands.only("celery.call", of="worker", task="tiny.count", args=["x"])
                assert change.evidence == {"waiting in the queue": 0, "workers answer": False}
                server.stop()
                with pytest.raises(NotReached):
                    await hands.apply(change)
                with pytest.raises(Unreachable):
                    await hands.plan("celery.pause", of="worker")


def _longer(change: Any) -> Any:
    return replace(change, effect={**change.effect, "within": 30})


class TestRetry:
    async def test_each_failed_task_is_called_again_once(self, hands: Hands, worker: Tiny, broker: RedisServer) -> None:
        worker.send("tiny.flaky", "a")
        worker.send("tiny.flaky", "b")
        await asyncio.to_thread(until, lambda: _failures(broker, "tiny.flaky") == 2, what="both failed")
        change = await hands.only("celery.retry_failed", of="worker", task="tiny.flaky")
        assert change.evidence["tasks"] == {"tiny.flaky": 2}
        assert "the first time" not in json.dumps(change.effect)
        result = await hands.apply(change)
        assert [one["result"] for one in result["calls"]] == ["well", "well"]
        await hands.apply(change)
        with broker.client() as client:
            assert [client.get(f"flaky:{name}") for name in "ab"] == ["2", "2"]
        assert await hands.plan("celery.retry_failed", of="worker", task="tiny.flaky") == []

    async def test_it_refuses_where_the_arguments_are_not_kept(self, hands: Hands, broker: RedisServer) -> None:
        with broker.client() as client:
            meta = {"status": "FAILURE", "task_id": "bare", "date_done": "2999-01-01T00:00:00", "result": {}}
            client.set("celery-task-meta-bare", json.dumps(meta))
            try:
                with pytest.raises(Refused, match="do not tell their name"):
                    await hands.plan("celery.retry_failed", of="worker", ids=["bare"])
            finally:
                client.delete("celery-task-meta-bare")


def _failures(broker: RedisServer, name: str) -> int:
    with broker.client() as client:
        found = [json.loads(client.get(key)) for key in client.keys("celery-task-meta-*")]
    return sum(one.get("name") == name and one["status"] == "FAILURE" for one in found)


class TestWorkers:
    async def test_consumers_are_paused_and_go_on(self, hands: Hands, worker: Tiny, broker: RedisServer) -> None:
        change = await hands.only("celery.pause", of="worker")
        assert await hands.apply(change) == {"workers": {"tiny@here": []}}
        worker.send("tiny.count", "paused")
        with broker.client() as client:
            assert client.llen("celery") == 1
            assert await hands.apply(change.inverse) == {"workers": {"tiny@here": ["celery"]}}  # type: ignore[arg-type]
            await asyncio.to_thread(until, lambda: counted(broker, "paused") == 1, what="it was run")
        await hands.apply(change)
        await hands.do("celery.resume", of="worker")
        worker.send("tiny.count", "paused")
        await asyncio.to_thread(until, lambda: counted(broker, "paused") == 2, what="it was run")

    async def test_it_drains_before_a_stop(self, hands: Hands, worker: Tiny) -> None:
        worker.send("tiny.sleep", 1.0, times=3)
        change = await hands.only("celery.drain", of="worker")
        try:
            result = await hands.apply(change)
            assert result["seconds"] >= 0.5
            (state,) = (await hands.do("celery.inspect", of="worker"))["active"].values()
            assert state == []
        finally:
            await hands.undo(change)

    async def test_it_limits_a_rate_and_puts_it_back(self, hands: Hands) -> None:
        change = await hands.only("celery.rate_limit", of="worker", task="tiny.sleep", rate="10/m")
        await hands.apply(change)
        again = await hands.only("celery.rate_limit", of="worker", task="tiny.sleep", rate="20/m")
        assert again.evidence["now"] == ["10/m"]
        await hands.undo(change)
        assert (await hands.only("celery.rate_limit", of="worker", task="tiny.sleep", rate="1/s")).evidence["now"] == [
            "0"
        ]
        with pytest.raises(Refused, match="no worker knows"):
            await hands.plan("celery.rate_limit", of="worker", task="tiny.nap", rate="1/s")

    async def test_a_revoked_task_is_not_run(self, hands: Hands, broker: RedisServer) -> None:
        pause = await hands.only("celery.pause", of="worker")
        await hands.apply(pause)
        call = await hands.only("celery.call", of="worker", task="tiny.count", args=["revoked"], follow=False)
        task_id = (await hands.apply(call, "run/revoked/0"))["task_id"]
        await hands.do("celery.revoke", of="worker", ids=[task_id])
        await hands.undo(pause)
        follow = await hands.only("celery.call", of="worker", task="tiny.count", args=["revoked"])
        with pytest.raises(TaskFailed, match="revoked"):
            await hands.apply(follow, "run/revoked/0")
        assert counted(broker, "revoked") == 0

    async def test_it_refuses_where_no_worker_answers(self, tmp_path: Path) -> None:
        with new_redis() as server:
            async with hands_on(tmp_path, components(server, patience="100ms")) as hands:
                for name in ("celery.pause", "celery.drain", "celery.resume"):
                    with pytest.raises(Refused, match="no worker of worker answers"):
                        await hands.plan(name, of="worker")


async def test_flushing_the_broker_of_a_running_worker_is_refused(hands: Hands) -> None:
    with pytest.raises(Refused, match="broker is the broker of worker"):
        await hands.plan("redis.flush", of="broker")
