"""The program that looks from inside: fixed, handed over whole, with every value as an argument of its own.

Python where the image has it, else a shell with whatever it finds (getent, bash, curl, wget, nc). It only reads, is
bounded by itself, and says a line for each question: `opsbook`, number, `ok`, `no` or `cannot`, seconds, words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal
from urllib.parse import urlsplit

from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.runtimes.contract import LooksInside, Runtime, Seen, Unsupported
from opsbook.errors import UsageError

Way = Literal["dns", "tcp", "http"]
MARK = "opsbook"
SPARE_SECONDS = 3.0
"""For starting a program in a pod on a busy node."""
NOT_STARTED = frozenset({None, 126, 127})
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._:-]*[A-Za-z0-9_.])?|::1?")
_PATH = re.compile(r"/[\x21-\x7e]*")


@dataclass(frozen=True)
class Question:
    """One thing to look at."""

    way: Way
    host: str
    port: int = 0
    path: str = "/"
    scheme: str = "http"

    def __post_init__(self) -> None:
        if not _HOST.fullmatch(self.host):
            raise UsageError(f"{self.host!r} is no name of a host", "write a name or an address")
        if self.way != "dns" and not 0 < self.port < 65536:
            raise UsageError(f"{self.port} is no port", "write HOST:PORT")
        if not _PATH.fullmatch(self.path):
            raise UsageError(f"{self.path!r} is no path of a page", "write it percent-encoded")

    @property
    def place(self) -> str:
        """`host:port` as a URL has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def words(self) -> str:
        """As people say it."""
        if self.way == "dns":
            return self.host
        return f"{self.scheme}://{self.place}{self.path}" if self.way == "http" else self.place

    @property
    def arguments(self) -> tuple[str, str, str, str]:
        """What the program is told of it."""
        url = f"{self.scheme}://{self.place}{self.path}"
        return self.way, self.host, str(self.port), url


@dataclass(frozen=True)
class Answer:
    """What one instance saw."""

    instance: str
    question: Question
    ok: bool | None
    """None: it could not look; the words say what is missing."""
    seconds: float
    words: str

    @property
    def status(self) -> int | None:
        """Of an HTTP answer."""
        first = self.words.partition(" ")[0]
        return int(first) if self.question.way == "http" and self.ok and first.isdigit() else None


def question_of(written: str) -> Question:
    """`http://host:port/path`, `host:port` or a bare name. Raises UsageError; user and password are left out."""
    if "://" in written:
        parts = urlsplit(written)
        try:
            port, host = parts.port, parts.hostname or ""
        except ValueError as error:
            raise UsageError(f"{written}: {error}", "write http://host:port/path") from error
        if parts.scheme not in ("http", "https"):
            raise UsageError(f"{parts.scheme} is not asked", "write http://…, HOST:PORT or a name")
        query = f"?{parts.query}" if parts.query else ""
        usual = 443 if parts.scheme == "https" else 80
        return Question("http", host, port or usual, (parts.path or "/") + query, parts.scheme)
    host, colon, port_text = written.rpartition(":")
    if colon and port_text.isdigit() and (":" not in host or host.startswith("[")):
        return Question("tcp", host.strip("[]"), int(port_text))
    return Question("dns", written)


@cache
def _program(name: str) -> str:
    return files("opsbook.connectors.inside").joinpath(name).read_text(encoding="utf-8")


def argvs(questions: Sequence[Question], seconds: float) -> list[list[str]]:
    """The ways to ask, best first."""
    told = [f"{seconds:g}", *(word for one in questions for word in one.arguments)]
    # Whole seconds for programs of a shell.
    whole = [str(math.ceil(seconds)), *told[1:]]
    python = ["-I", "-S", "-c", _program("look.py.txt"), *told]
    return [["python3", *python], ["sh", "-c", _program("look.sh.txt"), "sh", *whole], ["python", *python]]


def read(instance: str, questions: Sequence[Question], said: str) -> list[Answer]:
    """The answers in what it printed. A question without one was cut off."""
    found: dict[int, Answer] = {}
    for line in said.splitlines():
        parts = line.split("\t", 4)
        if len(parts) == 5 and parts[0] == MARK and parts[1].isdigit() and int(parts[1]) < len(questions):
            number, ok = int(parts[1]), {"ok": True, "no": False}.get(parts[2])
            try:
                took = float(parts[3])
            except ValueError:
                took = 0.0
            found.setdefault(number, Answer(instance, questions[number], ok, took, parts[4].strip()[:300]))
    return [
        found.get(number, Answer(instance, one, None, 0.0, "the look from inside was cut off"))
        for number, one in enumerate(questions)
    ]


def runtime_that_looks(runtime: Runtime) -> LooksInside:
    """Raises Unsupported with why it cannot."""
    if isinstance(runtime, LooksInside) and "exec" in runtime.capabilities:
        return runtime
    raise Unsupported(
        "this runtime cannot run a command within a workload, so that nothing is seen from inside",
        "run opsbook where the workload runs",
    )


async def look(
    runtime: Runtime, workload: str, questions: Sequence[Question], seconds: float, *, every: bool
) -> list[Answer]:
    """What one instance, or every one, answers to these questions.

    Raises ReadFailed where no instance runs, or where its image has nothing that could look.
    """
    inside = runtime_that_looks(runtime)
    found: list[Answer] = []
    left: tuple[str, ...] | None = None
    for argv in argvs(questions, seconds):
        limit = (seconds if argv[0] != "sh" else seconds * len(questions)) + SPARE_SECONDS
        seen = await inside.look_inside(workload, argv, limit, instances=left, every=every)
        left = tuple(one.instance for one in seen if _lacks(one))
        found += [answer for one in seen if not _lacks(one) for answer in _answers(one, questions)]
        if not left:
            return found
    if not found:
        raise ReadFailed(f"the image of {workload} has neither python3 nor sh, so that nothing can look from inside")
    return found


def _lacks(one: Seen) -> bool:
    """Whether the program is not in the image; a line of ours says that it was."""
    return one.code in NOT_STARTED and not one.trouble and MARK not in one.said


def _answers(one: Seen, questions: Sequence[Question]) -> list[Answer]:
    if one.trouble:
        return [Answer(one.instance, question, None, 0.0, one.trouble) for question in questions]
    return read(one.instance, questions, one.said)
