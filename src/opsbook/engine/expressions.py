"""Expressions and templates of procedures: Jinja's expression language in a sandbox, without loops and statements.

The text of an expression is the author's; the values that it works on are anybody's and only ever data. Size and work
are bounded, and only harmless filters and methods exist.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, TemplateSyntaxError, Undefined, UndefinedError, nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment

from opsbook.book.units import Dimension, parse_quantity
from opsbook.book.words import nearest
from opsbook.errors import UsageError

LONGEST_EXPRESSION = 2_000
"""Characters; a condition that is longer belongs into an operation."""
LARGEST_VALUE = 10_000_000
"""Characters or elements that an expression may yield."""
LARGEST_NUMBER_BITS = 1024

FILTERS = (
    "abs", "count", "default", "first", "float", "int", "join", "last", "length", "list", "lower", "map", "max", "min",
    "reject", "rejectattr", "round", "select", "selectattr", "sort", "string", "sum", "trim", "unique", "upper",
)  # fmt: skip
"""Jinja's filters that neither grow a value without bound nor reach out of it."""
METHODS: dict[type, tuple[str, ...]] = {
    str: ("startswith", "endswith", "lower", "upper", "strip", "split", "splitlines"),
    dict: ("get", "keys", "values", "items"),
    list: (),
}


class ExpressionError(UsageError):
    """An expression that cannot be read, or that has no value now."""


class NotThere(ExpressionError):
    """The expression reads a name that has no value (yet)."""


class Secret:
    """The value of a secret parameter: only its reference is known, and only an executor takes the value.

    It can be handed on as a whole and nothing else: text that is made of it would carry the reference, not the secret.
    """

    __slots__ = ("reference",)

    def __init__(self, reference: str) -> None:
        self.reference = reference

    def __str__(self) -> str:
        raise ExpressionError("a secret cannot be part of a text", "write {{ name }} alone, as a whole value")

    def __repr__(self) -> str:
        return f"Secret({self.reference!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reference == self.reference

    def __hash__(self) -> int:
        return hash(self.reference)


@dataclass(frozen=True)
class Identifier:
    """A name of the database: what the filter `ident` makes, for `sql` alone."""

    parts: tuple[str, ...]

    def __str__(self) -> str:
        raise ExpressionError("`ident` is for sql fences", "remove `| ident`")


def evaluate(text: str, names: Mapping[str, Any]) -> Any:
    """The value of an expression. Raises NotThere for a name without a value and ExpressionError for all else."""
    compiled = _compiled(text)
    try:
        value = compiled(**_plain_names(names))
    except UndefinedError as error:
        raise _not_there(text, str(error), names) from error
    except SecurityError as error:
        raise ExpressionError(f"{text!r}: {error}", "only plain values can be read and compared") from error
    except ExpressionError:
        raise
    except RecursionError as error:
        raise ExpressionError(f"{text!r} is nested too deeply", "make it shorter") from error
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, MemoryError) as error:
        raise ExpressionError(f"{text!r} has no value: {error}", "check the types of what it compares") from error
    if isinstance(value, Undefined):
        raise _not_there(text, f"{value._undefined_name or text!r} is undefined", names)
    return _bounded(text, value)


def holds(text: str, names: Mapping[str, Any]) -> bool:
    """Whether a condition is true. An empty one is."""
    return bool(evaluate(text, names)) if text.strip() else True


def check_expression(text: str) -> None:
    """Raises ExpressionError where the text is no expression or uses a filter that there is not."""
    _compiled(text)


def names_of(text: str) -> frozenset[str]:
    """The outermost names that an expression reads."""
    return frozenset(name.name for name in _tree(text).find_all(nodes.Name))


def saved_of(text: str, saved: Collection[str]) -> frozenset[str]:
    """The saved results that an expression reads, as `saved.name` or by their bare name."""
    found = {name for name in names_of(text) if name in saved}
    if "saved" in names_of(text):
        inner = {path[0] for path in paths_below(text, "saved") if path}
        found |= inner or set(saved)
    return frozenset(found)


