"""Shell blocks as commands, with the programs and languages inside them."""

from __future__ import annotations

import pytest

from opsbook.manual.shell import Command, commands, syntax_error, variables_of, walk_commands


def one(text: str) -> Command:
    found = commands(text)
    assert len(found) == 1
    return found[0]


def innermost(text: str) -> Command:
    return list(one(text).walk())[-1]


def test_it_reads_words_with_their_places() -> None:
    command = commands("ls\n  kubectl get 'my pods'", 10, 5)[1]
    assert command.words == ("kubectl", "get", "my pods")
    assert [(word.line, word.column) for word in command.argv] == [(11, 7), (11, 15), (11, 19)]


def test_it_goes_on_over_continued_lines() -> None:
    command = one("pg_dump -Fc \\\n  shop > /b/shop.dump")
    assert command.words == ("pg_dump", "-Fc", "shop")
    assert command.redirects[0].target.text == "/b/shop.dump"
    assert (command.line, command.end_line) == (1, 2)


def test_it_numbers_pipelines_and_operators() -> None:
    found = commands("a | b && c || d &\ne")
    assert [(each.program, each.position, each.length, each.before) for each in found] == [
        ("a", 0, 2, ""),
        ("b", 1, 2, "|"),
        ("c", 0, 1, "&&"),
        ("d", 0, 1, "||"),
        ("e", 0, 1, "&"),
    ]
    assert found[3].background


def test_it_takes_placeholders_for_words_not_for_redirections() -> None:
    command = one("kubectl describe pod <pod-name> -n shop")
    assert command.words[3] == "<pod-name>"
    assert command.argv[3].placeholders == ("pod-name",)
    assert not command.redirects


def test_it_keeps_redirections_apart_from_placeholders() -> None:
    command = one("psql shop < dump.sql")
    assert command.redirects[0].operator == "<"
    assert command.redirects[0].target.text == "dump.sql"


def test_it_fills_in_variables_that_were_set_before() -> None:
    found = commands('NS=shop\nkubectl get pods -n "$NS"')
    assert found[1].argv[4].value == "shop"
    assert found[1].argv[4].variables == ("NS",)


def test_it_knows_variables_of_an_earlier_block() -> None:
    left = variables_of(commands("STANZA=main\nexport NOW=$(date)"))
    assert left == {"STANZA": "main"}
    assert commands("echo $STANZA", variables=left)[0].argv[1].value == "main"


def test_it_does_not_trust_a_variable_that_is_set_under_a_condition() -> None:
    found = commands("if true; then NS=a; fi\nls $NS")
    assert found[-1].argv[1].value is None


def test_it_leaves_what_the_shell_computes_unknown() -> None:
    word = commands("touch file-$(date +%F)")[0].argv[1]
    assert word.value is None
    assert word.substitutions == ("$(date +%F)",)


def test_it_finds_the_commands_of_substitutions() -> None:
    found = commands("kill $(pgrep worker)")
    assert [each.program for each in found] == ["kill", "pgrep"]
    assert found[1].within[-1].kind == "substitution"


def test_it_tells_what_a_command_stands_in() -> None:
    found = commands("f() { rm x; }\nfor i in 1; do ls; done\n(cd a; pwd)")
    kinds = {each.program: [enclosure.kind for enclosure in each.within] for each in found}
    assert kinds["rm"][0] == "function"
    assert kinds["ls"] == ["loop"]
    assert kinds["pwd"] == ["subshell"]


def test_it_gives_a_command_the_comment_above_it() -> None:
    found = commands("#!/bin/bash\n# Look\nls\npwd # here\n\nid")
    assert [each.comment for each in found] == ["Look", "Look", ""]
    assert found[1].trailing_comment == "here"


def test_it_splits_off_what_runs_in_a_pod() -> None:
    inner = innermost('kubectl exec -it -n shop db-0 -c pg -- psql -U app -c "SELECT 1"')
    assert inner.words == ("psql", "-U", "app", "-c", "SELECT 1")
    assert inner.remote
    assert inner.via == ("kubectl exec",)


def test_it_splits_off_what_runs_in_a_container() -> None:
    assert innermost("docker exec -u postgres db psql -l").program == "psql"
    assert innermost("docker compose -f a.yml exec -T db pg_dump shop").program == "pg_dump"
    assert innermost("docker-compose run --rm web python manage.py migrate").program == "python"


