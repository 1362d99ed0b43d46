"""Each mistake names its place, its cause and the next step, and all of a file are told at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Wrong = Callable[..., str]

STEP = "```check\napi-up\n```\n"


def test_it_shows_the_line_with_a_caret_and_the_next_step(wrong: Wrong) -> None:
    told = wrong("1. Look.\n   ```sql on=databse\n   SELECT 1\n   ```\n")
    assert told == (
        "tidy-up.md:5:14: there is no component 'databse'\n"
        "     5 |    ```sql on=databse\n"
        "       |              ^^^^^^^\n"
        "    → did you mean 'database'?\n"
        "1 mistake in the procedure"
    )


def test_it_tells_all_mistakes_of_a_file_in_order(wrong: Wrong) -> None:
    told = wrong(
        "```sh on=nowhere retry=many\neval {{ x }}\n```\n```op\nnothing.at_all: {}\n```\n", front="rsik: safe\n"
    )
    places = [line.split(":")[1] for line in told.splitlines() if line.startswith("tidy-up.md:")]
    assert places == sorted(places, key=int)
    assert told.endswith("6 mistakes in the procedure")


# fence or front matter → what is said of it, and the hint
FENCES = [
    ("```sql on=database writ\nSELECT 1\n```", "there is no attribute 'writ'", "did you mean 'write'?"),
    ("```sh write\nls\n```", "`write` says nothing on a sh fence", "remove it"),
    ("```op on=database\npostgres.end_queries: {of: database}\n```", "`on` says nothing on a op fence", "`of:`"),
    ("```sh timeout=5\nls\n```", "'5' is not a time-out", "5m"),
    ("```sh timeout=99d\nls\n```", "'99d' is not a time-out", "up to 7d"),
    ("```sh retry=-1\nls\n```", "'-1' is not a number of retries", "0 to 20"),
    ("```sh when=\nls\n```", "the value of `when` is missing", 'when="…"'),
    ('```sh when="x\nls\n```', "its quote is not closed", 'when="…"'),
    ('```sh when="x >"\nls\n```', "'x >' is not an expression", "condition"),
    ('```sh when="{{ x }}"\nls\n```', "`when` is an expression already", "without {{ and }}"),
    ('```sh when="nobody"\nls\n```', "'nobody' is neither a parameter nor saved", "`params`"),
    ('```sh expect="rows == 1"\nls\n```', "'rows' is not what this step yields", ""),
    ("```sh save=rows\nls\n```", "a result cannot be saved as 'rows'", "lower-case"),
    ("```sh save=x sensitive\nls\n```", "a sensitive result cannot be saved", "remove"),
    ('```sh sensitive expect="stdout"\nls\n```', "the stdout of a sensitive step is not kept", "exit"),
    ("```sh on_failure=explode\nls\n```", "'explode' is not what can follow a failure", "known"),
    ("```sh risk=dangerous\nls\n```", "there is no risk 'dangerous'", "known"),
    ("```sh id='Not Good'\nls\n```", "an id has lower-case letters", "'not-good'"),
    ("```sh on=cache\nls\n```", "'cache' has no workload", ""),
    ("```sh env='A=plain'\nls\n```", "the value of A is not a reference", "${NAME}"),
    ("```sh env='OPSBOOK_1'\nls\n```", "is not the name of a variable", ""),
    ("```sh\n```", "there is no command here", "remove the fence"),
    ("```sh\necho {{ x\n```", "`{{` is not closed", "}}"),
    ("```sh\ndocker inspect -f {{.State}} x\n```", "is not an expression", "{{ '{{' }}"),
    ("```sh risk=safe undo='eval {{ d }}'\nls\n```", "undo: a value cannot be an argument of `eval`", ""),
    ("```sql\nSELECT 1\n```", "on which component? The book has several", "on=archive"),
    ("```sql on=api\nSELECT 1\n```", "'api' is a http component; sql needs one of kind postgres", "known"),
    ("```sql on=database\nDELETE FROM t\n```", "changes the database, and this fence only reads", "`write`"),
    ("```sql on=database undo='SELECT 1'\nSELECT 1\n```", "has nothing to undo", "remove `undo`"),
    ("```sql on=database\nSELECT '{{ d }}'\n```", "a value cannot stand in a quoted string", "::interval"),
    ("```sql on=database\nSELECT {{ '1' }}\n```", "a quoted text needs no {{ }}", "write it out"),
    ("```sql on=database write\nVACUUM; SELECT 1\n```", "VACUUM cannot run in a transaction", "fence of its own"),
    ("```sql on=database write\nCOMMIT\n```", "COMMIT is not for a procedure", "remove it"),
    ("```http on=api\nGTE /x\n```", "'GTE' is not an HTTP method", "did you mean 'GET'?"),
    ("```http on=database\nGET /x\n```", "'database' has no URL", ""),
    ('```http on=api\nPOST /x\n\n{"a": }\n```', "the body is not JSON", ""),
    ("```http\nGET https://{{ d }}/\n```", "a value cannot choose the host", "on="),
    ("```promql\nup{a=`{{ d }}`}\n```", "a value cannot stand in a raw string", "double quotes"),
    ("```op\nnothing.known: {of: database}\n```", "there is no operation 'nothing.known'", ""),
    ("```op\npostgres.end_queries: {of: api}\n```", "cannot change 'api', which is a http component", ""),
    ("```op\npostgres.end_queries: {of: databas}\n```", "there is no component 'databas'", "did you mean 'database'?"),
    ("```op\npostgres.end_queries: {of: database, older: 5m}\n```", "has no parameter 'older'", "'older_than'"),
    ("```op\npostgres.end_queries: {older_than: 5m}\n```", "needs the parameter 'of'", "`of: …`"),
    (
        "```op\npostgres.end_queries: {of: database, limit: 0}\n```",
        "limit: input should be greater",
        "opsbook operations",
    ),
    ("```op\npostgres.end_queries: {of: database, older_than: {{ d }}}\n```", "", "quote a value with a template"),
    ("```op risk=safe\npostgres.end_queries: {of: database}\n```", "is disruptive, and no procedure can say less", ""),
    ("```op\na: {}\nb: {}\n```", "an op fence is one operation", ""),
    ("```check\napi-upp\n```", "there is no check 'api-upp' in the book", "did you mean 'api-up'?"),
    ("```check\ngroups: [weekly]\n```", "there is no group 'weekly' in the book", "daily"),
    ("```bash on=api\nls\n```", "a bash fence is prose and never runs", "```sh"),
    ("```sh\nls\n", "this sh fence is never closed", "```"),
    ("- [x] Done.", "ticked already", "- [ ]"),
    ("- [ ] The {{ nobody }} knows.", "'nobody' is neither a parameter", ""),
]


@pytest.mark.parametrize(("fence", "message", "hint"), FENCES, ids=[fence.split("\n")[0] for fence, *_ in FENCES])
def test_it_says_what_is_wrong_with_a_fence_and_what_to_do(wrong: Wrong, fence: str, message: str, hint: str) -> None:
    told = wrong(fence if fence.endswith("\n") else fence + "\n", front="params: {d: {type: duration, default: 5m}}\n")
    assert message in told
    assert hint in told
    assert "^" in told


FRONT_MATTER = [
    ("risk: harmful\n", "there is no risk 'harmful'", "known"),
    ("titel: x\n", "there is no key 'titel'", "did you mean 'title'?"),
    ("lock: databse\n", "there is no component 'databse' to lock", "did you mean 'database'?"),
    ("objective: database.rtt\n", "the book promises no objective", "did you mean 'database.rto'?"),
    ("params: [a]\n", "`params` is a mapping", ""),
    ("params: {Big: text}\n", "a parameter is named with lower-case letters", "'big'"),
    ("params: {rows: text}\n", "'rows' is a name of results", "another name"),
    ("params: {a: txt}\n", "there is no type 'txt'", "did you mean 'text'?"),
    ("params: {a: {tpye: text}}\n", "a parameter has no key 'tpye'", "did you mean 'type'?"),
    ("params: {a: {type: duration, default: 5}}\n", "the default of a does not fit: 5 has no unit", "5m"),
    ("params: {a: {type: choice}}\n", "a choice says what can be chosen", "choices"),
    ("params: {a: {type: int, default: 3, required: true}}\n", "is not required", "remove one"),
    ("params: {a: {choices: [x, y], default: z}}\n", "there is no choice 'z'", "x"),
    ("params: {a: {type: int, default: 1]}\n", "", ""),
    ("params: {a: {type: int, default: 0, min: 1}}\n", "the default of a does not fit: 0 is less than 1", "at least 1"),
    ("params: {a: {type: duration, min: 2h, max: 90m}}\n", "`min` is more than `max` (1h30m)", "exchange"),
    ("params: {a: {type: size, max: 5m}}\n", "the max of a does not fit: '5m' is no size", "512MB"),
    ("params: {a: {type: int, max: 99999999999999999999}}\n", "the max of a does not fit", "at most"),
    ("params: {a: {type: bool, min: 1}}\n", "a parameter of the type bool has no `min`", "duration"),
    ("params: {a: {type: int, pattern: x}}\n", "a parameter of the type int has no `pattern`", "only text"),
    ("params: {a: {pattern: '(a'}}\n", "it is no pattern: unclosed group", "[a-z0-9-]+"),
    ("params: {a: {pattern: 'a)|(b'}}\n", "it is no pattern: unopened group", ""),
    ("params: {a: {pattern: '(?=a)b'}}\n", "look-around", "without look-around"),
    ("params: {a: {pattern: 'a{1000}{1000}{9}'}}\n", "exceeds size limit", ""),
    (f"params: {{a: {{pattern: '{'a' * 501}'}}}}\n", "a pattern has at most 500 characters", ""),
    ("params: {a: {pattern: 7}}\n", "`pattern` is a regular expression", "quote it"),
]


@pytest.mark.parametrize(
    ("front", "message", "hint"), FRONT_MATTER, ids=[front.strip()[:80] for front, *_ in FRONT_MATTER]
)
def test_it_says_what_is_wrong_with_the_front_matter(wrong: Wrong, front: str, message: str, hint: str) -> None:
    told = wrong(STEP, front=front)
    assert message in told
    assert hint in told
    assert "tidy-up.md:3:" in told and "^" in told


def test_it_refuses_a_risk_below_that_of_a_step(wrong: Wrong) -> None:
    told = wrong("Go.\n```sh\nls\n```\n", front="risk: safe\n")
    assert "tidy-up.md:3:7: step 'go' (line 6) is destructive, which is more than safe" in told
    assert "write `risk: destructive`" in told


def test_it_reads_saved_results_only_after_they_are_saved(wrong: Wrong) -> None:
    told = wrong("```sh\necho {{ found.rows }}\n```\n```sql on=database save=found\nSELECT 1\n```\n")
    assert "'found' is neither a parameter nor saved by a step before" in told


def test_it_refuses_two_steps_of_one_id(wrong: Wrong) -> None:
    told = wrong("```check id=a\napi-up\n```\n```check id=a\napi-up\n```\n")
    assert "the id 'a' is already taken in line 4" in told


def test_it_asks_for_a_title_and_for_front_matter(wrong: Wrong) -> None:
    assert "the title is missing" in wrong(f"---\nowner: Ana\n---\n{STEP}")
    assert "1:1: the front matter is missing" in wrong("---- \n" + STEP)
    assert "1:1: the front matter is empty" in wrong("---\n---\n" + STEP)


def test_it_says_what_is_wrong_with_front_matter_that_does_not_look_like_one(wrong: Wrong) -> None:
    told = wrong(f"---\n[\n---\n{STEP}")
    assert "tidy-up.md:2:1: a [ is opened here and not closed" in told and "close it with ]" in told
    assert "2:1: the front matter is a mapping of keys" in wrong(f"---\ntidy up\n---\n{STEP}")
    assert "1:1: the front matter begins here and does not end" in wrong("---\ntitle: Tidy up\n\nWords.\n")


def test_it_shows_long_and_strange_lines_whole_enough(wrong: Wrong) -> None:
    told = wrong(f'```sh when="nobody{" " * 400}"\nls\n```\n\x1b[31m\n')
    assert all(len(line) < 200 for line in told.splitlines())
    assert "\x1b" not in told
