"""Which labels a new container of one of two sides gets: those of its own, else what is known of both sides."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from opsbook.book.delivery import Deploy
from opsbook.connectors.runtimes import compose_labels
from opsbook.connectors.runtimes.compose_create import wanted
from opsbook.connectors.runtimes.compose_file import read_compose_file
from opsbook.connectors.runtimes.compose_record import Record

LABELS = {"traefik.enable": "true"}
WITH, WITHOUT = dict(LABELS), {"traefik.enable": None}


def container(service: str, *, carries: bool, active: bool = True, name: str = "") -> Any:
    return SimpleNamespace(
        service=service, active=active, labels=LABELS if carries else {}, name=name or f"{service}-1"
    )


def of_new(folder: Path, found: list[Any], service: str = "api") -> dict[str, str | None]:
    (folder / "compose.yaml").write_text(
        "name: shop\n"
        "services: {api: {image: 'shop:1', labels: {traefik.enable: 'true', team: shop}}, green: {image: 'shop:1'}}\n"
    )
    sides = {"api": Deploy(blue="api", green="green", labels=LABELS)}
    system = SimpleNamespace(model=SimpleNamespace(deploys=SimpleNamespace(components=sides)))

    async def everything() -> list[Any]:
        return found

    file = read_compose_file(folder / "compose.yaml", "", {})
    compose: Any = SimpleNamespace(system=system, found=everything, record=Record(folder / "record"))
    given = asyncio.run(compose_labels.of_new(compose, file.service(service)))
    made = wanted(file, file.service(service), 1, "shop-api-1", "shop:1", given).config["Labels"]
    assert made.get("traefik.enable") == given["traefik.enable"]
    assert made["com.docker.compose.service"] == service
    return given


@pytest.mark.parametrize(
    ("found", "recorded", "gets"),
    [
        ([], None, WITH),
        ([], False, WITHOUT),
        ([container("green", carries=True)], None, WITHOUT),
        ([container("green", carries=True)], True, WITHOUT),
        ([container("green", carries=False)], True, WITH),
        ([container("api", carries=False), container("green", carries=True)], True, WITHOUT),
        ([container("api", carries=True), container("green", carries=True)], False, WITH),
        ([container("api", carries=True, active=False)], False, WITHOUT),
        ([container("api", carries=True, active=False, name="shop-api-1-before")], False, WITH),
    ],
    ids=["the file's", "the record's", "the other side serves", "what runs is true and not the record",
         "nobody serves, so the record's", "as its own", "in the middle of a switch, as its own",
         "stopped ones say nothing", "the one that makes way says it"],
)  # fmt: skip
def test_a_new_container_gets_what_is_so(tmp_path: Path, found: list[Any], recorded: bool | None, gets: object) -> None:
    if recorded is not None:
        Record(tmp_path / "record").carry({"api": recorded})
    assert of_new(tmp_path, found) == gets


def test_a_switch_that_is_noted_twice_stands_there_once_and_no_version_is_lost(tmp_path: Path) -> None:
    record = Record(tmp_path / "record")
    record.note("api", "shop:1", "shop:2")
    for _ in range(2):
        record.carry({"green": True, "api": False})
    assert len((tmp_path / "record").read_text().splitlines()) == 3
    assert [record.carries(one) for one in ("green", "api", "other")] == [True, False, None]
    assert record.wanted("api", "shop:1") == "shop:2"
