"""What is certain of a fence and of a promotion that fail half-way, and when a fence may be lifted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.contract import CredentialRefused
from opsbook.connectors.executors import failover_servers, failover_work
from opsbook.connectors.executors.failover_servers import in_the_middle
from opsbook.connectors.executors.failover_work import Work
from opsbook.connectors.postgres_folder import DataFolder, Here
from opsbook.connectors.postgres_pair import NoAnswer, Seen, Server
from opsbook.connectors.postgres_promotion import BEGUN, TOLD, never_received, under_way
from opsbook.connectors.runtimes.contract import Instance, Status, Verb, Workload
from opsbook.errors import Ambiguous, Refused, Unreachable


class Scripted(Server):
    """A server that says what a test gives it."""

    says: dict[str, Any]

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """By the statement's first words; what is an error is raised."""
        said = self.says.get(statement, [(None,)])
        if isinstance(said, Exception):
            raise said
        return cast("list[tuple[Any, ...]]", said)

    def accepts(self) -> bool:
        """Nothing listens."""
        return False


class Heard:
    text = ""

    async def write(self, text: str) -> None:
        self.text += text


class Acts(Work):
    """The pair `one` and `two`; `one` has its data folder on this host."""

    def __init__(self, data: Path) -> None:
        system = SimpleNamespace(system=None)
        runtime = SimpleNamespace(status=self._status, events=_nothing)
        super().__init__(cast("Any", SimpleNamespace(system=None, of=lambda _: system, runtime=runtime)), "db", "k",
                         heard := Heard())  # fmt: skip
        self.heard = heard
        self.one, self.two = Scripted("one", {}, data), Scripted("two", {}, None)
        self.state = {"one": Seen(self.one, True, position=9), "two": _standby(self.two)}
        for server in (self.one, self.two):
            object.__setattr__(server, "says", {TOLD: [(False,)]})
        self.told: list[tuple[str, Verb]] = []
        self.instance = "RUNNING"
        self.stops: Callable[[], None] = lambda: self.now("one", Seen(self.one, False, "refused"))

    def now(self, name: str, seen: Seen) -> None:
        self.state[name] = seen

    async def _status(self, workload: str) -> Status:
        return Status(Workload(workload, "program", 1, 0), (Instance(workload, False, self.instance),))

    async def servers(self) -> tuple[Server, Server]:
        return self.one, self.two

    async def stop(self, old: Server) -> None:
        self.stops()

    async def tell_runtime(self, workload: str, verb: Verb, wait: float = 0) -> None:
        self.told.append((workload, verb))
        self.now(workload, Seen(self.one, True, position=9))


async def _nothing(_: str) -> AsyncIterator[Any]:
    return
    yield


def _standby(server: Server) -> Seen:
    return Seen(server, True, in_recovery=True, streaming=True, position=10, received=10)


@pytest.fixture
def acts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Acts:
    made = Acts(tmp_path)
    monkeypatch.setattr(failover_work, "see", lambda server: made.state[server.workload])
    for name in ("CATCH_UP_SECONDS", "STOP_SECONDS"):
        monkeypatch.setattr(failover_work, name, 0.01)
    monkeypatch.setattr(failover_servers, "LOOK_SECONDS", 0.01)
    return made


def _lies(acts: Acts) -> bool:
    assert acts.one.data is not None
    return (acts.one.data / "standby.signal").exists()


async def test_a_fence_that_fails_after_its_signal_lies_is_not_told_as_if_nothing_had_happened(acts: Acts) -> None:
    def stops() -> None:
        raise ChangeFailed("one does not end")

    acts.stops = stops
    with pytest.raises(Ambiguous, match="one does not end; one: it may be stopped or fenced"):
        await acts.fence("one", planned=True)
    assert _lies(acts)
    # Done again, it finds the old primary stopped: what fails now is no more certain than before.
    acts.now("one", Seen(acts.one, False, "refused"))
    acts.now("two", Seen(acts.two, False, "refused"))
    with pytest.raises(Ambiguous, match="two does not answer"):
        await acts.fence("one", planned=True)
    acts.now("one", Seen(acts.one, False, "refused", fenced=True))
    with pytest.raises(Ambiguous, match="two does not answer"):
        await acts.fence("one", planned=False)
    acts.now("one", Seen(acts.one, False, "refused"))
    with pytest.raises(Refused, match="two does not answer"):
        await acts.fence("one", planned=False)
    acts.now("two", _standby(acts.two))
    assert await acts.unfence("one") == {"server": "one", "serves": True}
    assert not _lies(acts) and acts.told == [("one", Verb.START)]


