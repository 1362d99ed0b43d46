"""Values in files of configuration: which file they belong to, and what the file is with them."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from opsbook.book.delivery import ConfigFiles
from opsbook.connectors.change import Change, ChangeFailed
from opsbook.connectors.config_files import (
    ConfigFile,
    chosen,
    commands_of,
    keep,
    kept,
    made,
    version_of,
    versions,
    with_values,
)
from opsbook.connectors.executors import config_file
from opsbook.connectors.executors.config_file import ConfigFileExecutor
from opsbook.connectors.runtimes.compose import Compose
from opsbook.connectors.runtimes.compose_config import CONFIG
from opsbook.connectors.runtimes.compose_file import ComposeFile, read_compose_file
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


def test_versions_of_one_file_are_not_those_of_another_and_one_kept_again_is_the_newest(tmp_path: Path) -> None:
    one, other = tmp_path / ".env", tmp_path / ".env.production"
    for file in (one, other):
        for content in (b"A=1\n", b"A=2\n"):
            file.write_bytes(content)
            keep(file, content)
            os.utime(kept(file, version_of(content)), (1, int(content[2:3])))
    assert versions(one) == [kept(one, version_of(content)) for content in (b"A=1\n", b"A=2\n")]
    assert len(versions(other)) == 2
    keep(one, b"A=1\n")
    assert [place.read_bytes() for place in versions(one)] == [b"A=2\n", b"A=1\n"]


class OneFile(Compose):
    """Compose with this file, and no engine."""

    def __init__(self, file: ComposeFile) -> None:
        self._only = file

    @property
    def file(self) -> ComposeFile:
        return self._only


@pytest.mark.parametrize(
    ("name", "check", "reload"),
    [("own.ini", ["check"], ["reload"]), ("api.env", ["check"], []), ("one.ini", [], [])],
    ids=["a file of the book", "also an env file", "not of the book"],
)
def test_commands_of_the_book_are_for_its_own_files(
    tmp_path: Path, name: str, check: list[str], reload: list[str]
) -> None:
    (tmp_path / "compose.yaml").write_text(
        "name: shop\nservices:\n  api: {image: 'shop:1', env_file: api.env, volumes: ['./one.ini:/one.ini']}\n"
    )
    config = ConfigFiles(files=("own.ini", "api.env"), check=("check",), reload=("reload",))
    deploys = SimpleNamespace(components={"api": SimpleNamespace(config=config)})
    connections: Any = SimpleNamespace(
        system=SimpleNamespace(model=SimpleNamespace(deploys=deploys), path=lambda one: tmp_path / one),
        runtime=OneFile(read_compose_file(tmp_path / "compose.yaml", "", {})),
    )
    assert commands_of(connections, "api", "api", tmp_path / name) == (check, reload)


class Noted(ConfigFileExecutor):
    """Notes what is run instead of running it; the check refuses."""

    def __init__(self) -> None:
        connections: Any = SimpleNamespace(system=SimpleNamespace(forget_variables=lambda: None), runtime=None)
        super().__init__(connections)
        self.ran: list[str] = []

    async def _run(self, key: str, argv: Any, out: Any) -> None:
        self.ran += argv
        if list(argv) == ["check"]:
            raise ChangeFailed("it is not valid", "")

    async def write(self, text: str) -> None:
        """What it says is not looked at."""


def a_change(file: ConfigFile, values: dict[str, str | None], *, back: bool = False) -> Change:
    content = file.read()
    there, to = version_of(content), version_of(made(file, content, values))
    effect = {"workload": "api", "path": str(file.path), "lines": file.lines, "reload": ["reload"], "wait": 1}
    if back:
        return Change("config-file", {**effect, "check": [], "from": to, "previous": there, "deployed": values})
    return Change("config-file", {**effect, "check": ["check"], "from": there, "to": to, "values": values})


@pytest.mark.parametrize("resumed", [False, True])
async def test_what_the_check_refuses_is_put_back_and_read_again_only_where_it_may_have_been_read(
    tmp_path: Path, *, resumed: bool
) -> None:
    file, executor = ConfigFile(tmp_path / "app.env", lines=True), Noted()
    file.path.write_bytes(ENV)
    change = a_change(file, {"CACHE": "off"})
    if resumed:
        keep(file.path, ENV)
        file.path.write_bytes(made(file, ENV, {"CACHE": "off"}))
    with pytest.raises(ChangeFailed, match=r"not valid; app\.env was put back"):
        await executor.apply("run/1/0", change, None, executor)
    assert file.read() == ENV
    assert executor.ran == (["check", "reload"] if resumed else ["check"])


async def test_a_whole_file_that_was_changed_since_is_not_overwritten_by_the_way_back(tmp_path: Path) -> None:
    file, executor = ConfigFile(tmp_path / "app.ini", lines=False), Noted()
    file.path.write_bytes(b"blue\n")
    keep(file.path, b"blue\n")
    back = a_change(file, {"app.ini": "green\n"}, back=True)
    file.path.write_bytes(b"by hand\n")
    with pytest.raises(Refused, match="was changed since"):
        await executor.apply("run/1/0", back, None, executor)
    assert file.read() == b"by hand\n"
    file.path.write_bytes(b"green\n")
    for _ in ("once", "again after it was cut off"):
        await executor.apply("run/1/0", back, None, executor)
        assert file.read() == b"blue\n"


async def test_only_values_that_are_still_as_deployed_go_back(tmp_path: Path) -> None:
    file, executor = ConfigFile(tmp_path / "app.env", lines=True), Noted()
    file.path.write_bytes(ENV)
    keep(file.path, ENV)
    back = a_change(file, {"LEVEL": "debug", "CACHE": "off"}, back=True)
    file.path.write_bytes(b"LEVEL=trace\nCACHE=off\nMORE=1\n")
    await executor.apply("run/1/0", back, None, executor)
    assert file.read() == b"LEVEL=trace\nCACHE=on\nMORE=1\n"


@pytest.mark.parametrize(("labels", "digests"), [({}, [""]), ({CONFIG: "new"}, ["old", "new"])])
async def test_a_container_is_right_as_the_files_are_now(
    monkeypatch: pytest.MonkeyPatch, labels: dict[str, str], digests: list[str]
) -> None:
    looks: list[bool] = []

    class Look:
        def __init__(self, *said: Any) -> None:
            self.right = said[-1]

        async def all(self) -> None:
            looks.extend(self.right(SimpleNamespace(labels=labels)) for _ in digests)

    told = iter(digests)
    monkeypatch.setattr(config_file, "Anew", Look)
    monkeypatch.setattr(config_file, "digest_of", lambda *_: next(told))
    compose: Any = SimpleNamespace(service=lambda name: name)
    executor = Noted()
    await executor._rolled(compose, {"workload": "api", "wait": 1}, executor)
    assert looks == [*[False] * (len(digests) - 1), True]
