"""Delivery by Apprise itself: what a sink gets of it, what it says of a server that refuses, and no secret in that."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsbook.book.people import Channel
from opsbook.store import messages
from opsbook.store.database import open_store
from opsbook.watch.channels import by_apprise
from opsbook.watch.channels.contract import NotDelivered, Sending, sender
from opsbook.watch.delivery import Delivery
from opsbook.watch.recipients import Route
from tests.integration.sinks import Hook, Mailbox, mailbox, webhook
from tests.unit.watch.on_call import Desk

PAGE = Sending("page|i1|0|L1", "page", "page", "[P1] database — shop", "it *refuses*\n\nÄ", "i1", "https://o/a?sign=1")


@pytest.fixture(scope="module")
def hook() -> Iterator[Hook]:
    with webhook() as found:
        yield found


@pytest.fixture(scope="module")
def box() -> Iterator[Mailbox]:
    with mailbox() as found:
        yield found


@pytest.fixture(autouse=True)
def clean(hook: Hook, box: Mailbox) -> None:
    hook.got.clear()
    hook.how.clear()
    hook.released.clear()
    box.mails.clear()


def route(url: str, **keys: object) -> Route:
    return Route(url, Channel.model_validate({"url": url, **keys}))


async def test_the_subject_the_text_and_its_kind_arrive(hook: Hook) -> None:
    receipt = await by_apprise.send(route(f"json://127.0.0.1:{hook.port}/plain"), PAGE)
    ((_, body),) = hook.got
    assert (body["title"], body["type"]) == (PAGE.subject, "failure")
    assert "it *refuses*\n\nÄ" in body["message"] and "Acknowledge by a click: https://o/a?sign=1" in body["message"]
    assert receipt.startswith("accepted by")
    over = Sending("r", "resolved", "info", "over", "well")
    await by_apprise.send(route(f"json://127.0.0.1:{hook.port}/plain"), over)
    assert hook.got[-1][1]["type"] == "success"


@pytest.mark.parametrize("how", ["down", "refuse", "drop"])
async def test_a_server_that_refuses_has_not_taken_it(hook: Hook, how: str) -> None:
    hook.how["plain"] = how
    with pytest.raises(NotDelivered, match=r"^Apprise: ") as raised:
        await by_apprise.send(route(f"json://127.0.0.1:{hook.port}/plain"), PAGE)
    assert not raised.value.permanent and hook.got == []


async def test_a_server_that_never_answers_is_given_up_in_its_time(hook: Hook) -> None:
    hook.how["plain"] = "slow"
    try:
        with pytest.raises(NotDelivered):
            await by_apprise.send(route(f"json://127.0.0.1:{hook.port}/plain", timeout="1s"), PAGE)
    finally:
        hook.released.set()


async def test_mail_to_a_server_that_is_named_by_a_parameter(box: Mailbox) -> None:
    url = f"mailto://example.org:{box.port}?smtp=127.0.0.1&from=ops@example.org&to=all@example.org&mode=insecure"
    await by_apprise.send(route(url), PAGE)
    ((to, mail),) = box.mails
    assert to == ("all@example.org",) and PAGE.subject in str(mail["Subject"])


async def test_an_address_that_apprise_does_not_know_is_not_tried_again() -> None:
    found = route("nosuch://host/secret-token-4711")
    assert sender(found) is by_apprise.send
    with pytest.raises(NotDelivered, match="does not know") as raised:
        await sender(found)(found, PAGE)
    assert raised.value.permanent and "4711" not in raised.value.message


async def test_a_page_through_apprise_is_recorded_and_its_address_is_a_secret(
    tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    # ntfy is one of those that opsbook has no form of its own for.
    monkeypatch.setenv("ANA", f"ntfy://user-4711secret:word-4712secret@127.0.0.1:{hook.port}/topic-4713secret")
    monkeypatch.setenv("BOB", "slack://T4714secret/B4715secret")
    desk = Desk(tmp_path, open_store(f"sqlite:///{tmp_path}/store.db"))
    logged = io.StringIO()
    handler = logging.StreamHandler(logged)
    logging.getLogger().addHandler(handler)
    delivery = Delivery(desk.watch)
    desk.bad(notify=("bob",))
    await delivery.tick(desk.now)
    await delivery.settled()
    (receipt,) = [row.receipt for row in desk.messages("page") if row.state == "delivered"]
    assert receipt == "accepted by ntfy"
    (told,) = [body for _, body in hook.got]
    assert told["topic"] == "topic-4713secret" and told["title"].startswith("[P1] database")
    assert desk.messages("update")[0].error == "Apprise does not know this address"
    hook.how[""] = "refuse"
    desk.clock.move(hours=3)
    desk.bad("check:another")
    await delivery.tick(desk.now)
    await delivery.settled()
    logging.getLogger().removeHandler(handler)
    errors = [row.error for row in desk.messages("page")]
    assert any(error.startswith("Apprise: ") and "400" in error for error in errors), errors
    with desk.watch.setting.store.connect() as connection:
        everything = str(connection.execute(messages.messages.select()).all()) + logged.getvalue()
    for word in ("4711secret", "4712secret", "4713secret", "4714secret", "4715secret"):
        assert word not in everything
