"""Values in files of configuration: which file they belong to, and what the file is with them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from opsbook.connectors.config_files import ConfigFile, chosen, keep, kept, version_of, versions, with_values
from opsbook.errors import Absent, Refused

ENV = b"# of the shop\nexport LEVEL=info\nCACHE=on\n"


@pytest.mark.parametrize(
    ("before", "values", "after"),
    [
        (ENV, {"CACHE": "off"}, b"# of the shop\nexport LEVEL=info\nCACHE=off\n"),
        (ENV, {"LEVEL": "debug"}, b"# of the shop\nLEVEL=debug\nCACHE=on\n"),
        (ENV, {"CACHE": None}, b"# of the shop\nexport LEVEL=info\n"),
        (ENV, {"NEW": "a b"}, ENV + b"NEW='a b'\n"),
        (ENV, {"LEVEL": "info", "NONE": None}, ENV),
        (b"A=1", {"B": "2"}, b"A=1\nB=2\n"),
        (b"", {"B": ""}, b"B=\n"),
        (b"A=1\nB=2\nA=3\n", {"A": "4"}, b"B=2\nA=4\n"),
        (b"A=1\nB=2\nA=3\n", {"A": None}, b"B=2\n"),
        (b"A=1\nAB=2\n", {"A": r"\g<0>$x"}, b"A='\\g<0>$x'\nAB=2\n"),
    ],
)
def test_only_the_lines_of_the_values_change(before: bytes, values: dict[str, str | None], after: bytes) -> None:
    assert with_values(before, values) == after
    assert with_values(after, values) == after, "twice is once"


def files(folder: Path) -> list[ConfigFile]:
    for name, text in (("first.env", "A=1\nB=1\n"), ("second.env", "B=2\n"), ("app.ini", "x\n")):
        (folder / name).write_text(text)
    return [ConfigFile(folder / name, lines=name.endswith(".env")) for name in ("first.env", "second.env", "app.ini")]


@pytest.mark.parametrize(
    ("values", "named", "found"),
    [
        ({"A": "2"}, "", "first.env"),
        ({"B": "3"}, "", "second.env"),
        ({"NEW": "3"}, "", "second.env"),
        ({"B": "3"}, "first.env", "first.env"),
        ({"app.ini": "y\n"}, "", "app.ini"),
    ],
    ids=["the one that has it", "the later one wins", "a new one", "as named", "a whole one"],
)
def test_a_value_belongs_to_the_file_that_counts(
    tmp_path: Path, values: dict[str, str | None], named: str, found: str
) -> None:
    assert chosen(files(tmp_path), values, named, "api").path.name == found


@pytest.mark.parametrize(
    ("values", "named", "error", "says"),
    [
        ({"A": "1"}, "none.env", Absent, "no file of configuration 'none.env'"),
        ({"app.ini": None}, "", Refused, "cannot be taken out"),
        ({"app.ini": "y", "A": "1"}, "", Refused, "deployed whole"),
        ({"A": "a\nb"}, "", Refused, "the end of a line"),
        ({"A": "it's"}, "", Refused, "has a quote"),
        ({"A B": "1"}, "", Refused, "no name of a variable"),
        ({"A": "1"}, "app.ini", Refused, "takes no file of KEY=VALUE"),
    ],
)
def test_what_cannot_be_written_is_refused(
    tmp_path: Path, values: dict[str, str | None], named: str, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        chosen(files(tmp_path), values, named, "api")
    with pytest.raises(Refused, match="in no file that is known"):
        chosen([], values, "", "api")


def test_a_version_is_kept_once_as_private_as_its_file(tmp_path: Path) -> None:
    file = tmp_path / "app.env"
    file.write_bytes(ENV)
    file.chmod(0o640)
    for content in (ENV, ENV, b"A=1\n"):
        keep(file, content)
    place = kept(file, version_of(ENV))
    os.utime(place, (1, 1))
    assert [one.read_bytes() for one in versions(file)] == [ENV, b"A=1\n"]
    assert place.stat().st_mode & 0o777 == 0o640
    assert version_of(ENV) != version_of(b"A=1\n")
