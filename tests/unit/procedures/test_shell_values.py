"""A value in a script is a quoted reference to a variable, or the script is refused with the place and a way out."""

from __future__ import annotations

import pytest

from opsbook.engine.shell_values import compile_script

# script → program; a is any value, n a whole number
SCRIPTS = [
    ("echo {{ a }}", 'echo "${OPSBOOK_1}"'),
    ("echo x{{ a }}y", 'echo x"${OPSBOOK_1}"y'),
    ('echo "x {{ a }}"', 'echo "x ${OPSBOOK_1}"'),
    ("echo 'x {{ a }} y'", "echo 'x '\"${OPSBOOK_1}\"' y'"),
    ("cat <<EOF\n{{ a }}\nEOF", "cat <<EOF\n${OPSBOOK_1}\nEOF"),
    ("cat <<< {{ a }}", 'cat <<< "${OPSBOOK_1}"'),
    ("x={{ a }}", 'x="${OPSBOOK_1}"'),
    ("export X={{ a }}", 'export X="${OPSBOOK_1}"'),
    ('echo "$(cat -- {{ a }})"', 'echo "$(cat -- "${OPSBOOK_1}")"'),
    ("[[ {{ a }} == {{ b }} ]]", '[[ "${OPSBOOK_1}" == "${OPSBOOK_2}" ]]'),
    ("[ {{ a }} -gt 5 ]", '[ "${OPSBOOK_1}" -gt 5 ]'),
    ("case {{ a }} in {{ b }}) ls;; esac", 'case "${OPSBOOK_1}" in "${OPSBOOK_2}") ls;; esac'),
    ("for i in {{ a }}; do echo; done", 'for i in "${OPSBOOK_1}"; do echo; done'),
    ("echo > {{ a }}", 'echo > "${OPSBOOK_1}"'),
    ("echo $(( {{ n }} * 2 ))", "echo $(( ${OPSBOOK_1} * 2 ))"),
    ("# {{ a }}\nls", "# ${OPSBOOK_1}\nls"),
    ("bash -c 'echo \"$1\"' _ {{ a }}", 'bash -c \'echo "$1"\' _ "${OPSBOOK_1}"'),
    ("jq --arg x {{ a }} '.[$x]' f", "jq --arg x \"${OPSBOOK_1}\" '.[$x]' f"),
    ("docker inspect -f '{{ '{{' }}.Id}}' x", "docker inspect -f '{{.Id}}' x"),
    ("f() { echo {{ a }}; }; f", 'f() { echo "${OPSBOOK_1}"; }; f'),
    ("echo {{ a }} {{ b }} {{ a }}", 'echo "${OPSBOOK_1}" "${OPSBOOK_2}" "${OPSBOOK_1}"'),
    ("psql -v x={{ a }} -f f.sql", 'psql -v x="${OPSBOOK_1}" -f f.sql'),
]


@pytest.mark.parametrize(("script", "program"), SCRIPTS)
def test_it_puts_a_quoted_reference_in_the_place_of_a_value(script: str, program: str) -> None:
    found, mistakes = compile_script(script, frozenset({"n"}))
    assert not mistakes
    assert found is not None and found.program == program


