"""Commands of opsbook's own host: streamed, bounded, and ended as a whole tree."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from opsbook.book.system import System
from opsbook.connectors.change import Change, ChangeFailed
from opsbook.connectors.executors.argv import CommandFailed
from opsbook.connectors.executors.secrets import NotReached
from opsbook.connectors.process_tree import carriers, end_tree
from tests.integration.executing import Output, apply, argv, end
from tests.integration.servers import make_system, until

STUBBORN = """
trap '' TERM
( setsid bash -c 'trap "" TERM; ( trap "" TERM; while :; do sleep 0.2; done ) & disown; exit 0' ) &
env -i setsid bash -c 'trap "" TERM; while :; do sleep 0.2; done' &
echo started
while :; do sleep 0.2; done
"""
"""Ignores SIGTERM, forks twice, leaves its session, and drops its environment."""


@pytest.fixture
def host(tmp_path: Path) -> System:
    return make_system(tmp_path, {"api": {"kind": "http", "url": "http://127.0.0.1:1"}})


async def test_it_tells_exit_output_and_json(host: System) -> None:
    out = Output()
    result = await apply(host, argv("echo '{\"a\": [1]}'; echo warned >&2"), out=out)
    assert (result["exit"], result["json"]) == (0, {"a": [1]})
    assert result["stdout"] == '{"a": [1]}\n'
    assert "warned" in out.text


async def test_it_fails_with_the_last_words_of_the_command(host: System) -> None:
    with pytest.raises(CommandFailed, match="exit code 3: no such thing"):
        await apply(host, argv("echo fine; echo no such thing >&2; exit 3"))
    with pytest.raises(CommandFailed, match="signal 9"):
        await apply(host, argv("kill -9 $$"))
    with pytest.raises(CommandFailed, match="not found"):
        await apply(host, argv("no-such-command"))
    assert (await apply(host, argv("exit 3", ok="any")))["exit"] == 3


async def test_it_says_what_this_host_lacks_before_anything_happens(host: System) -> None:
    with pytest.raises(NotReached, match="no program 'no-such-program'"):
        await apply(host, Change("argv", {"argv": ["no-such-program"]}))
    with pytest.raises(NotReached, match=r"the folder .*/nowhere is not there"):
        await apply(host, argv("ls", workdir="nowhere"))
    with pytest.raises(NotReached, match="OPSBOOK_TEST_ABSENT is not set"):
        await apply(host, argv("ls", secrets={"A": "${OPSBOOK_TEST_ABSENT}"}))
    assert issubclass(NotReached, ChangeFailed)


async def test_a_command_sees_only_what_it_was_given(host: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPSBOOK_TEST_SECRET", "hunter2hunter2")
    monkeypatch.setenv("OPSBOOK_TEST_OTHER", "other")
    out = Output()
    change = argv("env; cat", env={"OPSBOOK_1": "x"}, secrets={"TOKEN": "${OPSBOOK_TEST_SECRET}"}, workdir=".")
    result = await apply(host, change, "run/a/0", out)
    assert "TOKEN=hunter2hunter2" in out.text
    assert "TOKEN=***" in result["stdout"] and "hunter2" not in result["stdout"]
    assert "OPSBOOK_1=x" in out.text and "OPSBOOK_KEY=run/a/0" in out.text
    assert "OPSBOOK_TEST_OTHER" not in out.text


async def test_a_secret_is_in_no_argv(host: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPSBOOK_TEST_SECRET", "hunter2hunter2")
    change = argv("ps -eo args", secrets={"TOKEN": "${OPSBOOK_TEST_SECRET}"})
    out = Output()
    await apply(host, change, out=out)
    assert "hunter2" not in out.text and "guardian" in out.text


async def test_nothing_of_a_sensitive_command_is_kept(host: System) -> None:
    out = Output()
    result = await apply(host, argv("echo hidden; exit 2", sensitive=True, ok="any"), out=out)
    assert set(result) == {"exit", "seconds"} and out.text == ""
    with pytest.raises(CommandFailed) as caught:
        await apply(host, argv("echo hidden >&2; exit 2", sensitive=True))
    assert "hidden" not in str(caught.value)


async def test_characters_are_whole_also_where_a_piece_ends_in_one(host: System) -> None:
    out = Output()
    await apply(host, argv("for i in $(seq 30000); do printf 'ä€😀x'; done"), out=out)
    assert out.text == "ä€😀x" * 30000


async def test_a_gibibyte_of_output_costs_no_memory(host: System) -> None:
    await apply(host, argv("true"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    out = Output()
    out.text = "x" * 2_000_000
    result = await apply(host, argv("head -c 1073741824 /dev/zero | tr '\\0' x"), out=out)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert out.characters == 2**30
    assert len(result["stdout"]) <= 64 * 1024
    assert grown < 32 * 1024, f"{grown} kB more than before"


async def test_a_command_that_takes_too_long_is_ended_with_all_it_started(host: System) -> None:
    with pytest.raises(TimeoutError):
        await apply(host, argv(STUBBORN, timeout=1.5), "run/slow/0")
    assert not carriers("run/slow/0")


async def test_a_cancelled_command_is_ended_with_all_it_started(host: System) -> None:
    out = Output()
    task = asyncio.ensure_future(apply(host, argv(STUBBORN), "run/cancelled/0", out))
    async with asyncio.timeout(20):
        await out.written.wait()
    await asyncio.to_thread(until, lambda: len(carriers("run/cancelled/0")) >= 4, 20, "all of it runs")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not carriers("run/cancelled/0")


async def test_it_asks_before_it_forces(host: System, tmp_path: Path) -> None:
    script = f"trap 'echo tidied > {tmp_path}/tidied; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    out = Output()
    task = asyncio.ensure_future(apply(host, argv(script), "run/tidy/0", out))
    async with asyncio.timeout(20):
        await out.written.wait()
    assert await end(host, argv(script), "run/tidy/0")
    await task
    assert (tmp_path / "tidied").read_text() == "tidied\n"


async def test_ending_leaves_others_alone(host: System) -> None:
    other = await asyncio.create_subprocess_exec("sleep", "30", env={**os.environ, "OPSBOOK_KEY": "run/other/01"})
    try:
        assert await end(host, argv("true"), "run/other/0")
        assert other.returncode is None
    finally:
        other.kill()
        await other.wait()


async def test_what_a_command_leaves_behind_does_not_hold_it_up(host: System) -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    result = await apply(host, argv("sleep 30 & echo $!"), "run/left/0")
    assert loop.time() - started < 5
    assert int(result["stdout"]) in carriers("run/left/0")
    assert await end_tree("run/left/0")


PARENT = """
import asyncio, sys
from pathlib import Path
from tests.integration.executing import apply, argv
from tests.integration.servers import make_system
system = make_system(Path(sys.argv[1]), {"api": {"kind": "http", "url": "http://127.0.0.1:1"}})
asyncio.run(apply(system, argv(sys.argv[2]), sys.argv[3]))
"""


@pytest.mark.parametrize(
    ("script", "processes"),
    [(STUBBORN, 5), ("sleep 1000", 2), ("sleep 1000 | cat", 4)],
    ids=["stubborn", "one", "pipe"],
)
def test_everything_dies_with_a_killed_parent(tmp_path: Path, script: str, processes: int) -> None:
    key = f"run/orphan-{os.getpid()}/0"
    root = Path(__file__).parents[2]
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(PARENT), str(tmp_path), script, key], cwd=root)
    try:
        until(lambda: len(carriers(key)) >= processes, 60, "the command runs")
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        until(lambda: not carriers(key), 10, "its processes have ended")
    finally:
        parent.kill()
        parent.wait()
