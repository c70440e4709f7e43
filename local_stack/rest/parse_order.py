"""Grammar of ``order``."""

from local_stack.rest.remembered import remembered
from local_stack.rest.scanner import ParseError, Scanner
from local_stack.rest.syntax import Direction, Field, Nulls, OrderTerm


@remembered
def parse_order(text: str) -> tuple[OrderTerm, ...]:
    """Parse an ``order`` parameter.

    Raises:
        RequestError: PGRST100 for bad grammar.
    """
    scanner = Scanner(text)
    try:
        terms = [_term(scanner)]
        while scanner.accept(","):
            terms.append(_term(scanner))
        if not scanner.at_end:
            raise scanner.failure('delimiter (.), "," or end of input')
    except ParseError as error:
        raise error.refusal(f"failed to parse order ({text})") from error
    return tuple(terms)


def _term(scanner: Scanner) -> OrderTerm:
    scanner.skip_spaces()
    name = scanner.field_name()
    relation = None
    if scanner.accept("("):
        relation = name
        field = Field(scanner.field_name(), scanner.json_path())
        scanner.expect(")")
    else:
        field = Field(name, scanner.json_path())
    direction: Direction | None = None
    nulls: Nulls | None = None
    if scanner.accept(".asc"):
        direction = "asc"
    elif scanner.accept(".desc"):
        direction = "desc"
    if scanner.accept(".nullsfirst"):
        nulls = "nullsfirst"
    elif scanner.accept(".nullslast"):
        nulls = "nullslast"
    scanner.skip_spaces()
    if not scanner.at_end and scanner.peek() != ",":
        raise scanner.failure('"asc", "desc", "nullsfirst" or "nullslast"')
    return OrderTerm(field, relation, direction, nulls)
