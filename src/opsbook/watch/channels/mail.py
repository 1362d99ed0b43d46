"""Mail by SMTP (RFC 5321): `smtp://`, `smtps://`, and `mailto://` with the host and port of a server.

    smtp://user:password@mail.example.org:587?from=opsbook@example.org&to=oncall@example.org
    mailto:oncall@example.org        the server of this machine

A server that offers STARTTLS is spoken to encrypted, and must prove its name unless it is this machine. The receipt is
what the server answered. Message-ID is made of the message's key: the same message twice is one in a mailbox.
"""

from __future__ import annotations

import hashlib
import smtplib
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from urllib.parse import parse_qs, unquote, urlsplit

from opsbook.connectors.trust import client_context
from opsbook.watch.channels.contract import NotDelivered, Sending, form, in_thread, scheme
from opsbook.watch.recipients import Route

LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Server:
    """A mail server, and from whom to whom."""

    host: str
    port: int
    tls: bool
    user: str
    password: str
    sender: str
    to: tuple[str, ...]


def takes(route: Route) -> bool:
    """Mail addresses that name a server, or none at all; Apprise knows the servers of mail providers."""
    if scheme(route) in ("smtp", "smtps"):
        return True
    if scheme(route) not in ("mailto", "mailtos"):
        return False
    with suppress(ValueError):
        parts = urlsplit(route.url)
        return not parts.netloc or parts.port is not None or parts.hostname in LOCAL
    return False


@form(takes)
async def send(route: Route, sending: Sending) -> str:
    """Send it, and return what the server answered."""
    server = server_of(route)
    message = mail(server, sending)
    timeout = route.settings.timeout.total_seconds()
    return await in_thread(_send, server, message, timeout)


def server_of(route: Route) -> Server:
    """The server of an address. Raises NotDelivered where nobody is named."""
    parts = urlsplit(route.url)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    named = query.get("to", "") or ("" if parts.netloc else parts.path)
    to = tuple(one.strip() for one in (route.to or named).split(",") if one.strip())
    if not to:
        raise NotDelivered("the mail channel names nobody", "add ?to=ADDRESS to it", permanent=True)
    secure = parts.scheme.lower() in ("smtps", "mailtos")
    host = query.get("smtp") or parts.hostname or "localhost"
    return Server(
        host, parts.port or (465 if secure else 25), secure, unquote(parts.username or ""),
        unquote(parts.password or ""), query.get("from") or f"opsbook@{socket.getfqdn()}", to,
    )  # fmt: skip


def mail(server: Server, sending: Sending) -> EmailMessage:
    """The message as mail."""
    message = EmailMessage()
    message["Subject"] = sending.subject
    message["From"], message["To"] = server.sender, ", ".join(server.to)
    message["Date"] = formatdate()
    digest = hashlib.sha256(sending.key.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    message["Message-ID"] = f"<{digest}@opsbook>"
    message["Auto-Submitted"] = "auto-generated"
    if sending.incident:
        message["X-Opsbook-Incident"] = sending.incident
        thread = hashlib.sha256(sending.incident.encode()).hexdigest()[:32]
        message["References"] = f"<{thread}@opsbook>"
    if sending.urgency == "page":
        message["Importance"] = "high"
    message.set_content(sending.text.encode("utf-8", "replace").decode() + "\n")
    return message


def _send(server: Server, message: EmailMessage, timeout: float) -> str:
    # The context trusts as every other client of opsbook does; a server on this machine has no name to prove.
    context = client_context(insecure=server.host in LOCAL)
    try:
        smtp = (
            smtplib.SMTP_SSL(server.host, server.port, timeout=timeout, context=context)
            if server.tls
            else smtplib.SMTP(server.host, server.port, timeout=timeout)
        )
        try:
            receipt = _converse(smtp, server, message, context)
            # It is theirs now: a quarrel at parting must not send it twice.
            with suppress(OSError, smtplib.SMTPException):
                smtp.quit()
            return receipt
        finally:
            smtp.close()
    except smtplib.SMTPResponseException as error:
        told = f"the mail server {server.host} answers {error.smtp_code} {_text(error.smtp_error)}"
        raise NotDelivered(told, permanent=error.smtp_code >= 500) from error
    except ssl.SSLError as error:
        raise NotDelivered(f"the mail server {server.host}: {error.reason or 'TLS failed'}") from error
    except (OSError, smtplib.SMTPException) as error:
        told = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise NotDelivered(f"the mail server {server.host}:{server.port}: {told}") from error


def _converse(smtp: smtplib.SMTP, server: Server, message: EmailMessage, context: ssl.SSLContext) -> str:
    smtp.ehlo()
    if not server.tls and smtp.has_extn("starttls"):
        smtp.starttls(context=context)
        smtp.ehlo()
    if server.user:
        smtp.login(server.user, server.password)
    _accepted(*smtp.mail(server.sender))
    answers = [smtp.rcpt(one) for one in server.to]
    refused = [answer for answer in answers if answer[0] >= 400]
    if len(refused) == len(server.to):
        _accepted(*refused[-1])
    # One mailbox that is full must not keep the others from being told.
    code, said = smtp.data(message.as_bytes())
    _accepted(code, said)
    return f"{code} {_text(said)}" + (f" ({len(refused)} of {len(server.to)} refused)" if refused else "")


def _accepted(code: int, said: bytes) -> None:
    if code >= 400:
        raise smtplib.SMTPResponseException(code, said)


def _text(said: bytes | str) -> str:
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else said