READ_AGAIN = [
    "eval {{ a }}",
    'eval "echo {{ a }}"',
    'bash -c "echo {{ a }}"',
    "sh -c 'echo {{ a }}'",
    "sudo -u x sh -c 'echo {{ a }}'",
    'docker exec box sh -c "ls {{ a }}"',
    "find . -exec sh -c 'cat {{ a }}' \\;",
    "ssh host {{ a }}",
    "ssh {{ a }}",
    "bash {{ a }}",
    "source {{ a }}",
    "trap {{ a }} EXIT",
    "{{ a }} now",
    "sudo {{ a }}",
    "timeout 5 {{ a }}",
    "echo {{ a }} | bash",
    "echo {{ a }} | sudo sh",
    "echo {{ a }} | psql",
    "bash <<EOF\n{{ a }}\nEOF",
    "cat <<EOF | psql\n{{ a }}\nEOF",
    "bash <<< {{ a }}",
    "psql -c \"SELECT '{{ a }}'\"",
    "python3 -c 'print({{ a }})'",
    "awk '{{ a }}' f",
    "sed s/a/{{ a }}/ f",
    "cat <<'EOF'\n{{ a }}\nEOF",
    "echo $(( {{ a }} ))",
    "(( {{ a }} > 1 ))",
    "[[ {{ a }} -eq 1 ]]",
    '[[ "{{ a }}" -eq 1 ]]',
    "[[ -v {{ a }} ]]",
    "echo ${x[{{ a }}]}",
    "x[{{ a }}]=1",
    "echo ${x:{{ a }}}",
    "declare -i x={{ a }}",
    "let {{ a }}",
    "export {{ a }}",
    "unset {{ a }}",
    "read {{ a }}",
    "printf {{ a }}",
    "PATH={{ a }} ls",
    "echo `cat {{ a }}`",
    "echo $'{{ a }}'",
    "$TOOL {{ a }}",
    "bash -c $CODE x {{ a }}",
    "timeout $SECONDS_LEFT 5 {{ a }}",
    "{read,SECONDS} {{ a }}",
    "\\declare -i x={{ a }}",
    "command declare -a x={{ a }}",
    "declare -i x; x={{ a }}",
    "SECONDS={{ a }}",
    "read SECONDS <<< {{ a }}",
    "echo $[{{ a }}]",
    "x={{ a }}; eval $x",
    'x={{ a }}; y="-$x"; eval "$y"',
    "x={{ a }}; echo $((x + 1))",
    "x={{ a }}; [[ $x -gt 1 ]]",
    "x={{ a }}; (( x++ ))",
    "x={{ a }}; let y=x",
    "x={{ a }}; echo ${!x}",
    "x={{ a }}; echo ${x@P}",
    "x={{ a }}; $x",
    "x=$(cat {{ a }}); eval $x",
    'f() { eval "$1"; }; f {{ a }}',
    'while read line; do eval "$line"; done < {{ a }}',
    "for i in {{ a }}; do eval $i; done",
    "x={{ a }}; for ((i = 0; i < x; i++)); do ls; done",
]


@pytest.mark.parametrize("script", READ_AGAIN)
def test_it_refuses_where_a_value_would_be_read_again(script: str) -> None:
    found, mistakes = compile_script(script)
    assert found is None and mistakes
    first = mistakes[0]
    assert script[first.offset : first.offset + first.length]
    assert first.message and first.hint


def test_it_points_at_the_value_also_behind_others_and_wide_characters() -> None:
    script = "echo {{ long_name_here }} äöü; eval {{ b }}"
    (mistake,) = compile_script(script)[1]
    assert script[mistake.offset : mistake.offset + mistake.length] == "{{ b }}"
    script = "x={{ long_name_here }}; echo äöü; eval $x"
    (mistake,) = compile_script(script)[1]
    assert script[mistake.offset : mistake.offset + mistake.length] == "$x"


def test_it_knows_which_words_a_command_could_take_for_options() -> None:
    for script, guarded in [
        ("rm {{ a }}", True),
        ('rm "{{ a }}"', True),
        ("rm -- {{ a }}", False),
        ("rm x{{ a }}", False),
        ("echo {{ a }}", False),
        ("tool --name={{ a }}", False),
        ("x={{ a }}", False),
    ]:
        found, _ = compile_script(script)
        assert found is not None
        assert bool(found.words) is guarded, script


def test_it_refuses_names_of_its_own_and_scripts_that_it_cannot_read() -> None:
    assert "is a name of opsbook's own" in compile_script("echo $OPSBOOK_1 {{ a }}")[1][0].message
    assert "cannot be read as bash" in compile_script("if {{ a }}; then\necho (\n")[1][0].message


def test_it_leaves_a_script_without_values_alone() -> None:
    script = "eval 'echo ${OPSBOOK_KEY}' | bash"
    found, mistakes = compile_script(script)
    assert found is not None and found.program == script and not mistakes
