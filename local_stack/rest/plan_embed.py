"""Finds the relationship that an embedded relation means."""

from collections.abc import Callable
from difflib import get_close_matches

from local_stack.rest.errors import SchemaError, not_implemented
from local_stack.rest.schema_cache import Relationship, SchemaCache


def find_relationship(
    cache: SchemaCache, schema: str, origin: str, target: str, hint: str | None
) -> Relationship:
    """Choose the one relationship between two relations.

    Args:
        cache: Names and foreign keys.
        schema: Exposed schema.
        origin: Near table.
        target: Far table, foreign key name or near column.
        hint: Foreign key name or column that tells several apart.

    Raises:
        SchemaError: PGRST200 where there is none, PGRST201 where there are several.
        RequestError: PGRST127 for many-to-many and for views.
    """
    matches = _matcher(target, hint)
    found = [each for each in cache.relationships.get((schema, origin), ()) if matches(each)]
    if not found:
        for name in (origin, target):
            table = cache.tables.get((schema, name))
            if table is not None and table.is_view:
                raise not_implemented(f"Embedding with a view ('{name}')")
        raise _missing(cache, schema, origin, target, hint)
    if len(found) > 1:
        raise _ambiguous(origin, target, found)
    if found[0].cardinality == "many-to-many":
        raise not_implemented(f"Many-to-many embedding ('{origin}' with '{target}')")
    return found[0]


def _matcher(target: str, hint: str | None) -> Callable[[Relationship], bool]:
    def plain(each: Relationship) -> bool:
        if each.is_self:
            by_table = target == each.foreign and each.cardinality == "one-to-many"
            return by_table or (each.cardinality == "many-to-one" and _near(each) == target)
        if target == each.foreign:
            return True
        return each.junction is None and target in (each.constraint, _near(each))

    def hinted(each: Relationship) -> bool:
        if target != each.foreign:
            return False
        if each.is_self:
            return each.cardinality == "one-to-many" and _far(each) == hint
        if each.junction is not None:
            return each.junction == hint
        return hint in (each.constraint, _near(each), _far(each))

    return plain if hint is None else hinted


def _near(each: Relationship) -> str | None:
    return each.columns[0][0] if len(each.columns) == 1 else None


def _far(each: Relationship) -> str | None:
    return each.columns[0][1] if len(each.columns) == 1 else None


def _missing(
    cache: SchemaCache, schema: str, origin: str, target: str, hint: str | None
) -> SchemaError:
    using = f" using the hint '{hint}'" if hint else ""
    return SchemaError(
        "PGRST200",
        f"Could not find a relationship between '{origin}' and '{target}' in the schema cache",
        details=f"Searched for a foreign key relationship between '{origin}' and '{target}'{using} "
        f"in the schema '{schema}', but no matches were found.",
        hint=_suggestion(cache, schema, origin, target),
    )


def _suggestion(cache: SchemaCache, schema: str, origin: str, target: str) -> str | None:
    relationships = cache.relationships.get((schema, origin))
    if relationships is None:
        parents = [name for owner, name in cache.relationships if owner == schema]
        close = get_close_matches(origin[:64], parents, n=1, cutoff=0.5)
        return f"Perhaps you meant '{close[0]}' instead of '{origin}'." if close else None
    children = sorted({each.foreign for each in relationships})
    close = get_close_matches(target[:64], children, n=1, cutoff=0.5)
    if not close or close[0] == target:
        return None
    return f"Perhaps you meant '{close[0]}' instead of '{target}'."


def _ambiguous(origin: str, target: str, found: list[Relationship]) -> SchemaError:
    hints = ", ".join(f"'{each.foreign}!{each.junction or each.constraint}'" for each in found)
    return SchemaError(
        "PGRST201",
        f"Could not embed because more than one relationship was found for '{origin}' and "
        f"'{target}'",
        details=[_described(each) for each in found],
        hint=f"Try changing '{target}' to one of the following: {hints}. "
        "Find the desired relationship in the 'details' key.",
    )


def _described(each: Relationship) -> dict[str, str]:
    if each.junction is not None:
        text = each.junction_text
    else:
        near = ", ".join(own for own, _ in each.columns)
        far = ", ".join(other for _, other in each.columns)
        text = f"{each.constraint} using {each.table}({near}) and {each.foreign}({far})"
    return {
        "cardinality": each.cardinality,
        "embedding": f"{each.table} with {each.foreign}",
        "relationship": text,
    }
