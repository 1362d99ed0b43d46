"""Pages on their way to real servers: a mail server and a webhook that give receipts, lie, hang and are down."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from opsbook.engine.setting import Setting
from opsbook.store import messages
from opsbook.store.database import StoreFailed, open_store
from opsbook.watch import incident_acts as acts
from opsbook.watch.delivery import BURST, Delivery
from opsbook.watch.links import Link, link_key, verify
from tests.integration.sinks import Hook, Mailbox, mailbox, webhook
from tests.unit.watch.on_call import Desk


@pytest.fixture
def store(tmp_path: Path) -> Engine:
    return open_store(f"sqlite:///{tmp_path}/store.db")


@pytest.fixture(scope="module")
def hook() -> Iterator[Hook]:
    with webhook() as found:
        yield found


@pytest.fixture(scope="module")
def box() -> Iterator[Mailbox]:
    with mailbox() as found:
        yield found


@pytest.fixture
def desk(tmp_path: Path, store: Engine, hook: Hook, box: Mailbox, monkeypatch: pytest.MonkeyPatch) -> Desk:
    hook.got.clear()
    hook.how.clear()
    hook.released.clear()
    box.mails.clear()
    box.refused.clear()
    monkeypatch.setenv("ANA", hook.url("ana-4711secret"))
    monkeypatch.setenv("OPSBOOK_URL", "https://ops.example.org")
    chat = {"url": hook.url("chat"), "timeout": "5s"}
    mail = f"smtp://127.0.0.1:{box.port}?from=ops@example.org&to=all@example.org"
    return Desk(tmp_path, store, channels={"chat": chat, "mail": mail})


async def send(desk: Desk, delivery: Delivery | None = None) -> Delivery:
    """One tick of the sender, until its messages are settled."""
    found = delivery or Delivery(desk.watch)
    await found.tick(desk.now)
    await found.settled()
    return found


async def test_an_unanswered_page_climbs_from_webhook_to_mail_and_stops_when_somebody_answers(
    desk: Desk, hook: Hook, box: Mailbox
) -> None:
    desk.bad(procedure="mend", sentence="refused")
    sender = await send(desk)
    ((path, body),) = hook.got
    assert path == "/ana-4711secret" and body["subject"] == "[P1] database — shop production"
    link = body["acknowledge"]
    assert link.startswith(f"https://ops.example.org/acknowledge/{desk.one.id}?who=ana&")
    parts = dict(word.split("=") for word in link.partition("?")[2].split("&"))
    signed = Link(desk.one.id, parts["who"], int(parts["until"]), parts["sign"])
    assert verify(link_key(desk.watch.setting.folder), signed, desk.now) == "ana"
    desk.later(minutes=5)
    await send(desk, sender)
    ((to, mail),) = box.mails
    assert to == ("boss@example.org",) and mail["Importance"] == "high"
    assert f"Acknowledge: opsbook incident ack {desk.one.id}" in mail.get_content()
    states = [(row.state, row.receipt) for row in desk.messages("page")]
    assert states == [("delivered", "r1"), ("delivered", "250 OK queued as 1")]
    desk.act(acts.acknowledge)
    desk.later(hours=1)
    await send(desk, sender)
    assert len(desk.messages("page")) == 2
    desk.well()
    desk.later(minutes=6)
    await send(desk, sender)
    assert "[resolved] database: resolved after" in hook.subjects("ana-4711secret")[-1]


async def test_a_channel_that_lies_or_refuses_is_told_of_and_the_page_goes_another_way(
    desk: Desk, hook: Hook, box: Mailbox
) -> None:
    hook.how["ana-4711secret"] = "lie"
    desk.bad()
    sender = await send(desk)
    # Once more, for it might pass; then by the next level.
    desk.clock.move(seconds=6)
    await send(desk, sender)
    await send(desk, sender)
    assert [to for to, _ in box.mails] == [("boss@example.org",)]
    first = desk.messages("page")[0]
    assert first.state == "failed" and "that it failed: no room" in first.error
    assert any("messages to contact:ana/notify are not delivered" in one.title for one in desk.incidents)
    everything = desk.read(lambda c: str(c.execute(messages.messages.select()).all()))
    assert "4711secret" not in everything


async def test_a_mail_server_that_refuses_for_good_is_not_asked_again(desk: Desk, hook: Hook, box: Mailbox) -> None:
    box.refused["boss@example.org"] = "550 no such user"
    desk.bad()
    sender = await send(desk)
    desk.later(minutes=5)
    await send(desk, sender)
    await send(desk, sender)
    rows = [row for row in desk.messages("page") if row.target != "first"]
    assert rows[0].state == "failed" and rows[0].attempts == 1
    assert rows[0].error == "the mail server 127.0.0.1 answers 550 no such user"
    assert hook.keys("chat")


async def test_a_slow_channel_keeps_no_other_waiting(desk: Desk, hook: Hook, box: Mailbox) -> None:
    hook.how["chat"] = "slow"
    desk.bad(notify=("chat", "mail"))
    delivery = Delivery(desk.watch)
    await delivery.tick(desk.now)
    async with asyncio.timeout(60):
        while not (hook.keys("ana-4711secret") and box.mails):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await delivery.settled()
    hook.released.set()
    (slow,) = [row for row in desk.messages() if row.channel == "channel:chat"]
    assert (slow.state, slow.error) == ("waiting", "no answer within 5 s")


async def test_a_storm_of_incidents_is_a_bounded_number_of_messages(tmp_path: Path, store: Engine, hook: Hook) -> None:
    hook.got.clear()
    hook.how.clear()
    path = [{"level": "L1", "notify": "chat"}]
    keys = {"channels": {"chat": hook.url("chat")}, "escalation": path, "contacts": {}, "oncall": {}, "severities": {}}
    desk = Desk(tmp_path, store, **keys, incidents={"group_by": "check"})
    delivery = Delivery(desk.watch)
    for burst in range(6):
        desk.hears(*((f"am:{burst}-{number}", "critical") for number in range(50)), source="alertmanager")
        desk.clock.move(seconds=6)
        await send(desk, delivery)
    desk.clock.move(minutes=1)
    await send(desk, delivery)
    assert len(desk.incidents) == 300
    assert all(row.state == "delivered" for row in desk.messages("page"))
    assert len(hook.got) <= BURST + 4
    assert sum(body.get("count", 1) for _, body in hook.got) == 300


async def test_a_thousand_turns_of_flapping_checks_are_told_once_each(desk: Desk, hook: Hook, box: Mailbox) -> None:
    delivery = Delivery(desk.watch)
    names = [f"check:c{number}" for number in range(50)]
    for _ in range(6):
        desk.hears(*((name, "critical") for name in names), component="database")
        desk.clock.move(seconds=30)
        desk.hears(*((name, "ok") for name in names), component="database")
        desk.clock.move(seconds=30)
        desk.hears(*((name, "ok") for name in names), component="database")
        desk.later(seconds=0)
        await send(desk, delivery)
    assert len(desk.incidents) == 1
    assert len(hook.keys("ana-4711secret")) + len(box.mails) <= 3


async def test_a_store_that_is_gone_for_a_moment_loses_no_page(
    desk: Desk, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.bad()
    delivery = Delivery(desk.watch)
    whole, calls = Setting.write, 0

    def gone(self: Setting, writes: object) -> None:
        nonlocal calls
        calls += 1
        if calls in (1, 3):
            raise StoreFailed("the disk is full")
        whole(self, writes)  # type: ignore[arg-type]

    monkeypatch.setattr(Setting, "write", gone)
    for _ in range(6):
        try:
            await send(desk, delivery)
        except StoreFailed:
            await asyncio.sleep(0)
        desk.clock.move(seconds=40)
    (row,) = desk.messages("page")
    assert row.state == "delivered"
    # Once, and once more for the time that the store was gone after it was sent; it is known by its key.
    assert 1 <= len(hook.keys("ana-4711secret")) <= 2 and len(set(hook.keys("ana-4711secret"))) == 1


async def test_who_answers_before_it_is_sent_is_not_paged(desk: Desk, hook: Hook) -> None:
    desk.bad()
    claimed = desk.write(
        lambda c: messages.claim(c, desk.watch.where, "contact:ana/notify", "one that died", desk.now.timestamp(), 1, 1)
    )
    assert claimed
    desk.act(acts.acknowledge)
    desk.clock.move(seconds=5)
    await send(desk)
    assert hook.got == [] and desk.messages("page")[0].state == "dropped"