def paths_below(text: str, name: str) -> frozenset[tuple[str, ...]]:
    """What is read below a name: `facts.postgres.lag > 3` reads ("postgres", "lag") below `facts`."""
    found = set()
    for node in _tree(text).find_all((nodes.Getattr, nodes.Getitem)):
        if path := _path(node, name):
            found.add(path)
    return frozenset(path for path in found if not any(other != path and other[: len(path)] == path for other in found))


def constant_of(expression: str) -> str | None:
    """The text that a bare quoted text is; None for every other expression."""
    if not expression.startswith(("'", '"')):
        return None
    try:
        body = _tree(expression)
    except ExpressionError:
        return None
    inner = body.find(nodes.Const)
    outermost = body.body[0]
    if isinstance(outermost, nodes.ExprStmt) and outermost.node is inner and isinstance(inner, nodes.Const):
        return inner.value if isinstance(inner.value, str) else None
    return None


@lru_cache(maxsize=2048)
def _tree(text: str) -> nodes.Template:
    if len(text) > LONGEST_EXPRESSION:
        raise ExpressionError(f"an expression of {len(text)} characters", f"at most {LONGEST_EXPRESSION} are read")
    if not text.strip():
        raise ExpressionError("an expression is missing", "write a name or a condition")
    try:
        return _parse(text)
    except TemplateSyntaxError as error:
        raise _unreadable(text, error) from error
    except RecursionError as error:
        raise ExpressionError("an expression that is nested too deeply", "make it shorter") from error


def _parse(text: str) -> nodes.Template:
    """As `compile_expression` does: the whole text must be one expression."""
    from jinja2.parser import Parser

    parser = Parser(ENVIRONMENT, text, state="variable")
    node = parser.parse_expression()
    if not parser.stream.eos:
        raise TemplateSyntaxError(f"{str(parser.stream.current)!r} does not belong here", parser.stream.current.lineno)
    return nodes.Template([nodes.ExprStmt(node, lineno=1)], lineno=1)


@lru_cache(maxsize=2048)
def _compiled(text: str) -> Callable[..., Any]:
    _tree(text)
    try:
        return ENVIRONMENT.compile_expression(text, undefined_to_none=False)
    except TemplateSyntaxError as error:
        raise _unreadable(text, error) from error
    except RecursionError as error:
        raise ExpressionError("an expression that is nested too deeply", "make it shorter") from error


def _unreadable(text: str, error: TemplateSyntaxError) -> ExpressionError:
    message = (error.message or "it cannot be read").rstrip(".")
    message = message[:1].lower() + message[1:]
    if message.startswith("no filter named"):
        return ExpressionError(f"there is no filter named {message.split()[3]}", _near_filter(message.split()[3]))
    if message.startswith("no test named"):
        return ExpressionError(f"there is no test named {message.split()[3]}", "write a comparison such as `== 0`")
    hint = "write {{ name }} or a condition such as `rows | length == 0`"
    if text.lstrip().startswith((".", "range", "if", "end", "json", "-")):
        hint = "where {{ is meant as text (a Go template), write {{ '{{' }} for it"
    return ExpressionError(f"{text!r} is not an expression: {message}", hint)


def _near_filter(word: str) -> str:
    return nearest(word.strip("'"), ENVIRONMENT.filters)


def _not_there(text: str, message: str, names: Mapping[str, Any]) -> NotThere:
    word = message.split("'")[1] if message.count("'") >= 2 else ""
    known = sorted(names)
    hint = nearest(word, known) if word and word not in names else "look at what the step before saved"
    return NotThere(f"{text!r} has no value: {message}", hint)


