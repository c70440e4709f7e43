"""Grammar of ``select``, ``columns`` and ``on_conflict``."""

from local_stack.rest.errors import RequestError
from local_stack.rest.remembered import remembered
from local_stack.rest.scanner import ParseError, Scanner
from local_stack.rest.syntax import Field, SelectEmbed, SelectField, SelectItem

MAX_DEPTH = 20
_AGGREGATES = ("count", "sum", "avg", "max", "min")


@remembered
def parse_select(text: str) -> tuple[SelectItem, ...]:
    """Parse a ``select`` parameter into its tree.

    Raises:
        RequestError: PGRST100 for bad grammar, PGRST123 for aggregates.
    """
    scanner = Scanner(text)
    try:
        items = _items(scanner, 0)
        if not scanner.at_end:
            raise scanner.failure('letter, digit, "-", "->>", "->", "::", "," or end of input')
    except ParseError as error:
        raise error.refusal(f"failed to parse select parameter ({text})") from error
    return items


def parse_columns(text: str, parameter: str) -> tuple[str, ...]:
    """Parse a comma-separated list of column names.

    Raises:
        RequestError: PGRST100 for bad grammar.
    """
    scanner = Scanner(text)
    try:
        names = [scanner.field_name()]
        scanner.skip_spaces()
        while scanner.accept(","):
            scanner.skip_spaces()
            names.append(scanner.field_name())
            scanner.skip_spaces()
        if not scanner.at_end:
            raise scanner.failure('"," or end of input')
    except ParseError as error:
        raise error.refusal(f"failed to parse {parameter} parameter ({text})") from error
    return tuple(names)


def _items(scanner: Scanner, depth: int) -> tuple[SelectItem, ...]:
    if depth > MAX_DEPTH:
        raise RequestError(
            "PGRST100",
            "failed to parse select parameter",
            details=f"embedded resources are nested more than {MAX_DEPTH} deep",
        )
    scanner.skip_spaces()
    if scanner.at_end or scanner.peek() == ")":
        return ()
    items = [_item(scanner, depth)]
    scanner.skip_spaces()
    while scanner.accept(","):
        scanner.skip_spaces()
        items.append(_item(scanner, depth))
        scanner.skip_spaces()
    return tuple(items)


def _item(scanner: Scanner, depth: int) -> SelectItem:
    if scanner.accept("..."):
        # Without an alias: there is no object that could have one.
        return _embed(scanner, scanner.field_name(), None, depth, spread=True)
    if scanner.accept("*"):
        return SelectField(Field("*"))
    start = scanner.position
    alias = _alias(scanner)
    name_start = scanner.position
    name = scanner.field_name()
    if _begins_embed(scanner, name):
        return _embed(scanner, name, alias, depth)
    scanner.position = name_start
    return _field(scanner, alias, start)


def _alias(scanner: Scanner) -> str | None:
    start = scanner.position
    try:
        name = scanner.field_name()
    except ParseError:
        scanner.position = start
        return None
    if scanner.starts(":") and not scanner.starts("::"):
        scanner.position += 1
        return name
    scanner.position = start
    return None


def _begins_embed(scanner: Scanner, name: str) -> bool:
    """Tell an embedded relation from a column, which neither of the two may follow."""
    return scanner.peek() in ("!", "(") and name != "count"


def _embed(
    scanner: Scanner, name: str, alias: str | None, depth: int, *, spread: bool = False
) -> SelectEmbed:
    hint: str | None = None
    inner = False
    for _ in range(2):
        if not scanner.accept("!"):
            break
        word = scanner.field_name()
        if word in ("inner", "left"):
            inner = inner or word == "inner"
        else:
            hint = hint or word
    scanner.expect("(")
    items = _items(scanner, depth + 1)
    if not scanner.accept(")"):
        raise scanner.failure('")"')
    return SelectEmbed(name, alias, hint, inner, items, spread)


def _field(scanner: Scanner, alias: str | None, start: int) -> SelectField:
    name = scanner.field_name()
    if name == "count" and scanner.starts("()"):
        raise RequestError("PGRST123")
    path = scanner.json_path()
    _refuse_aggregate(scanner)
    cast = None
    if scanner.accept("::"):
        cast = scanner.identifier()
        _refuse_aggregate(scanner)
    scanner.skip_spaces()
    if not (scanner.at_end or scanner.peek() in ",)"):
        raise scanner.failure('letter, digit, "-", "->>", "->", "::", ")", "," or end of input')
    if scanner.position == start:
        raise scanner.failure("field name (* or [a..z0..9_$])")
    return SelectField(Field(name, path), alias, cast)


def _refuse_aggregate(scanner: Scanner) -> None:
    if any(scanner.starts(f".{name}()") for name in _AGGREGATES):
        raise RequestError("PGRST123")
