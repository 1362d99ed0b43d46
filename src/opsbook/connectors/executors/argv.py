"""Changes of the kind `argv`: one command on opsbook's own host, with its whole tree of processes.

effect: `argv`; `env` (name → value) and `secrets` (name → reference), which with a few usual variables are the whole
environment; `workdir`, from the book's folder; `timeout` in seconds; `ok` "good" (exit 0) or "any" (whoever asked
judges the exit code); `sensitive` (nothing that it prints is kept).

result: `exit`, the end of `stdout`, `json` where that is JSON as a whole, `seconds`.
"""

from __future__ import annotations

import asyncio
import codecs
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opsbook.connectors.change import Change, ChangeFailed, Done, Json, Sink
from opsbook.connectors.contract import Connections
from opsbook.connectors.executors import guardian
from opsbook.connectors.executors.secrets import NotReached, masked, resolve
from opsbook.connectors.process_tree import KEY, end_tree
from opsbook.connectors.registry import executor
from opsbook.errors import Refused

USUAL = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR")
"""What a command sees of opsbook's own environment; everything else is named, since the rest holds secrets."""
KEPT = 64 * 1024
"""Bytes of the end of stdout in the result."""
PIECE = 256 * 1024
LEFT_OPEN_SECONDS = 1.0
"""How long output is awaited after the command has ended: something that it left behind may hold the pipe open."""


class CommandFailed(ChangeFailed):
    """The command ran to its end and said that it failed."""


@executor("argv")
def make(connections: Connections) -> ArgvExecutor:
    """The executor on this host."""
    return ArgvExecutor(connections)


class ArgvExecutor:
    """Runs commands below a guardian, marked with the key of their change."""

    def __init__(self, connections: Connections) -> None:
        self.system = connections.system

    async def apply(self, key: str, change: Change, cursor: Json, out: Sink) -> Done:
        """Run the command to its end.

        Raises NotReached where it did not start, CommandFailed where it ended badly, TimeoutError where it took too
        long; its processes have ended then.
        """
        if sys.platform != "linux":
            raise NotReached("commands run on Linux only", "run opsbook on Linux, or write the step as an operation")
        effect = change.effect
        secrets = await resolve(self.system, {**_passed(effect), **effect.get("secrets", {})})
        environment = {name: os.environ[name] for name in USUAL if name in os.environ}
        environment |= {**effect.get("env", {}), **secrets, KEY: key}
        workdir = self._workdir(effect.get("workdir", ""))
        _check_program(effect["argv"][0], environment, workdir)
        output = _Output(out, quiet=bool(effect.get("sensitive")))
        started = time.monotonic()
        try:
            async with asyncio.timeout(effect.get("timeout")):
                code = await _run(effect["argv"], environment, workdir, output)
        except BaseException:
            # Shielded: a cancelled run must not leave its children behind.
            await asyncio.shield(asyncio.ensure_future(end_tree(key)))
            raise
        return self._concluded(effect, code, output, list(secrets.values()), time.monotonic() - started)

    async def end(self, key: str, change: Change) -> bool:
        """End everything that the command has started, also what has left its session or ignores SIGTERM."""
        return await end_tree(key)

    def _workdir(self, written: str) -> Path:
        folder = (self.system.folder / Path(written).expanduser()).absolute()
        if not folder.is_dir():
            raise NotReached(f"the folder {folder} is not there", "make it, or change `workdir` of the step")
        return folder

    def _concluded(
        self, effect: dict[str, Any], code: int, output: _Output, secrets: Sequence[str], seconds: float
    ) -> Done:
        result: dict[str, Json] = {"exit": code, "seconds": round(seconds, 3)}
        if not effect.get("sensitive"):
            text = masked(output.end_of_stdout(), secrets)
            result["stdout"] = text
            if (parsed := as_json(text)) is not None:
                result["json"] = parsed
        if code and effect.get("ok", "good") == "good":
            last = masked(output.last_words(), secrets)
            told = f": {last}" if last and not effect.get("sensitive") else ""
            raise CommandFailed(f"{_shown(effect['argv'])} ended with {_code(code)}{told}", "its output says more")
        return Done(result)


