"""Takes the terminal pictures of the README: real commands on the running example, drawn as SVG and as text."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 112
PICTURES = {
    "check": (["check", "--only", "daily"], ()),
    "check-broken": (["check", "--only", "daily"], ("database-down", "certificate-expiring")),
}
FONT = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"
"""What is on the reader's machine: a picture of a README may fetch nothing."""


def run_in_terminal(command: list[str]) -> str:
    """What the command prints on a colour terminal of our width."""
    leader, follower = pty.openpty()
    env = {**os.environ, "COLUMNS": str(WIDTH), "LINES": "60", "TERM": "xterm-256color"}
    process = subprocess.Popen(command, stdout=follower, stderr=follower, stdin=subprocess.DEVNULL, env=env)
    os.close(follower)
    chunks = []
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:
            break
        if not chunk:
            break
        chunks.append(chunk)
    process.wait()
    os.close(leader)
    return b"".join(chunks).decode()


def draw(name: str, words: list[str]) -> None:
    """Write docs/pictures/NAME.svg."""
    opsbook = str(Path(sys.executable).with_name("opsbook"))
    printed = run_in_terminal([opsbook, *words, "--book", "examples/renec/ops"])
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(printed.replace("\r\n", "\n")))
    target = ROOT / "docs" / "pictures" / f"{name}.svg"
    target.parent.mkdir(exist_ok=True)
    drawn = console.export_svg(title=f"opsbook {' '.join(words)}", theme=MONOKAI, unique_id=name)
    drawn = re.sub(r"\s*@font-face \{.*?\}", "", drawn, flags=re.DOTALL)
    drawn = drawn.replace("Fira Code, monospace", FONT).replace("<text ", '<text xml:space="preserve" ')
    target.write_text(drawn + "\n", encoding="utf-8")
    print(target.relative_to(ROOT))


def main() -> None:
    os.chdir(ROOT)
    for name, (words, breaks) in PICTURES.items():
        for one in breaks:
            subprocess.run([sys.executable, "examples/renec/renec", "break", one], check=True)
        try:
            draw(name, words)
        finally:
            for one in breaks:
                subprocess.run([sys.executable, "examples/renec/renec", "mend", one], check=True)


if __name__ == "__main__":
    main()
