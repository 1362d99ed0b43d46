"""Who is told, by which way, when, and in which words."""

from __future__ import annotations

import logging
import smtplib
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event
from tests.unit.watch.on_call import Desk

from opsbook.book.people import Channel
from opsbook.connectors.http_client import Answer
from opsbook.store import messages
from opsbook.store.messages import MessageRow
from opsbook.store.retention import drop_messages
from opsbook.watch import fallback
from opsbook.watch.alerts import reconsider
from opsbook.watch.channels import web
from opsbook.watch.channels.by_apprise import _Said
from opsbook.watch.channels.contract import NotDelivered, Sending, sender
from opsbook.watch.channels.mail import _converse, mail, server_of
from opsbook.watch.incidents import respond
from opsbook.watch.outbox import Message, enqueue
from opsbook.watch.recipients import Route, addresses, further, person, route, secrets_of_route
from opsbook.watch.wording import rendered


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


def test_a_rotation_is_the_one_whose_turn_it_is_and_a_contact_has_ways(desk: Desk) -> None:
    book = desk.system.model
    assert [one.name for one in addresses(book, "first", desk.now)] == ["contact:ana/notify"]
    assert person(book, "first", desk.now + timedelta(days=7)) == "bob"
    assert [one.name for one in addresses(book, "boss", desk.now)] == ["contact:boss/email"]
    assert addresses(book, "nobody", desk.now) == []


def test_mail_to_a_contact_goes_through_the_mail_channel_of_the_book(desk: Desk) -> None:
    found = route(desk.system, "contact:boss/email")
    assert server_of(found).to == ("boss@example.org",)
    assert server_of(route(desk.system, "channel:mail")).to == ("all@example.org",)


def test_another_way_is_the_same_person_then_the_next_levels_then_every_channel(desk: Desk) -> None:
    desk.bad()
    from opsbook.watch.escalation import from_text

    found = further(desk.system.model, "first", from_text(desk.one.path), {"contact:ana/notify"}, desk.now)
    assert [address.name for _, address in found] == ["contact:boss/email", "channel:chat", "channel:mail"]


def test_what_is_enqueued_twice_is_there_once(desk: Desk) -> None:
    tell(desk, "chat", "boss")
    assert [row.channel for row in tell(desk, "chat", "boss")] == ["channel:chat", "contact:boss/email"]


def test_a_target_without_an_address_is_a_message_to_nobody_that_will_go_another_way(desk: Desk) -> None:
    assert [(row.channel, row.state) for row in tell(desk, "nobody", urgency="page")] == [("nobody:nobody", "waiting")]


def test_a_channel_may_leave_out_what_is_less_urgent(tmp_path: Path, store: Engine) -> None:
    desk = Desk(tmp_path, store, channels={"chat": {"url": "json://x:1", "from_severity": "P2"}})
    (row,) = tell(desk, "chat", severity="P4")
    assert (row.state, row.error) == ("dropped", "P4 is below `from_severity` of channel:chat")
    assert tell(desk, "chat", severity="P1", key="k2")[1].state == "waiting"
    assert tell(desk, "chat", severity="P4", key="k3", urgency="page")[2].state == "waiting", "nobody else may be told"


def test_quiet_hours_hold_warnings_and_let_pages_through(tmp_path: Path, store: Engine) -> None:
    quiet = {"days": ["MO"], "start": "00:00", "end": "07:00"}
    desk = Desk(tmp_path, store, channels={"chat": {"url": "json://x:1", "quiet": quiet}})  # it is Monday, 03:00
    warning = tell(desk, "chat")[0]
    page = tell(desk, "chat", urgency="page", key="k2")[1]
    assert datetime.fromtimestamp(warning.due_at, UTC).hour == 7 and page.due_at == desk.now.timestamp()


