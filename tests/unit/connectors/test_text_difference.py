"""What a plan shows of a file that is there."""

from __future__ import annotations

from pathlib import Path

from opsbook.book.system import System
from opsbook.connectors.executors.file import write_file
from opsbook.connectors.text_difference import MOST_LINES, text_difference
from opsbook.engine.record import as_json
from opsbook.engine.telling import difference, shown


class Folder:
    """As much of a system as a file's path needs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder


def planned(folder: Path, content: str) -> dict[str, object]:
    system: System = Folder(folder)  # type: ignore[assignment]
    found = as_json(write_file(system, "a.conf", content))
    assert isinstance(found, dict)
    return found


def test_it_says_which_lines_change() -> None:
    told = text_difference("a\nb\nc\n", "a\nB\nc\n")
    assert told == ["@@ -1,3 +1,3 @@", " a", "-b", "+B", " c"]
    assert text_difference("a", "a") == [] and text_difference("a", "a\n") == ["only its line breaks change"]


def test_it_is_bounded_and_hides_passwords() -> None:
    told = text_difference("", "\n".join(map(str, range(500))))
    assert len(told) == MOST_LINES + 1 and told[-1] == "… 441 more lines"
    assert text_difference("url=redis://u:secret@h/0", "") == ["@@ -1 +0,0 @@", "-url=redis://u:***@h/0"]
    assert text_difference("x" * 300_000, "y")[0].startswith("too large")
    assert text_difference("a" * 100_000, "b")[1:] == ["-a line of 100,000 characters", "+b"]


def test_the_plan_of_a_written_file_shows_the_text_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text("workers 3\n")
    (tmp_path / "a.conf").chmod(0o644)
    change = planned(tmp_path, "workers 5\n")
    assert difference(change)[1:] == ["-workers 3", "+workers 5"] and "content: 10 characters" in shown(change)
    (tmp_path / "a.conf").chmod(0o600)
    assert difference(planned(tmp_path, "workers 5\n")) == [
        "what is there now is not shown: only its owner may read it"
    ]
    (tmp_path / "a.conf").unlink()
    new = planned(tmp_path, "workers 5\n")
    assert difference(new) == [] and "content: workers 5" in shown(new)