async def test_a_signal_that_cannot_be_laid_is_taken_back_and_the_primary_serves_on(
    acts: Acts, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def half(folder: DataFolder) -> None:
        (Path(folder.path) / "standby.signal").write_text("opsbook: fenced\n")
        raise ChangeFailed("no room")

    monkeypatch.setattr(DataFolder, "fence", half)
    with pytest.raises(ChangeFailed, match="no room"):
        await acts.fence("one", planned=True)
    assert not _lies(acts) and acts.state["one"].primary and acts.told == []


async def test_a_standby_that_lacks_something_lets_the_old_primary_serve_again(
    acts: Acts, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def control(_: DataFolder) -> dict[str, str]:
        return {"Latest checkpoint location": "0/FF"}

    monkeypatch.setattr(DataFolder, "control", control)
    with pytest.raises(ChangeFailed, match="two has not all that one wrote") as told:
        await acts.fence("one", planned=True)
    assert not isinstance(told.value, NoAnswer)
    assert not _lies(acts) and acts.state["one"].primary
    acts.stops = lambda: acts.now("two", Seen(acts.two, False, "hangs"))
    with pytest.raises(Ambiguous, match="two does not answer, and may be primary: hangs; two has not all"):
        await acts.fence("one", planned=True)
    assert _lies(acts)


@pytest.mark.parametrize(
    ("seen", "says", "why"),
    [
        ({"answers": True}, {}, "two was promoted"),
        ({"answers": True, "in_recovery": True}, {TOLD: [(True,)]}, "at any moment: it was told to promote"),
        ({"answers": True, "in_recovery": True}, {TOLD: [(False,)], BEGUN: NoAnswer("ongoing")}, "ongoing"),
        ({"answers": False}, {}, "two does not answer, and may be primary"),
    ],
)  # fmt: skip
async def test_a_fence_is_not_lifted_where_the_other_server_may_be_primary(
    acts: Acts, seen: dict[str, Any], says: dict[str, Any], why: str
) -> None:
    assert acts.one.data is not None
    await DataFolder(Here("k"), acts.one.data).fence()
    acts.now("two", Seen(acts.two, **seen))
    object.__setattr__(acts.two, "says", says)
    with pytest.raises(Refused, match=why):
        await acts.unfence("one")
    assert _lies(acts) and acts.told == []


@pytest.mark.parametrize(("instance", "lifted"), [("STOPPED", True), ("EXITED", False), ("RUNNING", False)])
async def test_a_fence_is_lifted_where_the_other_server_is_kept_stopped_and_that_is_told(
    acts: Acts, instance: str, lifted: bool
) -> None:
    assert acts.one.data is not None
    await DataFolder(Here("k"), acts.one.data).fence()
    acts.now("two", Seen(acts.two, False, "refused"))
    acts.instance = instance
    if not lifted:
        with pytest.raises(Refused, match="may be primary"):
            await acts.unfence("one")
    else:
        await acts.unfence("one")
        assert "its runtime keeps it stopped: rebuild it before it is started" in acts.heard.text
    assert _lies(acts) is not lifted


async def test_a_promotion_that_was_asked_for_is_never_told_as_if_it_could_not_come(acts: Acts) -> None:
    assert acts.one.data is not None
    await DataFolder(Here("k"), acts.one.data).fence()
    acts.now("one", Seen(acts.one, False, "refused"))
    with pytest.raises(Ambiguous, match="two is not primary yet; two was told to promote"):
        await acts.promote("two")
    acts.now("two", Seen(acts.two, False, "hangs"))
    with pytest.raises(ChangeFailed, match="two does not answer"):
        await acts.promote("two")  # this attempt asked for nothing


async def test_a_promotion_that_is_done_does_not_fail_where_the_old_log_cannot_be_read(acts: Acts) -> None:
    class Lost(DataFolder):
        async def written_after(self, position: int) -> Any:
            raise Unreachable("the API server is away")

    lost = await never_received(acts.one, Lost(Here("k"), Path("/nowhere")), 5)
    assert (lost["lost_commits"], lost["lost_bytes"]) == (None, None)
    assert "the API server is away" in str(lost["lost"])
    assert "cannot be reached" in str((await never_received(acts.one, None, 5))["lost"])


def test_a_server_is_asked_twice_whether_it_was_told_to_promote(acts: Acts) -> None:
    assert under_way(acts.two) == ""
    object.__setattr__(acts.two, "says", {TOLD: NoAnswer("too many clients")})
    assert under_way(acts.two) == "too many clients"


def test_a_credential_that_is_refused_in_the_middle_stays_known_as_that() -> None:
    with pytest.raises(CredentialRefused), in_the_middle("half"):
        raise CredentialRefused("expired")


@asynccontextmanager
async def _beside(*_: Any) -> AsyncIterator[Any]:
    yield SimpleNamespace()
    raise Unreachable("the pod db-0-data-x on node7 does not go")


async def test_a_container_beside_that_cannot_be_removed_fails_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from opsbook.connectors import postgres_containers

    monkeypatch.setattr(postgres_containers, "beside", _beside)
    heard, server = Heard(), Server("db", {}, None, "/data/pg")
    async with postgres_containers.data_folder(server, cast("Any", object), "key", heard) as folder:
        assert folder is not None
    assert heard.text == (
        "the container beside db could not be removed: the pod db-0-data-x on node7 does not go\n"
    )  # fmt: skip
    with pytest.raises(ChangeFailed, match="of the block"):
        async with postgres_containers.data_folder(server, cast("Any", object), "key", heard):
            raise ChangeFailed("of the block")
