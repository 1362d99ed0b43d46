"""Lets the example's Prometheus watch by the rules of its book, and its Alertmanager tell `opsbook serve`.

    watched.py [--book ops] [--env rehearsal] [--url http://127.0.0.1:8340]

Both are generated from the book. Run it again after the book has changed; `opsbook serve` may start before or after it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
OPSBOOK = Path(sys.executable).with_name("opsbook")


class NotWatched(Exception):
    """What kept it from being set up."""


def opsbook(book: Path, env: str, *words: str) -> str:
    """What a verb prints."""
    command = [str(OPSBOOK), *words, "--book", str(book), "--env", env]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotWatched(f"opsbook {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def write(path: Path, text: str) -> None:
    """A file that its owner alone reads."""
    new = path.with_name(path.name + ".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    new.replace(path)


def address(run: Path, name: str) -> str:
    """An address of the instance."""
    lines = (run / "env").read_text().splitlines()
    found = next((line.partition("=")[2] for line in lines if line.startswith(f"{name}=")), "")
    if not found:
        raise NotWatched(f"{name} is not known: install Prometheus and Alertmanager, then `renec up`")
    return found


def place(book: Path, env: str, url: str) -> None:
    """Generate, and let both servers read it."""
    run = (book.parent / ".run").resolve()
    if not (run / "env").exists():
        raise NotWatched("no instance runs beside the book: `renec up` first")
    folder = run / "etc" / "prometheus"
    made = folder / "generated"
    made.mkdir(exist_ok=True)
    known, token = book / ".opsbook" / "prometheus.token", made / "opsbook.token"
    if not known.exists():
        # A token belongs to a store: it lies beside it, and another book's is another one.
        scopes = ("--role", "responder", "--scope", "alerts", "--scope", "metrics")
        told = json.loads(opsbook(book, env, "token", "make", "prometheus", *scopes, "--format", "json"))
        write(known, told["text"])
    write(token, known.read_text())
    write(made / "opsbook.json", json.dumps([{"targets": [urlsplit(url).netloc]}]))
    opsbook(book, env, "generate", "prometheus-rules", "--url", url, "--to", str(made / "opsbook.yml"))
    where = ("--url", url, "--token-file", str(token), "--to", str(folder / "alertmanager.yml"))
    opsbook(book, env, "generate", "alertmanager", *where)
    for name in ("PROMETHEUS_URL", "ALERTMANAGER_URL"):
        server = address(run, name)
        urllib.request.urlopen(urllib.request.Request(f"{server}/-/reload", method="POST"), timeout=20).read()
        print(f"{server} has read what the book says")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--book", type=Path, default=HERE / "ops")
    parser.add_argument("--env", default="rehearsal")
    parser.add_argument("--url", default="http://127.0.0.1:8340", help="where `opsbook serve` answers")
    given = parser.parse_args()
    try:
        place(given.book.absolute(), given.env, given.url)
    except (NotWatched, OSError) as error:
        print(f"watched.py: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
