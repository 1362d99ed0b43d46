"""From the syntax tree of a block to its commands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from opsbook.manual.shell_model import Assignment, Command, Enclosure, Heredoc, Redirect, Word
from opsbook.manual.shell_redirects import REDIRECTS, raw_word, read_redirect
from opsbook.manual.shell_tree import Node, Source, point_of
from opsbook.manual.shell_words import assignment_of, word_of

# Real scripts nest a handful deep; a deeper tree is an attack on the reader's stack.
_DEEPEST = 60

_SEPARATORS = (";", "&", "\n", ";;")
_COMPOUND = {
    "function_definition": "function",
    "if_statement": "if",
    "elif_clause": "if",
    "else_clause": "if",
    "while_statement": "loop",
    "for_statement": "loop",
    "c_style_for_statement": "loop",
    "case_statement": "case",
    "case_item": "case",
    "subshell": "subshell",
    "compound_statement": "group",
    "command_substitution": "substitution",
    "process_substitution": "substitution",
}


@dataclass(frozen=True)
class _Place:
    """Where the walk stands: what encloses it and which operators join it to its neighbours."""

    within: tuple[Enclosure, ...] = ()
    before: str = ""
    after: str = ""
    pipeline: int = -1
    position: int = 0
    length: int = 1
    negated: bool = False


@dataclass
class _Walk:
    source: Source
    variables: dict[str, str]
    found: list[Command] = field(default_factory=list)
    snapshots: list[dict[str, str]] = field(default_factory=list)
    pipelines: int = 0


def walk(source: Source, variables: Mapping[str, str]) -> list[tuple[Command, dict[str, str]]]:
    """The simple commands of a parsed block in order, each with the variables known where it stands."""
    state = _Walk(source, dict(variables))
    _sequence(state, source.root.children, _Place(), 0)
    return list(zip(state.found, state.snapshots, strict=True))


def _sequence(walk: _Walk, nodes: Iterable[Node], place: _Place, level: int) -> None:
    """Statements one after another, with the separators between them."""
    statements = [node for node in nodes if node.type != "comment"]
    before = place.before
    for index, node in enumerate(statements):
        if not node.is_named:
            if node.type in _SEPARATORS:
                before = ";" if node.type == "\n" else node.type
            continue
        following = statements[index + 1].type if index + 1 < len(statements) else ""
        after = following if following in (";", "&") else (";" if following else place.after)
        _statement(walk, node, replace(place, before=before, after=after), level + 1)
        before = ";"


def _statement(walk: _Walk, node: Node, place: _Place, level: int) -> None:
    if level > _DEEPEST:
        return
    kind = node.type
    if kind == "command":
        _command(walk, node, place, level)
    elif kind in ("variable_assignment", "variable_assignments"):
        _assignments(walk, node, place, level)
    elif kind in ("declaration_command", "unset_command"):
        _declaration(walk, node, place, level)
    elif kind == "test_command":
        _emit(walk, node, (raw_word(walk.source, node),), (), (), None, place)
        _substitutions(walk, node, place, level)
    elif kind == "pipeline":
        _pipeline(walk, node, place, level)
    elif kind == "list":
        _list(walk, node, place, level)
    elif kind == "redirected_statement":
        _redirected(walk, node, place, level)
    elif kind == "negated_command":
        for child in node.named_children:
            _statement(walk, child, replace(place, negated=True), level + 1)
    elif kind in _COMPOUND:
        _compound(walk, node, place, level)
    elif kind in ("do_group", "ERROR", "program"):
        _sequence(walk, node.children, place, level)


def _compound(walk: _Walk, node: Node, place: _Place, level: int) -> None:
    kind, line = _COMPOUND[node.type], walk.source.place(point_of(node.start_point))[0]
    name_node = node.child_by_field_name("name")
    name = walk.source.raw(name_node) if kind == "function" and name_node else ""
    if node.type in ("for_statement",):
        variable = node.child_by_field_name("variable")
        if variable is not None:
            walk.variables.pop(walk.source.raw(variable), None)
    own = Enclosure(kind, name, line)
    body: list[Node] = []
    head: list[Node] = []
    conditional = node.type in ("if_statement", "elif_clause", "while_statement")
    split = "then" if node.type != "while_statement" else "do_group"
    for child in node.children:
        if conditional and not body and child.type != split:
            head.append(child)
        else:
            body.append(child)
    if conditional:
        inside = Enclosure("condition", "", line)
        _sequence(walk, head, _Place((*place.within, inside)), level)
    for child in node.children if node.type == "for_statement" else ():
        _substitutions(walk, child, place, level, only_if=child.type != "do_group")
    skipped = {name_node.id} if name_node is not None else set()
    _sequence(walk, [c for c in body if c.id not in skipped and c.type != "word"], _Place((*place.within, own)), level)


def _pipeline(walk: _Walk, node: Node, place: _Place, level: int) -> None:
    parts = [child for child in node.children if child.is_named and child.type != "comment"]
    walk.pipelines += 1
    number = walk.pipelines
    for index, part in enumerate(parts):
        before = place.before if index == 0 else "|"
        after = place.after if index == len(parts) - 1 else "|"
        inner = replace(place, before=before, after=after, pipeline=number, position=index, length=len(parts))
        _statement(walk, part, inner, level + 1)


def _list(walk: _Walk, node: Node, place: _Place, level: int) -> None:
    # a && b && c is a tree that leans to the left: unrolled here, so that a long chain is not deep.
    chain: list[tuple[str, Node]] = []
    while node.type == "list" and len(node.children) >= 3:
        chain.append((node.children[-2].type, node.children[-1]))
        node = node.children[0]
    chain.append(("", node))
    chain.reverse()
    for index, (operator, part) in enumerate(chain):
        after = chain[index + 1][0] if index + 1 < len(chain) else place.after
        _statement(walk, part, replace(place, before=operator or place.before, after=after), level + 1)


def _redirected(walk: _Walk, node: Node, place: _Place, level: int) -> None:
    body = node.child_by_field_name("body")
    start = len(walk.found)
    if body is not None:
        _statement(walk, body, place, level + 1)
    redirects = [child for child in node.children if child.type in REDIRECTS]
    attaches = body is not None and body.type in ("command", "pipeline", "list", "test_command", "variable_assignment")
    if body is None and redirects:
        _emit(walk, node, (), (), (), None, place)
        attaches = True
    for child in redirects:
        plain, heredoc, rest = read_redirect(walk.source, child, walk.variables)
        outer = [i for i in range(start, len(walk.found)) if not _in_substitution(walk.found[i], place)]
        if attaches and outer:
            at = outer[-1]
            command = walk.found[at]
            end = max(command.end_line, walk.source.place(point_of(child.end_point))[0])
            if child.type == "file_redirect":
                text = walk.source.slice(node.start_byte, child.end_byte)
                command = replace(command, end_line=end, text=text if command.position == 0 else command.text)
            walk.found[at] = replace(
                command,
                redirects=(*command.redirects, *plain),
                heredoc=heredoc or command.heredoc,
                end_line=command.end_line if heredoc else end,
            )
        _continued(walk, rest, outer, place, level)
        _substitutions(walk, child, place, level)


def _continued(walk: _Walk, rest: Sequence[Node], outer: Sequence[int], place: _Place, level: int) -> None:
    """What follows a here-document's mark on its line: `cat <<EOF | kubectl apply -f -`."""
    if not rest or not outer:
        return
    last = walk.found[outer[-1]]
    total = last.length + len(rest)
    for index in outer:
        if walk.found[index].pipeline == last.pipeline:
            walk.found[index] = replace(walk.found[index], length=total, after="|")
    for index, node in enumerate(rest):
        after = place.after if index == len(rest) - 1 else "|"
        position = last.position + index + 1
        inner = replace(place, before="|", after=after, pipeline=last.pipeline, position=position, length=total)
        _statement(walk, node, inner, level + 1)


