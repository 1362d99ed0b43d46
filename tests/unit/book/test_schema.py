"""The published schema, and the pages that are made of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from click import Command
from click.testing import CliRunner
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from opsbook.book.catalogue import Catalogue
from opsbook.book.model import INACTIVE, BookModel
from opsbook.book.positions import read_yaml
from opsbook.book.schema import EXAMPLE, book_schema
from opsbook.catalogue import catalogue
from opsbook.cli.observations import command as observations_verb
from opsbook.cli.schema import command as schema_verb
from opsbook.errors import UsageError

ROOT = Path(__file__).parents[3]
BROKEN = Path(__file__).parent / "broken"


@cache
def published() -> dict[str, Any]:
    """The schema of this opsbook. Making it takes a fifth of a second."""
    return book_schema(catalogue())


def _errors(schema: dict[str, Any], text: str) -> list[str]:
    data = read_yaml(text, "book.yaml").data
    return [error.json_path for error in Draft202012Validator(schema).iter_errors(data)]


def _models(annotation: Any, seen: set[type[BaseModel]]) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation not in seen:
            seen.add(annotation)
            yield annotation
            for field in annotation.model_fields.values():
                yield from _models(field.annotation, seen)
    elif get_origin(annotation) is not None:
        for inner in get_args(annotation):
            yield from _models(inner, seen)


def test_it_is_a_json_schema_without_a_host_name() -> None:
    schema = published()
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == "urn:opsbook:book:1"
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_its_own_example_is_valid() -> None:
    assert not list(Draft202012Validator(published()).iter_errors(EXAMPLE))


def test_the_example_of_the_specification_is_valid(words: Catalogue) -> None:
    assert _errors(book_schema(words), (Path(__file__).parent / "example.yaml").read_text()) == []


@pytest.mark.parametrize("book", sorted(ROOT.glob("examples/*/ops/book.yaml")), ids=lambda path: path.parts[-3])
def test_the_books_of_the_examples_are_valid(book: Path) -> None:
    assert _errors(published(), book.read_text()) == []


@pytest.mark.parametrize(
    "name",
    [
        "unknown_key", "unknown_key_in_a_component", "duration_without_unit", "misspelt_unit", "unknown_observation",
        "unknown_kind", "missing_key", "name_in_capitals", "empty_value", "other_version", "list_expected", "runtime",
        "synonym_of_a_key", "threshold_without_direction", "cron",
    ],
)  # fmt: skip
def test_an_editor_marks_what_the_schema_can_tell(name: str) -> None:
    assert _errors(published(), (BROKEN / f"{name}.yaml").read_text())


def test_an_editor_completes_the_parameters_of_an_observation(words: Catalogue) -> None:
    text = (Path(__file__).parent / "example.yaml").read_text()
    check = "checks:\n  - {id: rows, observe: postgres.rows, of: database, critical: '> 5'%s}\n"
    schema = book_schema(words)
    assert _errors(schema, text.replace("checks:\n", check % ", with: {table: x, older_than: 5m}")) == []
    assert _errors(schema, text.replace("checks:\n", check % ", with: {tabel: x}")) != []
    assert _errors(schema, text.replace("checks:\n", check % "")) == ["$.checks[0]"]


def test_every_key_of_a_book_is_described() -> None:
    models = list(_models(BookModel, set()))
    kinds = [model for kind in catalogue().components.values() for model in _models(kind, set())]
    assert len(models) > 45
    bare = [
        f"{model.__name__}.{name}"
        for model in [*models, *kinds]
        for name, field in model.model_fields.items()
        if not field.description and name != "kind"
    ]
    assert bare == []
    assert [model.__name__ for model in [*models, *kinds] if not model.__doc__] == []


def test_every_observation_and_parameter_is_described() -> None:
    specs = catalogue().observations.values()
    assert [spec.name for spec in specs if not spec.doc.strip().endswith((".", ":", "…"))] == []
    bare = [
        f"{spec.name}: {name}"
        for spec in specs
        for model in _models(spec.parameters, set())
        for name, field in model.model_fields.items()
        if not field.description
    ]
    assert bare == []


def test_thresholds_that_observations_bring_fit_them() -> None:
    for spec in catalogue().observations.values():
        for threshold in (spec.warning, spec.critical):
            assert threshold is None or threshold.misfit(spec.dimension) is None, spec.name


def test_keys_called_inactive_exist() -> None:
    sections = [path.partition(".")[0] for path in INACTIVE]
    assert set(sections) <= set(BookModel.model_fields)


def _run(verb: Command, *words: str) -> str:
    done = CliRunner().invoke(verb, words, standalone_mode=False, catch_exceptions=False)
    assert done.return_value == 0
    return done.stdout


def test_the_verbs_print_them() -> None:
    assert json.loads(_run(schema_verb))["$id"] == "urn:opsbook:book:1"
    found = json.loads(_run(observations_verb, "redis.up", "--format", "json"))
    assert [(one["name"], one["dimension"], one["vital"]) for one in found] == [("redis.up", "state", True)]
    assert "redis.up" in _run(observations_verb, "--kind", "redis")
    assert "parameters (under `with`):\n  table (text, " in _run(observations_verb, "postgres.dead_tuples")


def test_an_observation_that_is_not_there_is_a_usage_error() -> None:
    with pytest.raises(UsageError) as raised:
        _run(observations_verb, "redis.upp")
    assert raised.value.hint == "did you mean 'redis.up'?"