class _Output:
    """What a command prints: streamed on, its end kept."""

    def __init__(self, out: Sink, *, quiet: bool) -> None:
        self.out, self.quiet = out, quiet
        self.kept = {"stdout": bytearray(), "stderr": bytearray()}

    async def take(self, name: str, reader: asyncio.StreamReader) -> None:
        """Read one pipe to its end."""
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        kept = self.kept[name]
        while piece := await reader.read(PIECE):
            kept += piece[-KEPT:]
            if len(kept) > 2 * KEPT:
                del kept[:-KEPT]
            if not self.quiet:
                await self.out.write(decoder.decode(piece))
        if not self.quiet and (rest := decoder.decode(b"", final=True)):
            await self.out.write(rest)

    def end_of_stdout(self) -> str:
        return bytes(self.kept["stdout"][-KEPT:]).decode("utf-8", errors="replace")

    def last_words(self) -> str:
        """The last line that it printed, of stderr rather than of stdout."""
        for name in ("stderr", "stdout"):
            lines = bytes(self.kept[name][-KEPT:]).decode("utf-8", errors="replace").strip().splitlines()
            if lines:
                return lines[-1].strip()[:300]
        return ""


async def _run(argv: Sequence[str], environment: dict[str, str], workdir: Path, output: _Output) -> int:
    # Pipes of our own: asyncio waits for those it makes to close, and a daemon that is left behind holds them open.
    stdout, stderr = await _pipe(), await _pipe()
    try:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", str(guardian.__file__), str(os.getpid()), *argv,
            cwd=workdir, env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=stdout.write_end,
            stderr=stderr.write_end, start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        stdout.close()
        stderr.close()
        message = f"{_shown(argv)} could not be started: {error.strerror}"
        raise NotReached(message, "see what this host lacks") from error
    finally:
        os.close(stdout.write_end)
        os.close(stderr.write_end)
    readers = [
        asyncio.ensure_future(output.take("stdout", stdout.reader)),
        asyncio.ensure_future(output.take("stderr", stderr.reader)),
    ]
    try:
        code = await child.wait()
        await asyncio.wait(readers, timeout=LEFT_OPEN_SECONDS)
        for reader in readers:
            if reader.done():
                reader.result()
        return code
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        stdout.close()
        stderr.close()


@dataclass(frozen=True)
class _Pipe:
    """The reading end as a stream, the writing end for the child."""

    reader: asyncio.StreamReader
    write_end: int
    transport: asyncio.ReadTransport

    def close(self) -> None:
        self.transport.close()


async def _pipe() -> _Pipe:
    read_end, write_end = os.pipe()
    reader = asyncio.StreamReader(limit=PIECE)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", buffering=0)
    )
    return _Pipe(reader, write_end, transport)


def _passed(effect: dict[str, Any]) -> dict[str, str]:
    """Variables that are handed on by name: `NAME`, or `NAME=${REFERENCE}`."""
    entries = (entry.partition("=") for entry in effect.get("pass", ()))
    return {name: reference or f"${{{name}}}" for name, _, reference in entries}


def _check_program(program: str, environment: dict[str, str], workdir: Path) -> None:
    found = shutil.which(program if "/" not in program else str(workdir / program), path=environment.get("PATH"))
    if found is None:
        raise NotReached(f"there is no program {program!r} on this host", "install it, or name it with its path")
    largest = max(len(value.encode("utf-8", "surrogateescape")) for value in environment.values())
    if largest > 130_000 or any("\0" in value for value in environment.values()):
        raise Refused("a value is too large for the environment of a command, or holds a NUL", "put it into a file")


def as_json(text: str) -> Json:
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def _code(code: int) -> str:
    if code in (guardian.NOT_FOUND, guardian.NOT_EXECUTABLE):
        return f"exit code {code} (a command was not found or cannot be run)"
    return f"signal {code - 128}" if code > 128 else f"exit code {code}"


def _shown(argv: Sequence[str]) -> str:
    """The command in an error: the script of a shell is in the plan already."""
    return "the script" if argv[0] == "bash" and "-c" in argv else repr(argv[0])
