"""What lint says of commands is what the tools themselves say."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from opsbook.manual.document import read_document
from opsbook.manual.lint import Choice, all_rules, lint_document
from opsbook.manual.lint.context import Context
from opsbook.manual.lint.repository import repository_of
from opsbook.manual.lint.shellcheck import shellcheck_path
from tests.integration.servers import RedisServer, own_folder

pytestmark = pytest.mark.real

RULES = {rule.id: rule for rule in all_rules()}


def _needs(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


def test_shellcheck_is_called_once_for_all_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    if shellcheck_path() is None:
        pytest.skip("shellcheck is not installed")
    calls: list[list[str]] = []
    real = subprocess.run

    def counted(argv: list[str], **keywords: object) -> object:
        calls.append(argv)
        return real(argv, **keywords)  # type: ignore[call-overload]

    monkeypatch.setattr("opsbook.manual.lint.shellcheck.subprocess.run", counted)
    text = "".join(f"```bash\nsudo echo {n} > /etc/file{n}\n```\n\n" for n in range(20))
    found = lint_document(read_document(text, "m.md"), choice=Choice(select=("OB108",)))
    assert [finding.line for finding in found] == [2 + 4 * n for n in range(20)]
    assert len(calls) == 1


def test_without_shellcheck_its_rules_are_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opsbook.manual.lint.shellcheck.shellcheck_path", lambda: None)
    assert lint_document(read_document(RULES["OB108"].bad, "m.md"), choice=Choice(select=("OB10*",))) == []


def test_a_shellcheck_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    slow = tmp_path / "shellcheck"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setattr("opsbook.manual.lint.shellcheck.shellcheck_path", lambda: str(slow))
    monkeypatch.setattr("opsbook.manual.lint.shellcheck._LIMIT", 0.2)
    assert Context(read_document(RULES["OB108"].bad, "m.md"), None).complaints == ()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/q?query=rate(x[5m])", 'http://127.0.0.1:1/q?query=x{a="b"}[5m]'])
def test_curl_refuses_the_brackets(url: str) -> None:
    done = subprocess.run([_needs("curl"), "-sS", url], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    text = f"```bash\ncurl '{url}'\n```\n"
    assert [f.rule for f in lint_document(read_document(text, "m.md"), choice=Choice(select=("OB103",)))] == ["OB103"]


@pytest.mark.parametrize("rule", ["OB401", "OB411"])
def test_promtool_agrees_on_rule_files(rule: str, tmp_path: Path) -> None:
    promtool = _needs("promtool")
    verdicts = []
    for text in (RULES[rule].bad, RULES[rule].good):
        body = read_document(text, "m.md").fences()[0].text
        if rule == "OB401":
            body = f"groups:\n  - name: a\n    rules:\n      - alert: A\n        expr: {body.strip()}\n"
        path = tmp_path / "rules.yml"
        path.write_text(body)
        verdicts.append(
            subprocess.run([promtool, "check", "rules", str(path)], capture_output=True, check=False).returncode
        )
    assert verdicts[0] != 0 and verdicts[1] == 0


def test_the_redis_server_agrees_on_its_commands() -> None:
    _needs(RedisServer.program)
    with own_folder("redis") as folder:
        server = RedisServer(folder).start()
        try:
            client = server.client()
            assert client.execute_command("CONFIG", "GET", "maxmemory")
            with pytest.raises(Exception, match=r"(?i)unknown"):
                client.execute_command("CONFIG", "SHOW", "maxmemory")
        finally:
            server.stop()


def test_it_looks_names_up_in_the_repository_around_a_manual(tmp_path: Path) -> None:
    git = _needs("git")
    (tmp_path / "docs").mkdir()
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/backup.sh").write_text("")
    manual = tmp_path / "docs/operations.md"
    manual.write_text("[a](../README.md) [b](guide.md)\n\n```bash\n./scripts/backup.sh\n./scripts/restore.sh\n```\n")
    (tmp_path / "README.md").write_text("")
    subprocess.run([git, "init", "-q", str(tmp_path)], check=True)
    repository = repository_of(manual)
    assert repository is not None and repository.folder == "docs"
    found = lint_document(read_document(manual.read_text(), "operations.md"), repository=repository)
    assert [(f.rule, f.line, f.message) for f in found] == [
        ("OB509", 1, "the repository has no guide.md"),
        ("OB510", 5, "the repository has no ./scripts/restore.sh"),
    ]


def test_outside_of_a_repository_nothing_is_looked_up(tmp_path: Path) -> None:
    manual = tmp_path / "operations.md"
    manual.write_text("[b](guide.md)\n")
    assert repository_of(manual) is None
    assert lint_document(read_document(manual.read_text(), "operations.md")) == []