def _in_substitution(command: Command, place: _Place) -> bool:
    return len(command.within) > len(place.within)


def _command(walk: _Walk, node: Node, place: _Place, level: int) -> None:
    source = walk.source
    argv: list[Word] = []
    assignments: list[Assignment] = []
    redirects: list[Redirect] = []
    heredoc: Heredoc | None = None
    split = _split_by_comment(walk, node, place)
    for child in node.children:
        if child.type == "variable_assignment":
            made = None if split else assignment_of(source, child, walk.variables, exported=False)
            assignments += [made] if made else []
        elif child.type in REDIRECTS:
            plain, here, _ = read_redirect(walk.source, child, walk.variables)
            redirects.extend(plain)
            heredoc = here or heredoc
        elif child.type != "comment" and child.start_byte < child.end_byte:
            argv.append(word_of(source, child, walk.variables))
    start = node.child_by_field_name("name") if split else None
    _emit(walk, node, tuple(argv), tuple(assignments), tuple(redirects), heredoc, place, start)
    if argv and argv[0].value in ("read", "mapfile", "readarray"):
        for word in argv[1:]:
            walk.variables.pop(word.text, None)
    _substitutions(walk, node, place, level)


def _split_by_comment(walk: _Walk, node: Node, place: _Place) -> bool:
    """Assignments on lines of their own before a comment, which the grammar takes for the command's own."""
    name = node.child_by_field_name("name")
    nodes = [child for child in node.children if child.type == "variable_assignment"]
    if name is None or not nodes or name.start_byte < nodes[-1].end_byte:
        return False
    between = walk.source.slice(nodes[-1].end_byte, name.start_byte)
    if "\n" not in between.replace("\\\n", ""):
        return False
    made = []
    for each in nodes:
        assignment = assignment_of(walk.source, each, walk.variables, exported=False)
        if assignment:
            made.append(assignment)
            _remember(walk, assignment, place)
    _emit(walk, nodes[0], (), tuple(made), (), None, replace(place, after=";", pipeline=-1, position=0, length=1))
    return True


