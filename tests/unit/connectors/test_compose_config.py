"""What a container of compose takes its configuration from, as its file says."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from opsbook.connectors.runtimes.compose_config import (
    digest_of,
    mounted_files,
    only_when_made,
    own_variables,
    taken_over,
)
from opsbook.connectors.runtimes.compose_file import ComposeFile, read_compose_file

SERVICE = {
    "image": "shop:1", "env_file": "api.env", "volumes": ["./app.ini:/app.ini:ro", "/etc/passwd:/etc/passwd", ".:/all"],
    "environment": {"FIXED": "1", "LEVEL": "${LEVEL:-info}", "PLAIN": "$PLAIN", "TAKEN": None, "OTHER": "${LEVEL}",
                    "MIXED": "a${MIXED}", "MUST": "${MUST:?set it}"},
}  # fmt: skip


def a_file(folder: Path) -> ComposeFile:
    (folder / "compose.yaml").write_text(yaml.safe_dump({"name": "shop", "services": {"api": SERVICE}}))
    return read_compose_file(folder / "compose.yaml", "", {"MUST": "1"})


def test_variables_that_are_taken_over_are_told_from_those_that_are_set(tmp_path: Path) -> None:
    file = a_file(tmp_path)
    assert taken_over(file, file.service("api")) == {"LEVEL", "PLAIN", "TAKEN", "MUST"}
    assert own_variables(file.service("api")) == set(SERVICE["environment"])


def test_only_files_of_the_project_are_its_configuration(tmp_path: Path) -> None:
    (tmp_path / "app.ini").write_text("x")
    file = a_file(tmp_path)
    assert mounted_files(file, file.service("api")) == [tmp_path / "app.ini"]


def digest_now(folder: Path) -> str:
    file = a_file(folder)
    model: Any = SimpleNamespace(deploys=SimpleNamespace(components={}))
    compose: Any = SimpleNamespace(file=file, system=SimpleNamespace(model=model))
    return digest_of(compose, file.service("api"))


@pytest.mark.parametrize(
    ("name", "made_anew"),
    [("api.env", True), (".env", True), ("app.ini", True), ("conf/app.ini", False), ("other.env", False)],
)
def test_a_single_file_is_taken_over_only_when_the_container_is_made(
    tmp_path: Path, name: str, made_anew: bool
) -> None:
    file = a_file(tmp_path)
    assert only_when_made(file, file.service("api"), tmp_path / name) is made_anew
    assert only_when_made(file, file.service("api"), Path("/etc/passwd"))


def test_an_env_file_without_lines_is_not_as_if_there_were_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SERVICE, "environment", {})
    monkeypatch.setitem(SERVICE, "volumes", [])
    (tmp_path / "api.env").write_text("A=1\n")
    before = digest_now(tmp_path)
    (tmp_path / "api.env").write_text("")
    assert digest_now(tmp_path) not in ("", before)
    monkeypatch.delitem(SERVICE, "env_file")
    assert digest_now(tmp_path) == ""


def test_it_is_another_one_when_a_variable_or_a_file_is_another(tmp_path: Path) -> None:
    found = []
    for name, text in (("api.env", "A=1\n"), ("app.ini", "x"), ("app.ini", "y"), ("api.env", "A=2\n"),
                       (".env", "LEVEL=debug\n")):  # fmt: skip
        (tmp_path / name).write_text(text)
        if (tmp_path / "api.env").exists():
            found.append(digest_now(tmp_path))
            assert digest_now(tmp_path) == found[-1]
    assert len(set(found)) == 5
