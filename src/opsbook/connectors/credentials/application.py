"""A secret that only the application knows what to do with: opsbook gives it a new one, and sees that it is taken.

Programs of the book may know more of it: `issuer` makes, tries and revokes it. A secret is their input or output.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from opsbook.book.planned import Issuer
from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.contract import Connections
from opsbook.connectors.credentials.places import Credential
from opsbook.connectors.executors.secrets import NotReached, hear, masked
from opsbook.errors import Refused

SECONDS = 60.0
"""For one program."""
REFUSED = 1
"""The exit code of `test` for a credential that is not accepted."""


class ApplicationSecret:
    """Valid as soon as the workloads have read it, or as soon as its issuer has made it."""

    def __init__(self, connections: Connections, component: str, issuer: Issuer | None) -> None:
        self.connections, self.component, self.issuer = connections, component, issuer or Issuer()

    def next_login(self, role: str, login: str) -> str:
        return login

    async def made(self) -> str | None:
        """A new one by its issuer; None where opsbook makes it. Raises ChangeFailed."""
        if not self.issuer.make:
            return None
        code, told, words = await self._run(self.issuer.make, "")
        hear([told.strip()])
        if code:
            raise ChangeFailed(f"`make` of its issuer ended with {code}: {words}", "run it by hand")
        if not (secret := told.strip()) or not secret.isprintable():
            raise ChangeFailed("`make` of its issuer did not print one line", "let it print the credential alone")
        if "'" in secret:
            raise ChangeFailed(
                "`make` of its issuer made a credential with a quote in it, which no line of KEY=VALUE holds",
                "revoke it, and let it make one without",
            )
        return secret

    async def allow(self, role: str, new: Credential) -> None:
        """Nothing to do."""

    async def accepts(self, credential: Credential) -> bool | None:
        if not self.issuer.test:
            return None
        code, told, words = await self._run(self.issuer.test, credential.secret)
        if code in (0, REFUSED):
            return code == 0
        said = words or masked(told, [credential.secret]).strip()
        raise NotReached(f"`test` of its issuer ended with {code}: {said}", "0 is accepted, 1 is refused")

    async def users(self, old: Credential) -> int | None:
        return None

    async def forbid(self, role: str, old: Credential) -> None:
        if not self.issuer.revoke or await self.accepts(old) is False:
            return
        code, told, words = await self._run(self.issuer.revoke, old.secret)
        if code:
            said = words or masked(told, [old.secret]).strip()
            raise ChangeFailed(f"`revoke` of its issuer ended with {code}: {said}", "run it by hand")

    async def _run(self, argv: Sequence[str], given: str) -> tuple[int, str, str]:
        """Exit code, output, and the last line of what it complained, without the secret."""
        system = self.connections.system
        try:
            process = await asyncio.create_subprocess_exec(
                *argv, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
                cwd=system.folder, env=dict(system.variables),
            )  # fmt: skip
        except OSError as error:
            raise Refused(f"{argv[0]}: {error.strerror}", "check `issuer` of the rotation") from error
        try:
            async with asyncio.timeout(SECONDS):
                told, complained = await process.communicate(f"{given}\n".encode() if given else None)
        except TimeoutError:
            raise NotReached(f"{argv[0]} did not end within {SECONDS:g} s", "run it by hand") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        lines = masked(complained.decode(errors="replace"), [given]).strip().splitlines()
        return process.returncode or 0, told.decode(errors="replace"), lines[-1][:300] if lines else ""
