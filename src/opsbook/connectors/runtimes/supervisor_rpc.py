"""supervisord's XML-RPC interface, over its unix socket or its HTTP port."""

from __future__ import annotations

import base64
import re
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit
from xmlrpc import client as xmlrpc

from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.http_client import HttpClient
from opsbook.connectors.runtimes.supervisor_config import Settings
from opsbook.errors import Unreachable

BAD_NAME, ALREADY_STARTED, NOT_RUNNING = 10, 60, 70
_NOT_XML = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|&#(?:[0-8]|1[124-9]|2[0-9]|3[01]);")
"""Control characters of a log line, which supervisor passes on and XML forbids."""


class SupervisorFault(ReadFailed):
    """supervisord answered, and said no."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(f"supervisor: {words}")
        self.code = code


class SupervisorRpc:
    """Calls of the `supervisor` namespace."""

    def __init__(self, settings: Settings, named: str) -> None:
        self._named = named
        self.where = settings.unix or settings.url
        headers = {"content-type": "text/xml"}
        if settings.username:
            pair = f"{settings.username}:{settings.password}".encode()
            headers["authorization"] = "Basic " + base64.b64encode(pair).decode("ascii")
        self._http = HttpClient(settings.url or "http://localhost", headers, unix=settings.unix)

    async def call(self, method: str, *arguments: Any) -> Any:
        """Raises Unreachable where supervisord is not there, SupervisorFault where it refuses."""
        content = xmlrpc.dumps(arguments, f"supervisor.{method}", allow_none=False).encode()
        try:
            answer = await self._http.send("POST", "/RPC2", content)
        except Unreachable as error:
            raise Unreachable(
                f"supervisord does not answer at {self.where}: {error.message}",
                f"start it with `supervisord -c CONFIG`, or correct {self._named}; may this user open {self.where}?",
            ) from error
        if answer.status == 401:
            raise Unreachable(
                f"supervisord at {self.where} refuses the user name and password", f"correct them in {self._named}"
            )
        if answer.status != 200:
            raise Unreachable(
                f"what answers at {self.where} is not supervisord ({answer.words})", f"correct {self._named}"
            )
        try:
            return xmlrpc.loads(_NOT_XML.sub(b"?", answer.body))[0][0]
        except xmlrpc.Fault as fault:
            raise SupervisorFault(fault.faultCode, fault.faultString) from fault
        except (ValueError, SyntaxError, xmlrpc.Error) as error:
            raise ReadFailed(f"supervisord at {self.where} sent no XML-RPC answer: {error}") from error

    async def close(self) -> None:
        await self._http.close()


def settings_of_url(url: str) -> Settings:
    """Settings for `unix:///path` or `http://user:password@host:port`. Raises Unreachable for other words."""
    with suppress(ValueError):  # a port that is none, a bracket that is not closed
        parts = urlsplit(url)
        user, password = parts.username or "", parts.password or ""
        if parts.scheme == "unix" and parts.path:
            return Settings(unix=parts.path, username=user, password=password)
        if parts.scheme == "http" and parts.hostname and parts.port:
            host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
            return Settings(url=f"http://{host}:{parts.port}", username=user, password=password)
    raise Unreachable("the `url` of the runtime is not an address of supervisord",
                      "write unix:///path/to.sock or http://user:password@host:port")  # fmt: skip
