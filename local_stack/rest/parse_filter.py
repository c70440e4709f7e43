"""Grammar of filters and of ``and``/``or`` trees."""

import re
from collections.abc import Callable

from local_stack.rest.errors import RequestError
from local_stack.rest.remembered import remembered
from local_stack.rest.scanner import ParseError, Scanner
from local_stack.rest.syntax import (
    Condition,
    Conjunction,
    EmbedPath,
    Field,
    Filter,
    Logic,
    LogicNode,
    Quantifier,
)

MAX_DEPTH = 30
_QUANTIFIED = re.compile(r"(eq|gte|gt|lte|lt|like|ilike|match|imatch)(?:\((any|all)\))?\.")
_SIMPLE = re.compile(r"(neq|cs|cd|ov|sl|sr|nxr|nxl|adj|isdistinct)\.")
_FTS = re.compile(r"(fts|plfts|phfts|wfts)(?:\(([\w $]+)\))?\.")
_IS_VALUES = ("not_null", "null", "unknown", "true", "false")
_QUANTIFIERS: dict[str | None, Quantifier | None] = {None: None, "any": "any", "all": "all"}
_EXPECTED = '"not" or operator (eq, gt, ...)'


def parse_filter(key: str, text: str) -> tuple[EmbedPath, Filter]:
    """Parse one ``column=operator.value`` parameter.

    Raises:
        RequestError: PGRST100 for bad grammar.
    """
    path, field = parse_tree_path(key)
    scanner = Scanner(text)
    try:
        condition = _condition(scanner, _rest)
    except ParseError as error:
        raise error.refusal(f"failed to parse filter ({text})") from error
    return path, Filter(field, condition)


def has_condition(text: str) -> bool:
    """Tell whether a value reads as a filter; on ``GET /rpc`` others are arguments."""
    try:
        _condition(Scanner(text), _rest)
    except ParseError:
        return False
    return True


@remembered
def parse_tree_path(key: str) -> tuple[EmbedPath, Field]:
    """Split ``relation.column->json`` into the embed path and the field.

    Raises:
        RequestError: PGRST100 for bad grammar.
    """
    scanner = Scanner(key)
    try:
        names = [scanner.field_name()]
        while scanner.accept("."):
            names.append(scanner.field_name())
        field = Field(names[-1], scanner.json_path())
        if not scanner.at_end:
            raise scanner.failure('letter, digit, "-", "->>", "->", delimiter (.) or end of input')
    except ParseError as error:
        raise error.refusal(f"failed to parse tree path ({key})") from error
    return tuple(names[:-1]), field


def parse_logic(key: str, text: str) -> tuple[EmbedPath, Logic]:
    """Parse ``and=(…)``, ``or=(…)``, ``not.or=(…)`` and their embedded forms.

    Raises:
        RequestError: PGRST100 for bad grammar or too deep nesting.
    """
    path, field = parse_tree_path(key)
    prefix = f"{'not.' if 'not' in path else ''}{field.name}"
    scanner = Scanner(prefix + text)
    try:
        node = _logic(scanner, 0)
        if not scanner.at_end:
            raise scanner.failure("end of input")
    except ParseError as error:
        raise error.refusal(f"failed to parse logic tree ({text})", len(prefix)) from error
    return tuple(name for name in path if name != "not"), node


def _rest(scanner: Scanner) -> str:
    value = scanner.text[scanner.position :]
    scanner.position = len(scanner.text)
    return value


def _condition(scanner: Scanner, value: Callable[[Scanner], str]) -> Condition:
    negated = scanner.accept("not.")
    if scanner.accept("in."):
        return Condition("in", _list(scanner), negated)
    if scanner.accept("is."):
        return Condition("is", (_is_value(scanner),), negated)
    found = scanner.match(_QUANTIFIED)
    if found:
        return Condition(found[1], (value(scanner),), negated, _QUANTIFIERS[found[2]])
    found = scanner.match(_SIMPLE)
    if found:
        return Condition(found[1], (value(scanner),), negated)
    found = scanner.match(_FTS)
    if found:
        language = found[2].strip() if found[2] else None
        return Condition(found[1], (value(scanner),), negated, language=language)
    raise scanner.failure(_EXPECTED)


def _is_value(scanner: Scanner) -> str:
    rest = scanner.text[scanner.position :].lower()
    for word in _IS_VALUES:
        following = rest[len(word) : len(word) + 1]
        if rest.startswith(word) and following in ("", ",", ")"):
            scanner.position += len(word)
            return word
    raise scanner.failure("isVal: (null, not_null, true, false, unknown)")


def _list(scanner: Scanner) -> tuple[str, ...]:
    scanner.skip_spaces()
    scanner.expect("(")
    scanner.skip_spaces()
    values = [_element(scanner)]
    while scanner.accept(","):
        values.append(_element(scanner))
    if not scanner.accept(")"):
        raise scanner.failure('"," or ")"')
    scanner.skip_spaces()
    return tuple(values)


def _element(scanner: Scanner) -> str:
    """Read up to a comma or a closing parenthesis, unless quoted."""
    start = scanner.position
    if scanner.peek() == '"':
        try:
            value = scanner.quoted()
        except ParseError:
            scanner.position = start
        else:
            if scanner.at_end or scanner.peek() in ",)":
                return value
            scanner.position = start
    end = start
    while end < len(scanner.text) and scanner.text[end] not in ",)":
        end += 1
    scanner.position = end
    return scanner.text[start:end]


def _logic_value(scanner: Scanner) -> str:
    start = scanner.position
    if scanner.peek() == "{":
        end = scanner.text.find("}", start)
        body = scanner.text[start + 1 : end]
        if end >= 0 and "{" not in body:
            scanner.position = end + 1
            return scanner.text[start : end + 1]
    return _element(scanner)


def _logic(scanner: Scanner, depth: int) -> Logic:
    if depth > MAX_DEPTH:
        raise RequestError(
            "PGRST100",
            "failed to parse logic tree",
            details=f"conditions are nested more than {MAX_DEPTH} deep",
        )
    negated = scanner.accept("not.")
    conjunction: Conjunction
    if scanner.accept("and"):
        conjunction = "and"
    elif scanner.accept("or"):
        conjunction = "or"
    else:
        raise scanner.failure("logic operator (and, or)")
    scanner.skip_spaces()
    scanner.expect("(")
    scanner.skip_spaces()
    nodes = [_node(scanner, depth)]
    scanner.skip_spaces()
    while scanner.accept(","):
        scanner.skip_spaces()
        nodes.append(_node(scanner, depth))
        scanner.skip_spaces()
    if not scanner.accept(")"):
        raise scanner.failure('"," or ")"')
    scanner.skip_spaces()
    return Logic(conjunction, tuple(nodes), negated)


def _node(scanner: Scanner, depth: int) -> LogicNode:
    start = scanner.position
    try:
        field = Field(scanner.field_name(), scanner.json_path())
        scanner.expect(".")
        return Filter(field, _condition(scanner, _logic_value))
    except ParseError as failed:
        furthest = failed
    scanner.position = start
    try:
        return _logic(scanner, depth + 1)
    except ParseError as failed:
        raise max(failed, furthest, key=lambda error: error.position) from failed
