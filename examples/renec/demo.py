"""The main job in one go: a real system starts, is checked, breaks, is found out, is mended, and is proven to restore.

Ends with 0 only if the first and the last check are fine, the one between finds what was broken, and a backup of the
database was restored within what the book promises.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
OPSBOOK = Path(sys.executable).with_name("opsbook")
BREAKS = ("database-down", "certificate-expiring")
"""One fault with consequences all over the system, and one that hurts nobody yet."""
SETTLE_SECONDS = 90
WARM_SECONDS = 30
BOLD, DIM, OFF = (
    ("\033[1m", "\033[2m", "\033[0m") if sys.stdout.isatty() and "NO_COLOR" not in os.environ else ("",) * 3
)


class DemoFailed(Exception):
    """A step of the demo did not do what it shows."""


def say(text: str) -> None:
    print(f"\n{BOLD}{text}{OFF}", flush=True)


def renec(*arguments: str) -> None:
    done = subprocess.run([sys.executable, str(HERE / "renec"), *arguments])
    if done.returncode:
        raise DemoFailed(f"`renec {' '.join(arguments)}` ended with {done.returncode}")


def opsbook(*arguments: str) -> int:
    command = [str(OPSBOOK), *arguments, "--book", str(HERE / "ops"), "--env", "rehearsal"]
    print(f"{DIM}$ opsbook {' '.join(arguments)}{OFF}\n", flush=True)
    return subprocess.run(command).returncode


def results() -> dict[str, dict[str, str]]:
    command = [str(OPSBOOK), "check", "--format", "json", "--book", str(HERE / "ops"), "--env", "rehearsal"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise DemoFailed(done.stderr.strip() or f"opsbook check ended with {done.returncode}")
    return {result["id"]: result for result in json.loads(done.stdout)["results"]}


def wait_until_fine() -> None:
    """Measured figures (latencies, hit rates, error shares) need some seconds to forget a fault, or a cold start."""
    started = time.monotonic()
    while True:
        states = {id: result["state"] for id, result in results().items()}
        bad = [id for id, state in states.items() if state in ("critical", "unknown")]
        waited = time.monotonic() - started
        if not bad and ("warning" not in states.values() or waited > WARM_SECONDS):
            return
        if waited > SETTLE_SECONDS:
            raise DemoFailed(f"still bad after {SETTLE_SECONDS} s: {', '.join(bad)}")
        time.sleep(1)


def expect(code: int, wanted: int, what: str) -> None:
    if code != wanted:
        raise DemoFailed(f"{what}: expected exit code {wanted}, got {code}")


def show_that_all_is_fine(what: str) -> None:
    """A machine that is busy with other things may spoil a latency just then: look again once it has settled."""
    code = opsbook("check")
    if code == 1:
        print("\nNot yet; once more when it has settled.\n", flush=True)
        wait_until_fine()
        code = opsbook("check")
    expect(code, 0, what)


def check_finds_the_faults() -> None:
    found = results()
    causes = {id: result for id, result in found.items() if result["state"] == "critical" and not result["cause"]}
    followers = [id for id, result in found.items() if result["cause"] == "database-up"]
    if "database-up" not in causes or "certificate" not in causes or len(followers) < 5:
        raise DemoFailed(
            f"the check did not find what was broken: causes {sorted(causes)}, following {sorted(followers)}"
        )


def main() -> None:
    say("1. Start a real system: the RENEC Harvester, in one folder, on loopback ports")
    renec("up")
    renec("harvest")

    say("2. The morning check")
    wait_until_fine()
    show_that_all_is_fine("the first check")

    say("3. Two things break: the database stops, and the certificate nears its end")
    for name in BREAKS:
        renec("break", name)
    check_finds_the_faults()
    expect(opsbook("check"), 1, "the check of the broken system")

    say("4. They are mended")
    for name in BREAKS:
        renec("mend", name)
    wait_until_fine()
    show_that_all_is_fine("the last check")

    say("5. A backup of its database, restored where nothing can be lost: recovery that is measured, not hoped for")
    renec("traffic")
    expect(opsbook("backup", "nightly", "--yes"), 0, "the backup")
    expect(opsbook("drill", "database", "--yes"), 0, "the drill")

    say("The system keeps running. Look at it, and try:")
    renec("addresses")
    book = os.path.relpath(HERE / "ops")
    opsbook_command = os.path.relpath(OPSBOOK)
    for command, what in (
        (f"{opsbook_command} check --book {book} --watch", "the checks, live"),
        (f"{opsbook_command} check --book {book} --history api-latency", "what one of them said so far"),
        (f"{opsbook_command} objectives --book {book}", "what is promised about recovery, and what was measured"),
        (f"{os.path.relpath(HERE / 'renec')} break --list", "more ways to break it"),
        (f"{opsbook_command} doctor --book {book}", "whether everything that the book needs is there"),
        ("make demo-stop", "stop it and delete everything it made"),
    ):
        print(f"  {command:<70} {DIM}{what}{OFF}")


if __name__ == "__main__":
    try:
        main()
    except DemoFailed as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("\ndemo: interrupted; `make demo-stop` stops the system", file=sys.stderr)
        sys.exit(130)