def test_a_digest_channel_collects_until_its_beat(tmp_path: Path, store: Engine) -> None:
    desk = Desk(tmp_path, store, channels={"chat": {"url": "json://x:1", "digest": "15m"}})
    desk.clock.move(minutes=4)
    assert datetime.fromtimestamp(tell(desk, "chat")[0].due_at, UTC).minute == 15


def test_what_a_title_holds_cannot_forge_a_line_or_steer_a_terminal() -> None:
    subject, body = rendered("plain", "a\nb\x1b[31m", "c\x07", {})
    assert subject == "a\\nb\\x1b[31m" and body == "c\\x07"


def test_a_failed_page_goes_another_way_and_its_channel_is_an_alert(desk: Desk) -> None:
    desk.bad()
    (row,) = desk.messages()
    claimed = desk.write(lambda c: messages.claim(c, desk.watch.where, row.channel, "me", desk.now.timestamp(), 60, 9))
    desk.write(
        lambda c: fallback.failed(c, desk.system, "me", row.channel, claimed, "no", permanent=True, now=desk.now)
    )
    first, second = [one for one in desk.messages("page") if one.incident == row.incident]
    assert (first.state, second.channel, second.instead_of) == ("failed", "contact:boss/email", first.key)
    titles = [one.title for one in desk.incidents]
    assert "messages to contact:ana/notify are not delivered" in titles
    desk.write(lambda c: fallback.works(c, desk.system, row.channel, desk.now))
    ends = desk.read(lambda c: fallback.alerts.open_ones(c, desk.watch.where, {fallback.fingerprint(row.channel)}))
    assert ends == []


def test_a_page_that_has_no_other_way_is_tried_again_and_again(tmp_path: Path, store: Engine) -> None:
    only = {"chat": "json://127.0.0.1:1/chat"}
    desk = Desk(tmp_path, store, channels=only, escalation=[{"level": "L1", "notify": "chat"}], oncall={}, contacts={},
                severities={}, incidents={})  # fmt: skip
    desk.bad()
    for attempt in range(1, 12):
        row = desk.messages()[0]
        desk.clock.move(hours=1)
        at = desk.now.timestamp()
        claimed = desk.write(lambda c, at=at: messages.claim(c, desk.watch.where, "channel:chat", "me", at, 60, 9))  # type: ignore[misc]
        assert [one.attempts for one in claimed if one.id == row.id] == [attempt]
        fail = [desk.system, "me", "channel:chat", claimed, "it is down"]
        desk.write(lambda c, fail=fail: fallback.failed(c, *fail, permanent=False, now=desk.now))  # type: ignore[misc]
        assert desk.messages()[0].state == "waiting"


def test_a_channel_that_fails_in_a_storm_is_gone_over_by_a_few_statements(tmp_path: Path, store: Engine) -> None:
    desk = Desk(tmp_path, store, incidents={"group_by": "check"})
    desk.hears(*((f"check:c{number}", "critical") for number in range(60)))
    at = desk.now.timestamp()
    claimed = desk.write(lambda c: messages.claim(c, desk.watch.where, "contact:ana/notify", "me", at, 60, 99))
    assert len(claimed) == 60
    asked: list[str] = []

    def fail(connection: Connection) -> None:
        event.listen(connection, "before_cursor_execute", lambda *said: asked.append(said[2]))
        fallback.failed(
            connection, desk.system, "me", "contact:ana/notify", claimed, "no", permanent=True, now=desk.now
        )

    desk.write(fail)
    ids = {row.id for row in claimed}
    assert {row.state for row in rows(desk) if row.id in ids} == {"failed"}
    instead = [row for row in rows(desk) if row.instead_of in {one.key for one in claimed}]
    assert len(instead) == 60 and {row.channel for row in instead} == {"contact:boss/email"}
    assert len(asked) < 60, "not one by one"


def test_pauses_grow_and_end() -> None:
    pauses = [fallback.pause(attempt) for attempt in range(1, 20)]
    assert pauses == sorted(pauses) and pauses[0] == 5 and pauses[-1] == 1800