def test_it_splits_off_what_runs_on_another_host() -> None:
    command = one("ssh -p 22 root@db 'systemctl stop shop && rm -rf /srv/x'")
    inner = list(command.walk())[1:]
    assert [each.program for each in inner] == ["systemctl", "rm"]
    assert all(each.remote for each in inner)
    assert (inner[1].line, inner[1].column) == (1, 43)


@pytest.mark.parametrize(
    "text",
    [
        "sudo -u root rm x",
        "timeout 5 rm x",
        "env A=1 rm x",
        "nohup rm x",
        "time rm x",
        "xargs -I {} rm x",
        "watch -n 2 rm x",
        "sh -c 'rm x'",
        "su - app -c 'rm x'",
        "bash -lc 'rm x'",
        "nice -n 5 rm x",
        "find . -name y -exec rm x \\;",
        "flock /tmp/l rm x",
        "poetry run rm x",
        "gcloud compute ssh web --command='rm x'",
        "runuser -u app -- rm x",
        "eval 'rm x'",
    ],
)
def test_it_sees_through_wrappers(text: str) -> None:
    assert innermost(text).words[:2] == ("rm", "x")


def test_it_follows_programs_three_deep() -> None:
    inner = innermost("sudo kubectl exec p -- bash -c 'redis-cli FLUSHALL'")
    assert inner.words == ("redis-cli", "FLUSHALL")
    assert inner.via == ("sudo", "kubectl exec", "bash -c")


def test_it_finds_sql_with_its_place() -> None:
    command = one('psql shop -c "\n  DELETE FROM t;\n"')
    sql = command.embedded[0]
    assert sql.language == "sql"
    assert sql.at(sql.text.index("DELETE")) == (2, 3)


def test_it_finds_sql_in_a_here_document() -> None:
    command = one("psql shop <<'SQL'\nSELECT 1;\nSQL")
    sql = command.embedded[0]
    assert (sql.text, sql.line, sql.column, sql.quoted) == ("SELECT 1;\n", 2, 1, True)


def test_it_finds_sql_that_is_piped_in() -> None:
    found = commands("echo 'SELECT 1' | docker exec -i db psql shop")
    inner = list(found[1].walk())[-1]
    assert inner.embedded[0].text == "SELECT 1"


def test_it_finds_promql_json_and_python() -> None:
    assert one("curl -G http://prom:9090/api/v1/query --data-urlencode 'query=up == 0'").embedded[0].text == "up == 0"
    assert one("curl 'http://prom:9090/api/v1/query?query=up'").embedded[0].language == "promql"
    assert one("curl -X POST -d '{\"a\": 1}' http://x").embedded[0].language == "json"
    assert one("python3 -c 'print(1)'").embedded[0].language == "python"


def test_it_reads_a_script_that_is_sent_over_ssh() -> None:
    command = one("ssh db <<EOF\n  systemctl stop shop\nEOF")
    inner = command.nested[0]
    assert inner.words == ("systemctl", "stop", "shop")
    assert (inner.line, inner.column) == (2, 3)


def test_it_reads_terminal_sessions() -> None:
    found = commands("$ ls -la\ntotal 4\n$ psql \\\n>   -l\nList\n", 7)
    assert [each.words for each in found] == [("ls", "-la"), ("psql", "-l")]
    assert [(each.line, each.column) for each in found] == [(7, 3), (9, 3)]


def test_it_reads_the_root_prompt_where_it_is_told_so() -> None:
    found = commands("# systemctl stop shop\n", console=True)
    assert found[0].words == ("systemctl", "stop", "shop")


def test_it_counts_columns_in_an_indented_block_line_by_line() -> None:
    found = commands("sh -c '\nrm x\n'", 5, [4, 6, 4])
    inner = found[0].nested[0]
    assert (inner.line, inner.column) == (6, 6)


def test_it_finds_the_place_of_a_syntax_error() -> None:
    assert syntax_error("ls\nnpm audit (in web/)\n") is not None
    assert syntax_error("ls && pwd\n") is None


def test_it_goes_on_after_a_syntax_error() -> None:
    found = list(walk_commands(commands("ls )\nkubectl get pods\n")))
    assert "kubectl" in [each.program for each in found]
