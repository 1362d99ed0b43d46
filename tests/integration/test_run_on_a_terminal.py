"""A run as a person sees it on a terminal: its steps live, and the terminal left as it was, however the run ends."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyte
import pytest

BOOK = "opsbook: 1\nsystem: kiln\nenvironments: {test: {policy: open}}\ncomponents: {here: {kind: files, path: .}}\n"
COLOUR = re.compile(rb"\x1b\[[0-9;]*(?:3[0-7]|4[0-7]|9[0-7]|38|48)(?:;[0-9;]*)?m")
OWN = ("NO_COLOR", "OPSBOOK_STORE", "OPSBOOK_ENV", "COLUMNS", "LINES")
SECONDS = 60.0
WAIT = "until [ -e go ]; do sleep 0.05; done"


def procedure(last: str) -> str:
    return (
        "---\ntitle: Fire the kiln\nrisk: safe\n---\n"
        f"1. Heat it.\n   ```sh risk=safe\n   echo glowing-$((40 + 2)); {WAIT}\n   ```\n"
        f"2. Look inside.\n   ```sh risk=safe\n   {last}\n   ```\n"
        "3. Open it.\n   ```sh risk=safe\n   echo open\n   ```\n"
    )


class Terminal:
    """A program on a terminal of its own, 100 × 40, and what stands on its screen."""

    def __init__(self, folder: Path, *words: str, **env: str) -> None:
        self.screen = pyte.Screen(100, 40)
        self.stream = pyte.ByteStream(self.screen)
        self.written = b""
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self.slave = slave
        self.before = termios.tcgetattr(slave)
        known = {name: value for name, value in os.environ.items() if name not in OWN}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "opsbook", *words], cwd=folder, stdin=slave, stdout=slave, stderr=slave,
            env={**known, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **env}, start_new_session=True,
        )  # fmt: skip

    def read(self) -> None:
        while select.select([self.master], [], [], 0.05)[0]:
            piece = os.read(self.master, 65536)
            self.written += piece
            self.stream.feed(piece)

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    def until(self, holds: Callable[[str], object]) -> str:
        """What stands on the screen when it holds."""
        deadline = time.monotonic() + SECONDS
        while not holds(self.text):
            assert time.monotonic() < deadline and self.process.poll() is None, self.text
            self.read()
        return self.text

    def end(self) -> int:
        """Wait for the program, and read the rest. Its exit code."""
        deadline = time.monotonic() + SECONDS
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.text
            self.read()
        self.read()
        return self.process.returncode

    def assert_clean(self) -> None:
        """The cursor shows, stands at the beginning of a free line, and the terminal's modes are what they were."""
        assert not self.screen.cursor.hidden
        assert self.screen.cursor.x == 0
        assert termios.tcgetattr(self.slave) == self.before
        assert b"\x1b[?1049h" not in self.written, "what it showed stays readable above the prompt"
        last = self.screen.buffer[self.screen.cursor.y]
        assert not "".join(last[column].data for column in range(100)).strip()
        assert self.screen.cursor.attrs.fg == "default" and not self.screen.cursor.attrs.bold

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


Start = Callable[..., Terminal]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    (tmp_path / "book.yaml").write_text(BOOK)
    (tmp_path / "procedures").mkdir()
    opened: list[Terminal] = []

    def run(last: str, **env: str) -> Terminal:
        (tmp_path / "procedures" / "fire.md").write_text(procedure(last))
        opened.append(Terminal(tmp_path, "run", "fire", "--yes", **env))
        return opened[-1]

    yield run
    for one in opened:
        one.close()


def test_it_shows_steps_times_and_output_while_they_happen(start: Start, tmp_path: Path) -> None:
    terminal = start("echo well")
    shown = terminal.until(lambda text: "glowing-42" in text and re.search(r"▸ Heat it\.?  [1-9]\.\d s", text))
    assert re.search(r"Fire the kiln — test, run \S+: running", shown)
    assert "· Look inside" in shown and "· Open it" in shown
    (tmp_path / "go").touch()
    assert terminal.end() == 0
    terminal.assert_clean()
    assert re.search(r"Fire the kiln — test, run \S+: done", terminal.text)
    assert len(re.findall(r"✔ (?:Heat it|Look inside|Open it)\.?  \d+\.\d s", terminal.text)) == 3
    assert "▸" not in terminal.text and "glowing-42" not in terminal.text.split("run ")[-1], "the live part is gone"
    assert COLOUR.search(terminal.written)


def test_an_interrupt_leaves_between_two_steps_and_the_terminal_clean(start: Start, tmp_path: Path) -> None:
    terminal = start("echo well")
    terminal.until(lambda text: "glowing-42" in text)
    terminal.process.send_signal(signal.SIGINT)
    terminal.until(lambda text: "leaves after the change that is being made" in text)
    (tmp_path / "go").touch()
    assert terminal.end() == 3
    terminal.assert_clean()
    assert "· Look inside" in terminal.text and "· Open it" in terminal.text
    assert "‖ Heat it" in terminal.text and "running, interrupted" in terminal.text
    assert "▸" not in terminal.text, "nothing runs any more"
    assert "opsbook runs follow" in terminal.text


def test_a_failure_is_told_without_colours_and_leaves_the_terminal_clean(start: Start, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    terminal = start("echo cracked >&2; exit 3", NO_COLOR="1")
    assert terminal.end() == 1
    terminal.assert_clean()
    assert "✘ Look inside" in terminal.text and "cracked" in terminal.text and "· Open it" in terminal.text
    assert "opsbook runs rerun" in terminal.text
    assert not COLOUR.search(terminal.written)