def _assignments(walk: _Walk, node: Node, place: _Place, level: int) -> None:
    nodes = [node] if node.type == "variable_assignment" else node.named_children
    made = []
    for each in nodes:
        if each.type == "variable_assignment":
            assignment = assignment_of(walk.source, each, walk.variables, exported=False)
            if assignment:
                made.append(assignment)
                _remember(walk, assignment, place)
    _emit(walk, node, (), tuple(made), (), None, place)
    _substitutions(walk, node, place, level)


def _declaration(walk: _Walk, node: Node, place: _Place, level: int) -> None:
    argv: list[Word] = []
    made: list[Assignment] = []
    for child in node.children:
        if child.type == "variable_assignment":
            assignment = assignment_of(walk.source, child, walk.variables, exported=True)
            if assignment:
                made.append(assignment)
                _remember(walk, assignment, place)
        elif child.type != "comment":
            argv.append(word_of(walk.source, child, walk.variables))
    if node.type == "unset_command":
        for word in argv[1:]:
            walk.variables.pop(word.text, None)
    _emit(walk, node, tuple(argv), tuple(made), (), None, place)
    _substitutions(walk, node, place, level)


def _remember(walk: _Walk, assignment: Assignment, place: _Place) -> None:
    """Keep a static value; what is set under a condition, in a loop or a function may not have happened."""
    static = assignment.value.value
    if static is None or assignment.operator != "=" or any(each.kind != "group" for each in place.within):
        walk.variables.pop(assignment.name, None)
    else:
        walk.variables[assignment.name] = static


def _substitutions(walk: _Walk, node: Node, place: _Place, level: int, only_if: bool = True) -> None:
    """The commands inside $(…), `…` and <(…) of a node."""
    if not only_if:
        return
    stack = list(reversed(node.children))
    while stack:
        child = stack.pop()
        if child.type in ("command_substitution", "process_substitution"):
            line = walk.source.place(point_of(child.start_point))[0]
            inside = _Place((*place.within, Enclosure("substitution", "", line)))
            if level < _DEEPEST:
                _sequence(walk, child.children, inside, level + 1)
        else:
            stack.extend(reversed(child.children))


def _emit(
    walk: _Walk,
    node: Node,
    argv: tuple[Word, ...],
    assignments: tuple[Assignment, ...],
    redirects: tuple[Redirect, ...],
    heredoc: Heredoc | None,
    place: _Place,
    start: Node | None = None,
) -> None:
    pipeline = place.pipeline
    if pipeline < 0:
        walk.pipelines += 1
        pipeline = walk.pipelines
    line, column = walk.source.place(point_of((start or node).start_point))
    text = walk.source.slice((start or node).start_byte, node.end_byte).rstrip()
    walk.found.append(
        Command(
            argv=argv,
            line=line,
            column=column,
            end_line=walk.source.place(point_of(node.end_point))[0],
            text=text,
            assignments=assignments,
            redirects=redirects,
            heredoc=heredoc,
            pipeline=pipeline,
            position=place.position,
            length=place.length,
            before=place.before,
            after=place.after,
            background=place.after == "&",
            negated=place.negated,
            within=place.within,
        )
    )
    walk.snapshots.append(dict(walk.variables))
