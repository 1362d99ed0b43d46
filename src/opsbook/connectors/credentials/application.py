"""A secret that only the application knows what to do with: opsbook gives it a new one, and sees that it is taken.

Programs of the book may know more of it: `issuer` makes, tries and revokes it, and recalls what it has made under a
name that opsbook wrote down before. A secret is their input or output.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from opsbook.book.issuers import Issuer
from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.contract import Connections
from opsbook.connectors.credentials.contract import MadeElsewhere
from opsbook.connectors.credentials.pending import generated
from opsbook.connectors.credentials.places import Credential
from opsbook.connectors.executors.secrets import NotReached, hear, masked
from opsbook.errors import Refused

SECONDS = 60.0
"""For one program."""
NAME = "OPSBOOK_NAME"
"""Variable of `make` with the name by which `recall` finds what it made."""
REFUSED = 1
"""The exit code of `test` for a credential that is not accepted."""


class ApplicationSecret(MadeElsewhere):
    """Valid as soon as the workloads have read it, or as soon as its issuer has made it."""

    def __init__(self, connections: Connections, component: str, issuer: Issuer | None) -> None:
        self.connections, self.component, self.issuer = connections, component, issuer or Issuer()
        self.issues = bool(self.issuer.make)

    async def new(self, name: str, length: int) -> str:
        if not self.issues:
            return generated(length)
        code, told, words = await self._run(self.issuer.make, "", name)
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

    async def recall(self, name: str) -> int | None:
        if not self.issuer.recall:
            return None
        code, told, words = await self._run(self.issuer.recall, name, name)
        if code:
            raise ChangeFailed(f"`recall` of its issuer ended with {code}: {words or told.strip()}", "run it by hand")
        return 1

    async def accepts(self, credential: Credential) -> bool | None:
        if not self.issuer.test:
            return None
        code, told, words = await self._run(self.issuer.test, credential.secret)
        if code in (0, REFUSED):
            return code == 0
        said = words or masked(told, [credential.secret]).strip()
        raise NotReached(f"`test` of its issuer ended with {code}: {said}", "0 is accepted, 1 is refused")

    async def forbid(self, role: str, old: Credential) -> None:
        if not self.issuer.revoke or await self.accepts(old) is False:
            return
        code, told, words = await self._run(self.issuer.revoke, old.secret)
        if code:
            said = words or masked(told, [old.secret]).strip()
            raise ChangeFailed(f"`revoke` of its issuer ended with {code}: {said}", "run it by hand")

    async def _run(self, argv: Sequence[str], given: str, name: str = "") -> tuple[int, str, str]:
        """Exit code, output, and the last line of what it complained, without the secret."""
        system = self.connections.system
        try:
            process = await asyncio.create_subprocess_exec(
                *argv, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
                cwd=system.folder, env={**system.variables, **({NAME: name} if name else {})},
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
