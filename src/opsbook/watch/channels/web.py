"""Channels that are one HTTP request: a webhook that takes JSON, Slack's own, PagerDuty's Events API v2.

A server that answers 200 and says in its answer that it failed has not taken the message.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

from opsbook.connectors.http_client import Answer, HttpClient
from opsbook.errors import OpsbookError
from opsbook.watch.channels.contract import NotDelivered, NotWanted, Sending, form, scheme
from opsbook.watch.recipients import Route

Json = Mapping[str, Any]
PASSING = (408, 409, 425, 429)
"""Refusals that a later attempt may not meet."""
LONGEST_RECEIPT = 200
SEVERITY = {"page": "critical", "warning": "warning", "info": "info"}


def takes(route: Route) -> bool:
    """Addresses of the web, and Apprise's `json://` and `jsons://`."""
    return scheme(route) in ("http", "https", "json", "jsons")


def _is_pagerduty(route: Route) -> bool:
    return form_of(route) == "pagerduty"


@form(takes, needs=("httpx", "opsbook.connectors._http_wire"), alone=_is_pagerduty)
async def send(route: Route, sending: Sending) -> str:
    """Post it in the form that the channel says, or that its address shows."""
    body, judge = BODIES[form_of(route)]
    url = url_of(route)
    content = json.dumps(body(route, sending), ensure_ascii=False).encode("utf-8", "replace")
    headers = {"content-type": "application/json", "idempotency-key": sending.key.encode("ascii", "replace").decode()}
    client = HttpClient(url, headers)
    try:
        async with asyncio.timeout(route.settings.timeout.total_seconds()):
            answer = await client.send("POST", "", content)
    except TimeoutError as error:
        raise NotDelivered(f"no answer within {route.settings.timeout.total_seconds():g} s") from error
    except NotDelivered:
        raise
    except OpsbookError as error:
        raise NotDelivered(error.message) from error
    finally:
        await client.close()
    if not 200 <= answer.status < 300:
        later = answer.status >= 500 or answer.status in PASSING
        raise NotDelivered(f"it answers {answer.words}: {answer.text[:LONGEST_RECEIPT]}", permanent=not later)
    return judge(answer)


def form_of(route: Route) -> str:
    """The form of the message: what the book says, or what the address shows."""
    if route.settings.format in BODIES:
        return str(route.settings.format)
    host = urlsplit(route.url).hostname or ""
    return {"hooks.slack.com": "slack", "events.pagerduty.com": "pagerduty"}.get(host, "json")


def url_of(route: Route) -> str:
    """The address that is asked. PagerDuty's key goes into the body, so that it is in no log of a proxy."""
    parts = urlsplit(route.url)
    plain = {"json": "http", "jsons": "https"}.get(parts.scheme, parts.scheme)
    query = "" if form_of(route) == "pagerduty" else parts.query
    return urlunsplit((plain, parts.netloc, parts.path, query, ""))


def _webhook(_route: Route, sending: Sending) -> Json:
    return {
        **sending.facts,
        "opsbook": 1,
        "key": sending.key,
        "kind": sending.kind,
        "urgency": sending.urgency,
        "incident": sending.incident or None,
        "subject": sending.subject,
        "body": sending.body,
        "acknowledge": sending.acknowledge or None,
        "links": dict(sending.links),
    }


def _slack(_route: Route, sending: Sending) -> Json:
    subject, text = _escaped(sending.subject), _escaped(sending.body)
    links = [f"<{sending.acknowledge}|Acknowledge>"] if sending.acknowledge else []
    links += [f"<{address}|Acknowledge {_escaped(incident)}>" for incident, address in sending.links.items()]
    return {"text": "\n".join([f"*{subject}*", text, *links])}


def _escaped(text: str) -> str:
    # A title of an alert must not call a whole channel (`<!channel>`).
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _pagerduty(route: Route, sending: Sending) -> Json:
    key = parse_qs(urlsplit(route.url).query).get("routing_key", [""])[-1]
    action = _action(sending)
    payload = {
        "summary": sending.subject,
        "source": f"{sending.facts.get('system', '')}/{sending.facts.get('environment', '')}",
        "severity": SEVERITY.get(sending.urgency, "error"),
        "component": sending.facts.get("component") or None,
        "custom_details": {"body": sending.body, "key": sending.key},
    }
    body: dict[str, Any] = {
        "routing_key": key,
        "event_action": action,
        "dedup_key": f"opsbook/{sending.incident or sending.key}",
        "payload": payload,
    }
    if sending.acknowledge:
        body["links"] = [{"href": sending.acknowledge, "text": "Acknowledge"}]
    return body


def _action(sending: Sending) -> str:
    """What an event does to the incident that PagerDuty has of ours. Raises NotWanted where it must do nothing."""
    if sending.kind == "resolved":
        if sending.over is False:
            raise NotWanted("the incident was reopened before this was sent")
        return "resolve"
    if sending.over:
        # A trigger would open it anew, and nothing would end it.
        raise NotWanted("the incident is over, and PagerDuty would call again")
    return "acknowledge" if sending.kind == "acknowledged" else "trigger"


def judged_by_json(answer: Answer) -> str:
    """The receipt of a webhook. Raises NotDelivered where its answer says that it failed."""
    try:
        said = json.loads(answer.body)
    except ValueError:
        return answer.words
    if not isinstance(said, dict):
        return answer.words
    wrong = said.get("error") or said.get("errors")
    failed = any(said.get(name) is False for name in ("ok", "success", "delivered", "accepted"))
    if wrong or failed or str(said.get("status", "")).lower() in ("error", "failed", "failure"):
        told = wrong or said.get("message") or said.get("status") or "it failed"
        raise NotDelivered(f"it answers {answer.status}, and that it failed: {str(told)[:LONGEST_RECEIPT]}")
    receipt = next((said[name] for name in ("receipt", "id", "message_id", "dedup_key") if said.get(name)), None)
    return str(receipt)[:LONGEST_RECEIPT] if receipt else answer.words


def judged_by_slack(answer: Answer) -> str:
    """Slack answers `ok`, and the name of an error in place of it."""
    if answer.text.strip() == "ok":
        return "ok"
    return _lied(answer) if answer.text.strip()[:1] != "{" else judged_by_json(answer)


def judged_by_pagerduty(answer: Answer) -> str:
    """PagerDuty answers `status: success` and the key of the event."""
    try:
        said = json.loads(answer.body)
    except ValueError:
        return _lied(answer)
    if not isinstance(said, dict) or said.get("status") != "success":
        return _lied(answer)
    return str(said.get("dedup_key") or "success")[:LONGEST_RECEIPT]


def _lied(answer: Answer) -> str:
    raise NotDelivered(f"it answers {answer.status}, and then: {answer.text[:LONGEST_RECEIPT]}")


Body = Callable[[Route, Sending], Json]
Judge = Callable[[Answer], str]
BODIES: dict[str, tuple[Body, Judge]] = {
    "json": (_webhook, judged_by_json),
    "text": (_webhook, judged_by_json),
    "markdown": (_webhook, judged_by_json),
    "slack": (_slack, judged_by_slack),
    "pagerduty": (_pagerduty, judged_by_pagerduty),
}
"""Form → the body that it takes, and how its answer is read."""
