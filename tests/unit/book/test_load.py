"""Loading a book: what it says, in each environment, and how long that takes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from opsbook.book.load import Book, InvalidBook, find_book
from opsbook.book.system import in_environment, parse_env
from opsbook.errors import UsageError

Load = Callable[[str], Book]

EXAMPLE = (Path(__file__).parent / "example.yaml").read_text()
"""The book of the specification: a system of this kind, in few lines."""

SMALL = """\
opsbook: 1
system: shop
environments:
  production: {}
  staging:
    env_file: staging.env
    components: {api: {replicas: 1, url: "${STAGING_URL}"}}
    checks: {latency: {critical: "> 2s"}}
components:
  api: {kind: http, url: "${API_URL}", replicas: 3, workload: api, depends_on: [cache]}
  cache: {kind: redis, url: "${REDIS_URL}"}
checks:
  - {id: latency, observe: http.latency_p95, of: api, critical: "> 500ms"}
  - {id: cache, observe: redis.up, of: cache, environments: [production]}
"""


def test_the_example_of_the_specification_loads(load: Load) -> None:
    model = load(EXAMPLE).model
    assert model.checks[0].for_ == timedelta(minutes=5)
    assert model.backups[1].keep.weekly == 4
    assert model.severities["P0"].respond == timedelta(minutes=15)
    assert str(model.channels["oncall"].url) == "${ONCALL_URL}"
    assert model.objectives["database"].rto == timedelta(hours=2)


def test_a_channel_may_be_an_address_or_its_settings(load: Load) -> None:
    model = load(SMALL + "channels: {a: mailto:ops@example.org, b: {url: '${HOOK}', digest: 15m}}\n").model
    assert str(model.channels["a"].url) == "mailto://***" or str(model.channels["a"].url) == "***"
    assert model.channels["b"].digest == timedelta(minutes=15)


def test_an_environment_changes_what_it_names_and_nothing_else(load: Load) -> None:
    book = load(SMALL)
    production, staging = in_environment(book, "production"), in_environment(book, "staging")
    assert production.components["api"].replicas == 3
    assert staging.components["api"].replicas == 1
    assert staging.components["api"].workload == "api"
    assert str(staging.checks[0].critical) == "> 2s"
    assert str(production.checks[0].critical) == "> 500ms"


def test_a_check_belongs_to_the_environments_that_it_names(load: Load) -> None:
    book = load(SMALL)
    assert [check.id for check in in_environment(book, "production").checks] == ["latency", "cache"]
    assert [check.id for check in in_environment(book, "staging").checks] == ["latency"]


@pytest.mark.parametrize(
    ("wrong", "place", "said"),
    [
        ('components: {api: {replicas: many}}', "7:34", "whole number"),
        ('components: {api: {colour: red}}', "7:24", "'colour' is not known"),
        ('components: {api: {depends_on: [nothing]}}', "7:37", "no component named 'nothing'"),
        ('checks: {latency: {critical: "> 5%"}}', "7:34", "is a ratio"),
        ('checks: {latency: {warning: "> 1s"}}', "7:33", "reached before warning"),
        ('checks: {latncy: {critical: "> 2s"}}', "7:14", "no check named 'latncy'"),
        ('backups: {nightly: {keep: {}}}', "7:15", "no backup named 'nightly'"),
        ('deploys: {config: {files: [a.env]}}', "7:15", "`config` is of one component, not of all"),
        ('deploys: {watch: 10}', "7:22", "has no unit"),
        ('channels: {a: {url: 5}}', "7:25", "expected text or a reference"),
        ('escalation: [{level: L1, notify: nobody}]', "7:38", "named 'nobody'"),
    ],
)  # fmt: skip
def test_an_override_that_does_not_fit_is_an_error_when_the_book_is_loaded(
    load: Load, wrong: str, place: str, said: str
) -> None:
    text = SMALL.replace('components: {api: {replicas: 1, url: "${STAGING_URL}"}}', wrong)
    text = text.replace('    checks: {latency: {critical: "> 2s"}}\n', "")
    with pytest.raises(InvalidBook) as raised:
        load(text)
    (problem,) = raised.value.problems
    assert f"{problem.place.line}:{problem.place.column}" == place
    assert said in problem.message
    assert problem.key.startswith("environments.staging.")


def test_a_secret_is_taken_from_the_process_before_the_env_file(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "staging.env").write_text("REDIS_URL=redis://file\nSTAGING_URL='http://file'\n")
    monkeypatch.setenv("REDIS_URL", "redis://process")
    system = in_environment(load(SMALL), "staging")
    assert system.resolve(system.components["cache"].url) == "redis://process"  # type: ignore[attr-defined]
    assert system.resolve(system.components["api"].url) == "http://file"  # type: ignore[attr-defined]


def test_a_missing_secret_of_an_override_is_placed_where_it_is_overridden(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("STAGING_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "staging.env").write_text("")
    system = in_environment(load(SMALL), "staging")
    found = {problem.key: problem.place.line for problem in system.missing_secrets({"api", "cache"})}
    assert found == {"environments.staging.components.api.url": 7, "components.cache.url": 11}


def test_a_missing_env_file_is_named_with_its_place(load: Load) -> None:
    with pytest.raises(InvalidBook) as raised:
        _ = in_environment(load(SMALL), "staging").variables
    assert "6:15: environments.staging.env_file: staging.env: No such file" in str(raised.value)


def test_which_environment_is_meant(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPSBOOK_ENV", raising=False)
    book = load(SMALL)
    with pytest.raises(UsageError, match="which environment"):
        in_environment(book)
    with pytest.raises(UsageError, match="did you mean 'staging'"):
        in_environment(book, "stagin")
    assert in_environment(load("default_environment: staging\n" + SMALL)).name == "staging"
    monkeypatch.setenv("OPSBOOK_ENV", "production")
    assert in_environment(book).name == "production"


def test_what_a_component_needs_is_followed(load: Load) -> None:
    assert list(in_environment(load(SMALL), "production").upstream("api")) == ["cache"]


def test_errors_that_only_follow_from_others_are_not_told(load: Load) -> None:
    text = SMALL.replace("kind: redis", "kind: rediss").replace('"> 500ms"', "500ms")
    with pytest.raises(InvalidBook) as raised:
        load(text)
    # Neither is the cache called missing, nor the check without threshold.
    assert [problem.key for problem in raised.value.problems] == ["components.cache.kind", "checks[0].critical"]


def test_errors_of_every_sort_are_told_at_once(load: Load) -> None:
    text = SMALL.replace("depends_on: [cache]", "depends_on: [cach]") + "system: again\nwindows: [{id: w}]\nfoo: 1\n"
    with pytest.raises(InvalidBook) as raised:
        load(text)
    assert [problem.key for problem in raised.value.problems] == [
        "components.api.depends_on[0]",
        "system",
        "windows[0]",
        "foo",
    ]


def test_a_book_is_found_upwards(tmp_path: Path) -> None:
    deep = tmp_path / "src" / "deep"
    deep.mkdir(parents=True)
    (tmp_path / "ops").mkdir()
    (tmp_path / "ops" / "book.yaml").write_text("opsbook: 1\n")
    assert find_book(deep) == tmp_path / "ops" / "book.yaml"
    assert find_book(deep, str(tmp_path)) == tmp_path / "ops" / "book.yaml"
    with pytest.raises(UsageError, match="there is no book at"):
        find_book(deep, str(deep))


def test_an_env_file_is_read_as_shells_and_compose_read_it() -> None:
    text = "# note\nexport A=1\nB='two words'\nC=\"x=y\"\n\nnonsense\nD=plain # comment\nE=a#b\n"
    assert parse_env(text) == {"A": "1", "B": "two words", "C": "x=y", "D": "plain", "E": "a#b"}


def test_planned_work_does_not_begin_every_second(load: Load) -> None:
    with pytest.raises(InvalidBook, match="planned work does not come by FREQ=SECONDLY"):
        load(SMALL + 'windows: [{id: w, rrule: "FREQ=SECONDLY", lasts: 1h}]\n')


def test_a_window_does_not_wait_for_what_only_it_can_do(load: Load) -> None:
    lists = "checklists: {ready: {items: [{text: It is tidy, procedure: tidy-up%s}]}}\n"
    window = 'windows: [{id: w, rrule: "FREQ=WEEKLY", before: %s, procedures: [tidy-up]}]\n'
    with pytest.raises(InvalidBook, match="tidy-up waits for this checklist"):
        load(SMALL + lists % "" + window % "ready")
    assert load(SMALL + lists % ", optional: true" + window % "ready").model.windows[0].before == "ready"
    with pytest.raises(InvalidBook, match="no checklist named 'redy'"):
        load(SMALL + lists % "" + window % "redy")
