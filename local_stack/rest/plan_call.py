"""Finds the function that a call means, among overloads. Pure."""

from collections.abc import Iterable
from difflib import get_close_matches

from local_stack.rest.errors import SchemaError, not_implemented
from local_stack.rest.request import ApiRequest
from local_stack.rest.schema_cache import Function, SchemaCache

_JSON_TYPES = ("json", "jsonb")


def find_function(cache: SchemaCache, request: ApiRequest) -> tuple[Function, frozenset[str], bool]:
    """Choose the overload whose argument names fit.

    Returns:
        The function, the names that get a value, and whether the body as a whole is its single
        unnamed argument.

    Raises:
        SchemaError: PGRST202 where none fits, PGRST203 where several do.
    """
    by_post = request.payload is not None
    keys = (
        request.payload.keys
        if request.payload is not None
        else frozenset(name for name, _ in request.query.arguments)
    )
    candidates = cache.functions.get((request.schema, request.target), ())
    named = [each for each in candidates if _fits(each, keys)]
    whole = [each for each in candidates if by_post and _takes_body(each)]
    if len(named) == 1:
        if request.payload is not None and not request.payload.is_object and keys:
            raise not_implemented("Calling a function with an array of argument objects")
        return named[0], keys, False
    if len(named) > 1:
        raise _ambiguous(named)
    if len(whole) == 1:
        return whole[0], frozenset(), True
    if whole:
        raise _ambiguous(whole)
    raise _missing(cache, request, sorted(keys), candidates, by_post=by_post)


def find_functions(cache: SchemaCache, request: ApiRequest) -> tuple[Function, ...]:
    """List all overloads of a name.

    Raises:
        SchemaError: PGRST202 when there is none.
    """
    found = cache.functions.get((request.schema, request.target), ())
    if not found:
        raise _missing(cache, request, [], (), by_post=False)
    return found


def _fits(function: Function, keys: frozenset[str]) -> bool:
    if any(not each.name for each in function.parameters):
        return False
    required = {each.name for each in function.parameters if each.required}
    optional = {each.name for each in function.parameters if not each.required}
    return required <= keys and keys <= required | optional


def _takes_body(function: Function) -> bool:
    if len(function.parameters) != 1 or function.parameters[0].name:
        return False
    return function.parameters[0].type.name in _JSON_TYPES


def _signature(function: Function) -> str:
    listed = ", ".join(f"{each.name} => {each.declared}" for each in function.parameters)
    return f"{function.schema}.{function.name}({listed})"


def _ambiguous(found: Iterable[Function]) -> SchemaError:
    listed = ", ".join(_signature(each) for each in found)
    return SchemaError(
        "PGRST203",
        f"Could not choose the best candidate function between: {listed}",
        hint="Try renaming the parameters or the function itself in the database so function "
        "overloading can be resolved",
    )


def _missing(
    cache: SchemaCache,
    request: ApiRequest,
    keys: list[str],
    candidates: tuple[Function, ...],
    *,
    by_post: bool,
) -> SchemaError:
    name = f"{request.schema}.{request.target}"
    listed = ", ".join(keys)
    shown = f"({listed})" if keys else " without parameters"
    plural = "s" if len(keys) > 1 else ""
    searched = f" with parameter{plural} {listed}" if keys else " without parameters"
    if by_post:
        searched += " or with a single unnamed json/jsonb parameter"
    return SchemaError(
        "PGRST202",
        f"Could not find the function {name}{shown} in the schema cache",
        details=f"Searched for the function {name}{searched}, but no matches were found in the "
        "schema cache.",
        hint=_hint(cache, request, listed, candidates),
    )


def _hint(
    cache: SchemaCache, request: ApiRequest, listed: str, candidates: tuple[Function, ...]
) -> str | None:
    prefix = f"Perhaps you meant to call the function {request.schema}."
    if not candidates:
        similar = cache.similar_function(request.schema, request.target)
        return prefix + similar if similar else None
    signatures = [
        f"({', '.join(sorted(each.name for each in function.parameters))})"
        for function in candidates
    ]
    close = get_close_matches(f"({listed})"[:512], signatures, n=1, cutoff=0.33)
    return f"{prefix}{request.target}{close[0]}" if close else None