def an_answer(body: str, status: int = 200) -> Answer:
    return Answer("http://x", status, "OK", {}, body.encode(), True, 0.0, {})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("judge", "body", "receipt"),
    [
        (web.judged_by_json, '{"receipt": "r1"}', "r1"),
        (web.judged_by_json, '{"ok": true, "id": 7}', "7"),
        (web.judged_by_json, "thanks", "200 OK"),
        (web.judged_by_slack, "ok", "ok"),
        (web.judged_by_pagerduty, '{"status": "success", "dedup_key": "d"}', "d"),
    ],
)
def test_an_answer_is_the_receipt(judge: Any, body: str, receipt: str) -> None:
    assert judge(an_answer(body)) == receipt


@pytest.mark.parametrize(
    ("judge", "body"),
    [
        (web.judged_by_json, '{"ok": false, "message": "no such room"}'),
        (web.judged_by_json, '{"error": "invalid_token"}'),
        (web.judged_by_json, '{"status": "error"}'),
        (web.judged_by_slack, "invalid_payload"),
        (web.judged_by_slack, '{"ok": false}'),
        (web.judged_by_pagerduty, '{"status": "invalid event"}'),
        (web.judged_by_pagerduty, "<html>"),
    ],
)
def test_a_channel_that_lies_has_not_taken_the_message(judge: Any, body: str) -> None:
    with pytest.raises(NotDelivered):
        judge(an_answer(body))


SENDING = Sending(
    "k", "page", "page", "down <!channel>", "a & b", "i1", "https://ops/acknowledge/i1", {"system": "shop"}
)


def to(url: str, **keys: Any) -> Route:
    return Route(url, Channel.model_validate({"url": url, **keys}))


def test_each_form_has_the_body_that_its_service_takes() -> None:
    slack = web.BODIES["slack"][0](to("https://hooks.slack.com/services/T/B/x"), SENDING)
    assert "&lt;!channel&gt;" in slack["text"] and "<https://ops/acknowledge/i1|Acknowledge>" in slack["text"]
    event = web.BODIES["pagerduty"][0](to("https://events.pagerduty.com/v2/enqueue?routing_key=R"), SENDING)
    assert (event["routing_key"], event["event_action"], event["dedup_key"]) == ("R", "trigger", "opsbook/i1")
    assert web.url_of(to("https://events.pagerduty.com/v2/enqueue?routing_key=R")).endswith("/v2/enqueue")
    hook = web.BODIES["json"][0](to("jsons://hook"), SENDING)
    assert hook["acknowledge"] == "https://ops/acknowledge/i1" and hook["system"] == "shop"


@pytest.mark.parametrize(
    ("url", "module"),
    [
        ("mailto:ops@example.org", "mail"), ("smtp://mail:25?to=a@b.c", "mail"),
        ("mailto://u:p@gmail.com", "by_apprise"),
        ("mailto://127.0.0.1:25?to=a@b.c", "mail"), ("https://hook.example.org/x", "web"), ("json://h", "web"),
        ("slack://a/b/c", "by_apprise"), ("pagerduty://k@a", "by_apprise"), ("ntfy://topic", "by_apprise"),
    ],
)  # fmt: skip
def test_each_address_has_its_form(url: str, module: str) -> None:
    assert sender(to(url)).__module__.rpartition(".")[2] == module


def test_the_same_message_twice_has_the_same_id_so_that_a_mailbox_shows_one() -> None:
    server = server_of(to("smtp://mail:25?to=a@b.c"))
    assert mail(server, SENDING)["Message-ID"] == mail(server, SENDING)["Message-ID"]
    assert "Acknowledge by a click: https://ops/acknowledge/i1" in mail(server, SENDING).get_content()


def test_what_of_an_address_is_secret_is_known() -> None:
    found = secrets_of_route(to("https://user:pa55word@hooks.example.org/services/T0000/B0000/abcdefghij?key=zzzz9"))
    assert {"pa55word", "abcdefghij", "key=zzzz9"} <= set(found)


