"""What the commands of a block carry: the comments above them, the programs inside them, the languages inside those."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from opsbook.manual.embedded import fed_by, with_embedded
from opsbook.manual.shell_model import Command
from opsbook.manual.shell_tree import Source, parse
from opsbook.manual.shell_walk import walk
from opsbook.manual.wrappers import Inner, inner_program

# Programs within programs: real ones are three deep.
_NESTING = 6
# A comment speaks of the commands right below it.
_FARTHEST_COMMENT = 40


def read_program(source: Source, variables: Mapping[str, str], depth: int = 0) -> list[Command]:
    """All simple commands of a parsed block, with comments, inner programs and embedded languages."""
    comments = _comments(source)
    found = [_finish(_commented(source, command, comments), known, depth) for command, known in walk(source, variables)]
    return _fed(found)


def _finish(command: Command, known: Mapping[str, str], depth: int) -> Command:
    """Add the programs a command carries, and their languages."""
    nested: tuple[Command, ...] = ()
    inner = inner_program(command) if depth < _NESTING else None
    if inner is not None:
        nested = _nested(command, inner, known, depth)
    return with_embedded(replace(command, nested=nested))


def _nested(command: Command, inner: Inner, known: Mapping[str, str], depth: int) -> tuple[Command, ...]:
    via, remote = (*command.via, inner.carrier), command.remote or inner.remote
    if inner.words:
        first, last = inner.words[0], inner.words[-1]
        child = Command(
            argv=inner.words,
            line=first.line,
            column=first.column,
            end_line=last.end_line,
            text=" ".join(word.raw for word in inner.words),
            heredoc=command.heredoc,
            pipeline=command.pipeline,
            position=command.position,
            length=command.length,
            before=command.before,
            after=command.after,
            within=command.within,
            comment=command.comment,
            comment_line=command.comment_line,
            via=via,
            remote=remote,
        )
        return (_finish(child, known, depth + 1),)
    if inner.script is None:
        return ()
    text, origin, quoted = inner.script
    source = parse(text, text, command.line, 1, origin)
    found = read_program(source, {} if quoted else known, depth + 1)
    comment = {"comment": command.comment, "comment_line": command.comment_line} if command.comment else {}
    return tuple(_carried(each, via, remote, comment) for each in found)


def _carried(command: Command, via: tuple[str, ...], remote: bool, comment: Mapping[str, Any]) -> Command:
    inner = tuple(_carried(each, via, remote, {}) for each in command.nested)
    extra: Mapping[str, Any] = {} if command.comment else comment
    return replace(command, via=(*via, *command.via), remote=remote or command.remote, nested=inner, **extra)


def _comments(source: Source) -> dict[int, tuple[str, bool]]:
    """Row → text of its comment, and whether it stands alone there."""
    found: dict[int, tuple[str, bool]] = {}
    stack = [source.root]
    while stack:
        node = stack.pop()
        if node.type == "comment":
            row, column = node.start_point[0], node.start_point[1]
            alone = row < len(source.rows) and not source.rows[row][:column].strip()
            found[row] = (re.sub(r"^#+!?\s?", "", source.raw(node)).rstrip(), alone)
        elif node.child_count:
            stack.extend(node.children)
    if 0 in found and source.raw(source.root).lstrip().startswith("#!"):
        del found[0]
    return found


def _commented(source: Source, command: Command, comments: Mapping[int, tuple[str, bool]]) -> Command:
    """Give a command the comment above it and the one behind it."""
    row = command.line - source.first_line if source.origin is None else -1
    if row < 0:
        return command
    behind = comments.get(command.end_line - source.first_line)
    trailing = behind[0] if behind and not behind[1] else ""
    above, seen_code, seen_blank = row - 1, False, False
    while above >= max(0, row - _FARTHEST_COMMENT) and not (above in comments and comments[above][1]):
        blank = above < len(source.rows) and not source.rows[above].strip()
        if seen_code if blank else seen_blank:
            return replace(command, trailing_comment=trailing)
        seen_code, seen_blank = seen_code or not blank, seen_blank or blank
        above -= 1
    gathered: list[str] = []
    bottom = above
    while above >= 0 and above in comments and comments[above][1]:
        gathered.insert(0, comments[above][0])
        above -= 1
    if not gathered:
        return replace(command, trailing_comment=trailing)
    return replace(
        command, trailing_comment=trailing, comment="\n".join(gathered), comment_line=source.first_line + bottom
    )


def _fed(found: Sequence[Command]) -> list[Command]:
    """What `echo … |` or `cat <<EOF |` feeds into a client belongs to that client's language."""
    done = list(found)
    for index in range(1, len(done)):
        before, command = done[index - 1], done[index]
        if command.position and before.pipeline == command.pipeline and before.position == command.position - 1:
            done[index] = fed_by(command, before)
    return done
