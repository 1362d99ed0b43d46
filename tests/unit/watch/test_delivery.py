"""What is sent one by one, what as one, and what services hear that keep incidents of their own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from tests.unit.watch.on_call import ANA, Desk

from opsbook.book.people import Channel
from opsbook.store import messages
from opsbook.store.messages import Crowd, MessageRow
from opsbook.watch import incident_acts
from opsbook.watch.channels import web
from opsbook.watch.channels.contract import NotDelivered, NotWanted, Sending
from opsbook.watch.delivery import (
    ALONE_A_MINUTE,
    ALONE_PAUSE,
    BURST,
    HOLD,
    LINES,
    LINKS,
    Delivery,
    digest,
    held,
    held_alone,
)
from opsbook.watch.outbox import Message, enqueue
from opsbook.watch.recipients import Route

PAGERDUTY = "https://events.pagerduty.com/v2/enqueue?routing_key=R"


@pytest.fixture
def desk(tmp_path: Path, store: Engine) -> Desk:
    return Desk(tmp_path, store)


def rows(desk: Desk) -> list[MessageRow]:
    found = desk.read(lambda connection: connection.execute(messages.messages.select()).all())
    return [MessageRow(**row._mapping) for row in found]


def tell(desk: Desk, *targets: str, **keys: Any) -> list[MessageRow]:
    message = Message(**{"key": "k", "kind": "notice", "targets": targets, "subject": "words", **keys})
    desk.write(lambda connection: enqueue(connection, desk.system, message, desk.now))
    return rows(desk)


def to(url: str) -> Route:
    return Route(url, Channel.model_validate({"url": url}))


class Sent:
    """Takes what is sent, in place of every channel."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.got: list[Sending] = []
        self.down = False
        monkeypatch.setattr("opsbook.watch.delivery.sender", lambda _: self.take)

    async def take(self, _: Route, sending: Sending) -> str:
        self.got.append(sending)
        if self.down:
            raise NotDelivered("no answer within 10 s")
        return "ok"

    def after(self, desk: Desk, delivery: Delivery) -> list[Sending]:
        """What one tick sends."""

        async def once() -> None:
            await delivery.tick(desk.now)
            await delivery.settled()

        self.got.clear()
        asyncio.run(once())
        return list(self.got)


def test_after_a_burst_a_channel_collects_and_never_for_longer_than_it_says() -> None:
    assert held(Crowd(3, 100.0, BURST - 1, 99.0), 100.0) is None
    assert held(Crowd(3, 100.0, BURST, 99.0), 101.0) == 100.0 + HOLD
    assert held(Crowd(3, 100.0, BURST, 99.0), 100.0 + HOLD) is None


def test_a_burst_is_counted_by_deliveries_also_where_every_receipt_is_the_same(desk: Desk) -> None:
    for number in range(10):
        tell(desk, "chat", key=f"k{number}")
    ids, at = [row.id for row in rows(desk)], desk.now.timestamp()

    def delivered(some: list[int], after: float) -> None:
        desk.write(lambda c: messages.claim(c, desk.watch.where, "channel:chat", "me", at, 60, len(some)))
        told = {"state": "delivered", "delivered_at": at + after, "receipt": "ok"}
        assert desk.write(lambda c: messages.settle(c, some, "me", **told)) == some

    for number in range(4):
        delivered([ids[number]], number)
    delivered(ids[4:9], 5)  # a digest: one delivery
    crowd = desk.read(lambda c: messages.crowds(c, desk.watch.where, at + 6, 60.0))["channel:chat"]
    assert (crowd.waiting, crowd.sent, crowd.last) == (1, 5, at + 5)


def test_a_digest_names_what_is_in_it_and_how_much_more(desk: Desk) -> None:
    for number in range(LINES + 3):
        tell(desk, "chat", key=f"k{number}", subject=f"thing {number}", urgency="page")
    sending = digest(rows(desk))
    assert sending.subject.startswith(f"[{LINES + 3} messages] {LINES + 3} pages — shop production")
    assert "- [maintenance] thing 0" in sending.body and "… and 3 more" in sending.body
    assert sending.urgency == "page"