def _path(node: nodes.Expr, name: str) -> tuple[str, ...]:
    parts: list[str] = []
    current: nodes.Expr = node
    while True:
        if isinstance(current, nodes.Getattr):
            parts.append(current.attr)
            current = current.node
        elif isinstance(current, nodes.Getitem):
            if not isinstance(current.arg, nodes.Const) or not isinstance(current.arg.value, str):
                parts.clear()  # an index: what is above it is a value already
            else:
                parts.append(current.arg.value)
            current = current.node
        else:
            break
    return tuple(reversed(parts)) if isinstance(current, nodes.Name) and current.name == name else ()


def _plain_names(names: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in names.items()}


def _bounded(text: str, value: Any) -> Any:
    if isinstance(value, str | list | tuple | dict) and len(value) > LARGEST_VALUE:
        raise ExpressionError("an expression yields too much", f"at most {LARGEST_VALUE:,} characters or elements")
    if isinstance(value, str | int | float | list | dict | Secret | Identifier | None):
        return value
    if callable(value) or not hasattr(value, "__iter__"):
        raise ExpressionError(f"{text!r} yields no plain value", "call it, as in `name.items()`")
    return [_bounded(text, one) for one in value]  # filters such as map and select are lazy


class _Sandbox(SandboxedEnvironment):
    """Plain data only: the items of mappings, a few methods, bounded arithmetic."""

    intercepted_binops = frozenset({"*", "**", "%", "+"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        for kind, methods in METHODS.items():
            if isinstance(obj, kind) and attribute in methods:
                return getattr(obj, attribute)
        if isinstance(obj, Undefined):
            return super().getattr(obj, attribute)
        return self.undefined(obj=obj, name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        try:
            return obj[argument]
        except (LookupError, TypeError, AttributeError):
            return self.undefined(obj=obj, name=argument)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return not attr.startswith("_") and super().is_safe_attribute(obj, attr, value)

    def is_safe_callable(self, obj: Any) -> bool:
        owner, name = getattr(obj, "__self__", None), getattr(obj, "__name__", "")
        return any(isinstance(owner, kind) and name in methods for kind, methods in METHODS.items())

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "%" and isinstance(left, str):
            raise SecurityError("text is not formatted with %")
        if operator == "**" and not (_small(left, 64) and _small(right, 8)):
            raise SecurityError("the power is too large")
        if operator == "*":
            for one, other in ((left, right), (right, left)):
                if isinstance(one, str | list | tuple) and isinstance(other, int) and len(one) * other > LARGEST_VALUE:
                    raise SecurityError("the product is too large")
        result = super().call_binop(context, operator, left, right)
        if isinstance(result, int) and result.bit_length() > LARGEST_NUMBER_BITS:
            raise SecurityError("the number is too large")
        return result


def _small(value: Any, bits: int) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and value.bit_length() <= bits)


def _quantity(dimension: Dimension, word: str) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        quantity = parse_quantity(str(value))
        if quantity.dimension is not dimension:
            raise ExpressionError(f"{value!r} is a {quantity.dimension}", f"`{word}` reads a {dimension}")
        return quantity.value

    return read


def _identifier(value: Any) -> Identifier:
    parts = tuple(value) if isinstance(value, list | tuple) else (value,)
    for part in parts:
        if not isinstance(part, str) or not part or "\0" in part:
            raise ExpressionError(f"{part!r} is no name of the database", "give `ident` a text, or a list of texts")
        if len(part.encode()) > 63:
            # PostgreSQL would cut it, and so name something else.
            raise ExpressionError("a name of the database has at most 63 bytes", "give the name of one that exists")
    return Identifier(parts)


def _environment() -> _Sandbox:
    environment = _Sandbox(undefined=StrictUndefined, autoescape=False, cache_size=0)
    environment.globals.clear()
    environment.filters = {
        **{name: environment.filters[name] for name in FILTERS},
        "seconds": _quantity(Dimension.DURATION, "seconds"),
        "bytes": _quantity(Dimension.SIZE, "bytes"),
        "fraction": _quantity(Dimension.RATIO, "fraction"),
        "ident": _identifier,
    }
    return environment


ENVIRONMENT = _environment()
