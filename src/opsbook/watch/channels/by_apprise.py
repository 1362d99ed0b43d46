"""Every address that Apprise knows: Teams, PagerDuty, ntfy, Telegram, SMS gateways, mail providers and a hundred more.

Apprise answers only whether it went well; what went wrong it logs, and that is what an error quotes.
"""

from __future__ import annotations

import logging
import threading

from opsbook.watch.channels.contract import LAST, NotDelivered, Sending, form, in_thread
from opsbook.watch.recipients import Route

KIND = {"page": "failure", "warning": "warning", "info": "info", "resolved": "success"}

LOGGER = logging.getLogger("apprise")
# What Apprise logs quotes addresses with their tokens: it goes into no log, and only masked into an error.
LOGGER.propagate = False
LOGGER.addHandler(logging.NullHandler())


def takes(route: Route) -> bool:
    """Everything that looks like an address."""
    return ":" in route.url


@form(takes, order=LAST, needs=("apprise",))
async def send(route: Route, sending: Sending) -> str:
    """Send it by Apprise. Raises NotDelivered."""
    return await in_thread(_send, route, sending)


def _send(route: Route, sending: Sending) -> str:
    try:
        import apprise
    except ImportError as error:
        raise NotDelivered("this channel needs apprise", "pip install 'opsbook[serve]'", permanent=True) from error
    url = f"{route.url}{'&' if '?' in route.url else '?'}to={route.to}" if route.to else route.url
    service = apprise.Apprise.instantiate(url)
    if service is None:
        raise NotDelivered(
            "Apprise does not know this address", "`opsbook doctor` names the channels of the book", permanent=True
        )
    service.socket_connect_timeout = service.socket_read_timeout = route.settings.timeout.total_seconds()
    form = "markdown" if route.settings.format == "markdown" else "text"
    kind = KIND["resolved" if sending.kind == "resolved" else sending.urgency]
    said = _Said()
    LOGGER.addHandler(said)
    try:
        good = service.notify(body=sending.text, title=sending.subject, notify_type=kind, body_format=form)
    except TypeError as error:  # what Apprise raises for input that a service cannot take
        raise NotDelivered(f"Apprise: {error}", permanent=True) from error
    finally:
        LOGGER.removeHandler(said)
    if not good:
        raise NotDelivered(f"Apprise: {said.last or 'it did not go out'}")
    return f"accepted by {service.service_name or type(service).__name__}"


class _Said(logging.Handler):
    """Keeps the last complaint of this thread: what is sent beside it may name another channel's address."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last, self._thread = "", threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.last = record.getMessage()[:300]
