"""Commands that read a word as code: shells, interpreters, clients of databases, and builtins that assign."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from opsbook.engine.mistakes import TextMistake
from opsbook.engine.shell_programs import (
    CLIENTS,
    CODE_OPTION_WITH_VALUE,
    CODE_OPTIONS,
    COMMAND_OPTIONS,
    DECLARES,
    INTERPRETERS,
    OPTIONS_WITH_WORD,
    PROGRAM_FIRST,
    READS_AGAIN,
    READS_ASSIGNED,
    SHELLS,
)
from opsbook.engine.shell_taint import Taint, Word
from opsbook.engine.shell_tree import Node

AS_ARGUMENT = "pass it as an argument that is not read again, as in: bash -c 'echo \"$1\"' _ {{ value }}"
_VALUE = re.compile(r"OpsbookValue\d+Here")


class Arguments(Taint):
    """What the words of a command are to it: code, a name, or data."""

    def _refuse(self, node: Node, message: str, hint: str) -> Iterator[TextMistake]:
        from opsbook.engine.mistakes import TextMistake

        marks = self.marked.mark_at(node)
        if marks:
            template = marks[0].template
            yield TextMistake(template.start, template.end - template.start, message, hint)
            return
        offset, length = self._as_written(node)
        yield TextMistake(offset, length, message.replace("a value ", "a variable that holds a value ", 1), hint)

    def _as_written(self, node: Node) -> tuple[int, int]:
        """Characters in the script as written of a node of the marked script."""
        offset = len(self.tree.data[: node.start_byte].decode("utf-8", "replace"))
        for mark in self.marked.marks:
            if mark.end <= node.start_byte:
                offset += (mark.template.end - mark.template.start) - (mark.end - mark.start)
        return offset, len(self.tree.text(node).partition("\n")[0])

    def _chooses(self, word: Word) -> bool:
        text = word.text
        return word.carries and (bool(_VALUE.match(text)) or text.startswith("$"))

    def _arguments(self, program: str, words: Sequence[Word]) -> Iterator[TextMistake]:
        if program in READS_AGAIN:
            for word in words:
                # `let` and bash's arithmetic take a bare name for the variable.
                named = program == "let" and self.tainted & set(re.findall(r"\w+", word.text))
                if word.carries or named:
                    yield from self._refuse(
                        word.node, f"a value cannot be an argument of `{program}`, which would read it again as code",
                        "use on=COMPONENT to run elsewhere; else " + AS_ARGUMENT,
                    )  # fmt: skip
        elif program in DECLARES:
            yield from self._declares(words)
        elif program == "printf" and words and words[0].carries:
            yield from self._refuse(
                words[0].node, "a value cannot be printf's format", "write printf '%s\\n' {{ value }}"
            )
        elif program == "printf" and len(words) > 1 and words[0].text == "-v" and words[1].carries:
            yield from self._refuse(words[1].node, "a value cannot name a variable", "write a fixed name")
        elif program in ("test", "[") and any(word.text in ("-v", "-R") for word in words):
            for word in words:
                if word.carries:
                    yield from self._refuse(word.node, "a value cannot name a variable", "write a fixed name")

    def _declares(self, words: Sequence[Word]) -> Iterator[TextMistake]:
        """`\\declare` and `command declare`, which the grammar takes for any command."""
        options = "".join(word.text for word in words if word.text.startswith(("-", "+")))
        for word in words:
            if word.carries and (not re.match(r"\w+\+?=", word.text) or READS_ASSIGNED & set(options)):
                yield from self._refuse(
                    word.node, "a value cannot be declared with -i, -n or -a, or name a variable",
                    "write NAME={{ value }} alone",
                )  # fmt: skip

    def _anywhere(self, words: Sequence[Word]) -> Iterator[TextMistake]:
        """Programs that take code, wherever in a command: after sudo, docker exec, kubectl exec --, xargs …"""
        for at, word in enumerate(words):
            if word.carries:
                continue
            rest = words[at + 1 :]
            if word.program in CLIENTS:
                yield from self._client(word.program, rest)
            elif word.program in SHELLS | INTERPRETERS or re.fullmatch(r"python3\.\d+", word.program):
                yield from self._interpreter(word.program, rest)
            elif word.program in PROGRAM_FIRST:
                yield from self._program_first(word.program, rest)
            elif word.program in COMMAND_OPTIONS:
                yield from self._option_values(word.program, rest, COMMAND_OPTIONS[word.program])
            elif at and word.program in READS_AGAIN - {".", "read", "let", "at", "source", "watch", "enable", "make"}:
                yield from self._arguments(word.program, rest)

    def _interpreter(self, program: str, words: Sequence[Word]) -> Iterator[TextMistake]:
        """Shells and interpreters: the code after -c or -e, or the script that they run."""
        at, code = 0, False
        while at < len(words):
            word = words[at]
            following = words[at + 1] if at + 1 < len(words) else None
            if not word.text.startswith(("-", "+")) or word.text == "-":
                if word.carries and (code or self._chooses(word)):
                    yield from self._code(word, program)
                return
            if word.carries:
                yield from self._code(word, program)
            if program in SHELLS and re.fullmatch(r"-[a-z]*s[a-z]*", word.text):
                return  # the code is its input, and all words are data
            if CODE_OPTIONS.fullmatch(word.text):
                code = True
            if word.text in OPTIONS_WITH_WORD or (code and program in INTERPRETERS):
                at += 1
                if following is not None and following.carries:
                    yield from self._code(following, program)
                if code and program in INTERPRETERS:
                    return
            at += 1

    def _client(self, program: str, words: Sequence[Word]) -> Iterator[TextMistake]:
        """Clients of databases: the statement after -c or -e, or the file of statements."""
        for at, word in enumerate(words):
            attached = CODE_OPTION_WITH_VALUE.match(word.text) or word.text[:2] in ("-c", "-e", "-f")
            if attached and word.carries:
                yield from self._code(word, program)
            if CODE_OPTIONS.fullmatch(word.text) or word.text in ("-f", "--file"):
                yield from (
                    m
                    for following in words[at + 1 : at + 2]
                    if following.carries
                    for m in self._code(following, program)
                )

    def _code(self, word: Word, program: str) -> Iterator[TextMistake]:
        hint = AS_ARGUMENT
        if program in CLIENTS:
            hint = "use a sql fence, where values are bound"
        yield from self._refuse(word.node, f"a value cannot be in the code that `{program}` runs", hint)

    def _program_first(self, program: str, words: Sequence[Word]) -> Iterator[TextMistake]:
        valued, at = PROGRAM_FIRST[program], 0
        scripts = ("-e", "--expression")
        given = False
        while at < len(words):
            word = words[at]
            if word.text in scripts or word.text.startswith("--expression=") or re.match(r"-[nErsz]*e", word.text):
                given = True
                for code in words[at : at + 2]:
                    if code.carries:
                        yield from self._program_value(code, program)
                at += 2
            elif word.text in valued:
                at += 3 if word.text.startswith("--") and program == "jq" and word.text != "--indent" else 2
                given = given or word.text == "-f"
            elif word.text.startswith("-") and not word.carries:
                at += 1
            else:
                if word.carries and (not given or program == "expr"):
                    yield from self._program_value(word, program)
                return

    def _program_value(self, word: Word, program: str) -> Iterator[TextMistake]:
        ways = {
            "jq": "hand it in: jq --arg name {{ value }} '… $name …'",
            "sed": "use another tool: sed runs commands of its own, also of the shell",
        }
        hint = ways.get(program, "hand it in by the environment: NAME={{ value }} awk '… ENVIRON[\"NAME\"] …'")
        yield from self._refuse(word.node, f"a value cannot be in the program of `{program}`", hint)

    def _option_values(self, program: str, words: Sequence[Word], options: Sequence[str]) -> Iterator[TextMistake]:
        for at, word in enumerate(words):
            if word.text in options and at + 1 < len(words) and words[at + 1].carries:
                yield from self._refuse(
                    words[at + 1].node, f"a value cannot be the command of `{program} {word.text}`", AS_ARGUMENT
                )
            elif word.carries and any(
                word.text.startswith(f"{option}=") for option in options if option.startswith("--")
            ):
                yield from self._refuse(word.node, f"a value cannot be a command of `{program}`", AS_ARGUMENT)
