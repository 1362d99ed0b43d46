"""A signal reaches the process that was seen, and never one that has got its number since."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from opsbook.connectors import process_tree
from opsbook.connectors.process_tree import Seen, carriers, end_tree


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    key = {"OPSBOOK_KEY": f"run-{os.getpid()}/seen/1"}
    with subprocess.Popen(["sleep", "60"], env={"PATH": os.environ["PATH"], **key}) as process:
        yield process
        process.kill()


def refuse(*_: object) -> int:
    raise OSError(errno.ENOSYS, "not here")


@pytest.mark.parametrize("old_kernel", [False, True])
def test_a_process_with_the_number_of_one_that_was_seen_is_let_be(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, old_kernel: bool
) -> None:
    if old_kernel:
        monkeypatch.setattr(os, "pidfd_open", refuse)
    told = process_tree._stat(child.pid)
    assert told is not None
    seen, parent = told
    assert parent == os.getpid()
    before = Seen(child.pid, str(int(seen.began) - 1))
    assert process_tree._alive({seen, before}) == {seen}
    process_tree._signal({before}, signal.SIGKILL)
    assert child.poll() is None and process_tree._alive({seen})
    process_tree._signal({seen}, signal.SIGKILL)
    assert child.wait(30) == -signal.SIGKILL
    process_tree._signal({seen}, signal.SIGKILL)


async def test_a_key_that_another_one_begins_with_ends_nothing_of_it(child: subprocess.Popen[bytes]) -> None:
    key = f"run-{os.getpid()}/seen/1"
    assert await end_tree(key[:-1]) and await end_tree(f"{key}0") and child.poll() is None
    assert carriers(key) == {child.pid}
    assert await end_tree(key)
    assert child.wait(30) == -signal.SIGTERM
