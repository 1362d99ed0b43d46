"""References to secrets: resolved late, shown as written, never shown as they are."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from opsbook.book.references import MissingSecret, Reference, SecretReference, hide_password, references

SECRET = "hunter2"


def test_it_takes_the_value_of_a_variable_when_it_is_needed(tmp_path: Path) -> None:
    reference = Reference("redis://:${PW}@${HOST:-localhost}:6379/0")
    assert reference.variables == ("PW",)
    assert reference.resolve({"PW": SECRET}, tmp_path) == f"redis://:{SECRET}@localhost:6379/0"
    assert reference.resolve({"PW": SECRET, "HOST": "cache"}, tmp_path) == f"redis://:{SECRET}@cache:6379/0"


def test_an_empty_variable_counts_as_none(tmp_path: Path) -> None:
    assert Reference("${A:-b}").resolve({"A": ""}, tmp_path) == "b"
    assert Reference("${A:-}").resolve({}, tmp_path) == ""
    with pytest.raises(MissingSecret, match="A is empty"):
        Reference("${A}").resolve({"A": ""}, tmp_path)
    with pytest.raises(MissingSecret, match="A is not set"):
        Reference("${A}").resolve({}, tmp_path)


def test_it_takes_the_value_of_a_file_beside_the_book(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    assert Reference("file:secret").resolve({}, tmp_path) == SECRET
    assert Reference("file:${FOLDER}/secret").resolve({"FOLDER": str(tmp_path)}, Path("/")) == SECRET
    with pytest.raises(MissingSecret, match="file:none: No such file"):
        Reference("file:none").resolve({}, tmp_path)


def test_it_takes_what_a_command_prints(tmp_path: Path) -> None:
    assert Reference("cmd:echo hunter2").resolve({"PATH": "/usr/bin:/bin"}, tmp_path) == SECRET


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("cmd:sh -c 'echo hunter2; echo hunter2 >&2; exit 3'", "ended with 3"),
        ("cmd:no-such-program hunter2", "cannot be run"),
    ],
)
def test_a_command_that_fails_never_shows_what_it_said(tmp_path: Path, command: str, said: str) -> None:
    with pytest.raises(MissingSecret) as raised:
        Reference(command).resolve({"PATH": "/usr/bin:/bin"}, tmp_path)
    assert said in str(raised.value)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("${", "is no reference"),
        ("redis://${HOST:6379", "is no reference"),
        ("${A:-${B}}", "is no reference"),
        ("$DATABASE_URL", "write ${DATABASE_URL}"),
        ("file:", "needs the path"),
        ("cmd:", "needs a program"),
        ("cmd:echo 'x", "cannot be told apart"),
    ],
)
def test_it_refuses_what_could_never_be_resolved(text: str, said: str) -> None:
    with pytest.raises(ValueError) as raised:
        Reference(text)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://app:hunter2@db:5432/shop", "postgresql://app:***@db:5432/shop"),
        ("postgresql://app:hun@ter/2@db/shop", "postgresql://app:***@db/shop"),
        ("redis://:hunter2@cache", "redis://:***@cache"),
        ("redis://:${PW:-hunter2}@cache", "redis://:${PW:-***}@cache"),
        ("${URL:-redis://:hunter2@cache}", "${URL:-redis://:***@cache}"),
        ("host=db user=app password=hunter2 dbname=x", "host=db user=app password=*** dbname=x"),
        ("https://api.example.org/?token=hunter2&page=2", "https://api.example.org/?token=***&page=2"),
    ],
)
def test_a_literal_password_is_hidden_and_called_one(text: str, shown: str) -> None:
    reference = Reference(text)
    assert str(reference) == shown
    assert reference.literal_secret
    assert SECRET not in repr(reference) + str(reference)


@pytest.mark.parametrize(
    "text",
    [
        "${DATABASE_URL}",
        "http://localhost:8000/health",
        "http://localhost:8000/users?mail=a@b.example",
        "postgresql://app:${PW}@db/shop?application_name=a@b",
        "postgresql://app@db/shop",
        "s3://bucket/folder",
        "file:secrets/password",
        "password=${PW}",
    ],
)
def test_what_is_no_secret_stays_as_written(text: str) -> None:
    assert str(Reference(text)) == text
    assert not Reference(text).literal_secret


def test_an_address_that_is_a_secret_as_a_whole_shows_its_scheme_only() -> None:
    assert str(SecretReference("slack://T0/B0/hunter2")) == "slack://***"
    assert SecretReference("slack://T0/B0/hunter2").literal_secret
    assert str(SecretReference("${ONCALL_URL}")) == "${ONCALL_URL}"
    assert not SecretReference("mailto:ops@example.org").literal_secret


class Holder(BaseModel):
    url: Reference
    hook: SecretReference


def test_nothing_made_of_a_model_shows_the_secret() -> None:
    model = Holder.model_validate({"url": "redis://:hunter2@cache", "hook": "slack://hunter2"})
    shown = [repr(model), str(model), str(model.model_dump()), model.model_dump_json(), json.dumps(model.model_dump())]
    assert not any(SECRET in text for text in shown)
    assert [path for path, _ in references(model)] == [("url",), ("hook",)]


@pytest.mark.parametrize("wrong", ["redis://:hunter2@${HOST", ["hunter2"], {"a": "hunter2"}, 5, None, ""])
def test_an_error_about_a_reference_does_not_show_the_secret(wrong: object) -> None:
    with pytest.raises(ValidationError) as raised:
        Holder.model_validate({"url": wrong, "hook": "${X}"})
    assert not any(SECRET in error["msg"] for error in raised.value.errors())


@given(st.from_regex(r"[A-Za-z0-9!#%^*()+=._~-]{4,20}", fullmatch=True).filter(lambda p: not p.isdigit()))
@example("000#")
def test_no_password_of_a_url_survives(password: str) -> None:
    shown = hide_password(f"postgresql://someone:{password}@host.invalid/db")
    assert shown == "postgresql://someone:***@host.invalid/db"


def test_a_reference_is_compared_by_its_text_and_can_be_sent_elsewhere() -> None:
    assert Reference("${A}") == Reference("${A}")
    assert len({Reference("${A}"), Reference("${A}")}) == 1
    assert pickle.loads(pickle.dumps(Reference("${A}"))).text == "${A}"
