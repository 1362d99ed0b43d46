"""How the database of the example begins in containers: what is there of it is never passed over for an empty one."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

RENEC = Path(__file__).parents[2] / "examples/renec"
STUBS = {
    "setpriv": 'while [ "${1#--}" != "$1" ]; do shift; done; exec "$@"',
    "runuser": 'shift 3; exec "$@"',
    "install": 'for last; do :; done; case "$*" in -d*) mkdir -p "$last" ;; */) ;; *) : >"$last" ;; esac',
    "initdb": 'while [ "$1" != -D ]; do shift; done; mkdir "$2"; echo made > "$2/PG_VERSION"',
    "postgres": 'echo "serves $(cat "$2/PG_VERSION")"',
    "psql": 'case "$*" in *pg_is_in_recovery*) exit 1 ;; esac; cat >/dev/null',
    "pg_ctl": "",
    "chown": "",
    "sleep": 'echo "waits"; exit 9',
}
"""The other server does not answer; who waits is seen to wait."""


@pytest.fixture(params=["compose", "kubernetes"])
def script(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "compose":
        text = (RENEC / "compose/programs/postgres.sh").read_text()
    else:
        parts = yaml.safe_load_all((RENEC / "kubernetes/10-postgres.yaml").read_text())
        text = next(one for one in parts if one["kind"] == "ConfigMap")["data"]["postgres.sh"]
    text = text.replace("/usr/lib/postgresql/15/bin/", "").replace('export PATH="/usr/lib/postgresql/15/bin:$PATH"', "")
    text = re.sub(r"(?<![\w/$])(/data|/run|/etc|/tmp|/opt|/var)\b", rf"{tmp_path}\1", text)
    for folder in ("run/renec/secrets", "run/postgresql", "etc/renec/passwords", "etc/renec/postgres", "data", "bin"):
        (tmp_path / folder).mkdir(parents=True)
    for folder in ("run/renec/secrets", "etc/renec/passwords"):
        (tmp_path / folder / "replicator").write_text("word")
    (tmp_path / "etc/renec/postgres/roles.sql").write_text("")
    (tmp_path / "tmp").mkdir()
    for name, body in STUBS.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "postgres.sh").write_text(text)
    return tmp_path / "postgres.sh"


def begun(script: Path) -> str:
    done = subprocess.run(
        ["bash", str(script), "postgres-replica", "first"], capture_output=True, text=True, check=False, timeout=30,
        env={"PATH": f"{script.parent}/bin:/usr/bin:/bin"},
    )  # fmt: skip
    return done.stdout + done.stderr


def folder(path: Path, word: str) -> Path:
    path.mkdir()
    (path / "PG_VERSION").write_text(word)
    (path / "postgresql.auto.conf").write_text("")
    return path


def test_the_first_server_is_made_where_there_is_nothing(script: Path) -> None:
    assert begun(script).splitlines()[-1] == "serves made"
    (script.parent / "data/pg/PG_VERSION").write_text("kept")
    assert begun(script).splitlines()[-1] == "serves kept"


@pytest.mark.parametrize("left", ["rebuilding", "configuration", "copying", "discarded"])
def test_nothing_is_made_in_place_of_a_folder_that_is_being_rebuilt(script: Path, left: str) -> None:
    folder(script.parent / f"data/pg.{left}", "kept")
    told = begun(script)
    assert f"pg.{left}: a rebuild of this server was cut off" in told and told.splitlines()[-1] == "waits"
    assert not (script.parent / "data/pg").exists()


@pytest.mark.parametrize("script", ["compose"], indirect=True)
def test_an_instance_of_before_keeps_its_data(script: Path) -> None:
    root = script.parent
    old = folder(root / "data/data", "of then")
    told = "primary_conninfo = 'passfile={}'\n"
    (old / "postgresql.auto.conf").write_text(told.format(root / "var/lib/postgresql/renec/pgpass"))
    assert begun(script).splitlines()[-1] == "serves of then"
    assert (root / "data/pg/postgresql.auto.conf").read_text() == told.format(root / "data/replicator.pgpass")


@pytest.mark.parametrize("script", ["compose"], indirect=True)
def test_a_container_of_before_finds_the_data_where_its_volume_is(script: Path) -> None:
    root = script.parent
    (root / "data").rmdir()
    (root / "var/lib/postgresql/renec").mkdir(parents=True)
    folder(root / "var/lib/postgresql/renec/data", "of then")
    assert begun(script).splitlines()[-1] == "serves of then"
    assert (root / "var/lib/postgresql/renec/pg/PG_VERSION").exists(), "the same place of the volume as ever after"