def test_nobody_on_call_is_over_as_soon_as_somebody_is(tmp_path: Path, store: Engine) -> None:
    duty = {"members": ["ana"], "start": "2026-01-05T00:00:00", "hours": {"days": ["MO"]}}
    desk = Desk(tmp_path, store, oncall={"first": duty})
    missing = "channel:nobody:first"
    desk.hears((missing, "critical"), ("channel:channel:sold", "critical"), ("beat:sold", "critical"), source="opsbook")
    desk.hears(("beat:sold", "critical"), source="beat")

    def going() -> set[str]:
        desk.write(lambda connection: reconsider(connection, desk.system, desk.now, respond))
        found = desk.read(lambda connection: fallback.alerts.open_ones(connection, desk.watch.where))
        return {row["fingerprint"] for row in found}

    assert going() == {missing}, "what is no longer in the book would be bad for ever"
    desk.clock.move(hours=8)
    assert going() == set()


def test_old_messages_are_forgotten_but_not_whom_an_open_incident_has_paged(desk: Desk) -> None:
    tell(desk, "chat")
    desk.bad()
    desk.write(lambda c: c.execute(messages.messages.update().values(state="delivered")))
    before = desk.now.timestamp() + 1
    desk.write(lambda c: drop_messages(c, desk.watch.where, before, 100))
    assert {row.incident for row in rows(desk)} == {desk.one.id}
    desk.well()
    desk.later(minutes=10)
    desk.write(lambda c: drop_messages(c, desk.watch.where, before, 100))
    assert [row.kind for row in rows(desk)] == ["resolved"]


class MailServer:
    """As `smtplib.SMTP`: refuses some, and keeps what it took."""

    def __init__(self, *refused: str) -> None:
        self.refused, self.taken = refused, 0

    def ehlo(self) -> None: ...

    def has_extn(self, _: str) -> bool:
        return False

    def mail(self, _: str) -> tuple[int, bytes]:
        return 250, b"ok"

    def rcpt(self, who: str) -> tuple[int, bytes]:
        return (550, b"mailbox full") if who in self.refused else (250, b"ok")

    def data(self, _: bytes) -> tuple[int, bytes]:
        self.taken += 1
        return 250, b"queued"


def test_one_mailbox_that_is_full_does_not_keep_the_others_from_being_told(desk: Desk) -> None:
    server = server_of(Route("smtp://127.0.0.1:1?to=ana@x,bob@x", Channel.model_validate({"url": "smtp://x"})))
    message = mail(server, Sending("k", "page", "page", "s", "b"))
    some, all_of_them = MailServer("bob@x"), MailServer("ana@x", "bob@x")
    context = ssl.create_default_context()
    assert _converse(some, server, message, context) == "250 queued (1 of 2 refused)"  # type: ignore[arg-type]
    with pytest.raises(smtplib.SMTPResponseException):
        _converse(all_of_them, server, message, context)  # type: ignore[arg-type]
    assert all_of_them.taken == 0


def test_what_one_channel_complains_of_is_not_told_of_another() -> None:
    said, logger = _Said(), logging.getLogger("apprise")
    logger.addHandler(said)
    try:
        other = Thread(target=lambda: logger.warning("their secret"))
        other.start()
        other.join()
        assert said.last == ""
        logger.warning("mine")
        assert said.last == "mine"
    finally:
        logger.removeHandler(said)


def test_a_clock_that_was_set_back_keeps_no_page_and_no_level_waiting(desk: Desk) -> None:
    desk.bad()
    desk.clock.move(hours=-3)
    waiting = desk.read(lambda c: messages.crowds(c, desk.watch.where, desk.now.timestamp(), 60.0))
    assert list(waiting) == ["contact:ana/notify"]
    desk.later(seconds=1)
    desk.later(minutes=5)
    assert desk.told() == ["contact:ana/notify", "contact:boss/email"]