def test_a_digest_has_a_link_for_the_first_few_incidents(
    tmp_path: Path, store: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPSBOOK_URL", "https://ops.example.org/")
    desk = Desk(tmp_path, store, incidents={"group_by": "check"})
    desk.hears(*((f"am:{number}", "critical") for number in range(LINKS + 3)), source="alertmanager")
    (sending,) = Sent(monkeypatch).after(desk, Delivery(desk.watch))
    firsts = [row.incident for row in rows(desk)][:LINKS]
    assert sending.kind == "digest" and list(sending.links) == firsts and not sending.acknowledge
    for id, address in sending.links.items():
        assert address.startswith(f"https://ops.example.org/acknowledge/{id}?who=ana&")
        assert f"({id})" in sending.body and f"Acknowledge {id} by a click: {address}" in sending.text
    hook, slack = (web.BODIES[form][0](to("https://hook"), sending) for form in ("json", "slack"))
    assert hook["links"] == dict(sending.links)
    assert f"<{sending.links[firsts[0]]}|Acknowledge {firsts[0]}>" in slack["text"]


@pytest.mark.parametrize(
    ("kind", "over", "action"),
    [
        ("page", False, "trigger"), ("update", False, "trigger"), ("page", None, "trigger"),
        ("acknowledged", False, "acknowledge"), ("resolved", True, "resolve"), ("resolved", None, "resolve"),
        # A post-mortem that is late must not call anybody anew; an end that comes late must not end what began again.
        ("reminder", True, ""), ("update", True, ""), ("acknowledged", True, ""), ("resolved", False, ""),
    ],
)  # fmt: skip
def test_pagerduty_opens_what_goes_on_and_ends_what_is_over(kind: str, over: bool | None, action: str) -> None:
    pager, sending = to(PAGERDUTY), Sending("k", kind, "info", "s", "b", "i1", over=over)
    if action:
        event = web.BODIES["pagerduty"][0](pager, sending)
        assert (event["event_action"], event["dedup_key"]) == (action, "opsbook/i1")
    else:
        with pytest.raises(NotWanted):
            web.BODIES["pagerduty"][0](pager, sending)


def test_a_page_without_a_key_for_its_link_goes_out_without_a_link(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OPSBOOK_URL", "https://ops.example.org")
    monkeypatch.setenv("OPSBOOK_LINK_KEY", "short")
    desk.system.forget_variables()
    desk.bad()
    (sending,) = Sent(monkeypatch).after(desk, Delivery(desk.watch))
    assert (sending.kind, sending.acknowledge) == ("page", "")
    assert "OPSBOOK_LINK_KEY is no key" in caplog.text


def test_pagerduty_gets_each_incident_alone_and_hears_who_has_it_and_that_it_is_over(
    tmp_path: Path, store: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = [{"level": "L1", "notify": "pager"}]
    desk = Desk(tmp_path, store, incidents={"group_by": "check"}, channels={"pager": PAGERDUTY, "chat": "json://x:1"},
                severities={}, escalation=path)  # fmt: skip
    delivery, sent = Delivery(desk.watch), Sent(monkeypatch)

    def next_sent() -> list[tuple[str, str]]:
        desk.clock.move(seconds=3)
        return [(one.kind, one.incident) for one in sent.after(desk, delivery)]

    many = BURST + 3
    desk.hears(*((f"am:{number}", "critical") for number in range(many)), source="alertmanager")
    first, second, third, *_ = ids = [row.incident for row in rows(desk)]
    assert next_sent() == [("page", id) for id in ids]

    def act(act: Any, id: str, *more: Any) -> None:
        desk.write(lambda c: act(c, desk.system, incident_acts.find(c, desk.system, id), ANA, *more, desk.now))

    act(incident_acts.acknowledge, first)
    assert next_sent() == [("acknowledged", first)] and sent.got[0].over is False
    assert next_sent() == []
    act(incident_acts.resolve, first, "done")
    other = desk.read(lambda c: incident_acts.find(c, desk.system, third))
    act(incident_acts.merge, second, other)
    assert sorted(next_sent()) == sorted([("resolved", first), ("resolved", second)])
    assert next_sent() == []


def test_a_service_that_is_away_fails_for_all_that_wait_at_once_so_that_none_waits_for_the_others(
    tmp_path: Path, store: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = [{"level": "L1", "notify": "pager"}]
    desk = Desk(tmp_path, store, incidents={"group_by": "check"}, channels={"pager": PAGERDUTY, "chat": "json://x:1"},
                severities={}, escalation=path)  # fmt: skip
    delivery, sent = Delivery(desk.watch), Sent(monkeypatch)
    sent.down = True
    desk.hears(*((f"am:{number}", "critical") for number in range(4)), source="alertmanager")
    for attempt in (1, 2):
        assert len(sent.after(desk, delivery)) == 1
        assert [row.attempts for row in rows(desk) if row.channel == "channel:pager"][:4] == [attempt] * 4
        desk.clock.move(seconds=6)
    instead = [row.incident for row in rows(desk) if row.channel == "channel:chat"]
    assert sorted(instead)[:4] == sorted(row.incident for row in rows(desk)[:4])


def test_the_first_of_many_to_a_service_that_was_not_known_to_take_each_alone_lets_go_of_the_rest(
    tmp_path: Path, store: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path, store, channels={"pager": "${PAGER}", "chat": "json://x:1"})
    delivery, sent = Delivery(desk.watch), Sent(monkeypatch)
    assert sent.after(desk, delivery) == []
    monkeypatch.setenv("PAGER", PAGERDUTY)
    desk.system.forget_variables()
    for number in range(BURST + 2):
        tell(desk, "pager", key=f"k{number}")
    assert [one.kind for one in sent.after(desk, delivery)] == ["notice"] * (BURST + 2)
    assert {(row.state, row.attempts) for row in rows(desk)} == {("delivered", 1)}


def test_a_service_that_gets_each_alone_is_not_told_faster_than_it_bears() -> None:
    assert held_alone(Crowd(9, 0.0, ALONE_A_MINUTE - 1, 100.0), 100.0) is None
    assert held_alone(Crowd(9, 0.0, ALONE_A_MINUTE, 100.0), 100.2) == 100.0 + ALONE_PAUSE
    assert held_alone(Crowd(9, 0.0, ALONE_A_MINUTE, 100.0), 100.0 + ALONE_PAUSE) is None
    assert held_alone(Crowd(9, 0.0, ALONE_A_MINUTE, 100.0), 50.0) is None, "the clock was set back"
