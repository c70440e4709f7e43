"""What a route's functions want, worked out once: which values of a request, in which order.

Read from the descriptions that FastAPI makes of its routes (``Dependant`` and ``ModelField``), and
checked by the same validators. What is not understood here is left to FastAPI as a whole.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias, get_args, get_origin

from fastapi import params
from fastapi.dependencies.models import Dependant
from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response

_JSON = "application/json"
# Values that cannot be changed by whom they are given to, so that one can be given to all.
_CONSTANTS = (type(None), str, int, float, bool)
_MISSING = object()
# Places in what functions may be given: these, and then the functions' results.
_REQUEST, _RESPONSE, _FIRST_RESULT = range(3)

Place: TypeAlias = Literal["path", "query", "header", "body"]


class UnfitError(Exception):
    """The request does not plainly fit; FastAPI says what is wrong, if anything is."""


@dataclass(frozen=True, slots=True)
class Body:
    """A body as received, and its media type in lower case."""

    content: bytes
    media_type: str


class Source(NamedTuple):
    """The parts of a request that values are read from.

    Attributes:
        path: Values of the path.
        query: All values of each parameter, in their order.
        headers: First value of each that is read, by lower-case name.
        body: The body.
    """

    path: Mapping[str, str]
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: Body


@dataclass(frozen=True, slots=True)
class _Parameter:
    """One value of the request."""

    name: str
    key: str
    place: Place
    required: bool
    default: Any
    validate: Callable[..., tuple[Any, list[Any]]]
    repeated: bool = False

    def read(self, source: Source) -> Any:
        """Return the validated value, or the default.

        Raises:
            UnfitError: It is missing or wrong.
        """
        given = self._given(source)
        if given is _MISSING:
            if self.required:
                raise UnfitError
            return self.default
        value, errors = self.validate(given, {}, loc=(self.place, self.key))
        if errors:
            raise UnfitError
        return value

    def _given(self, source: Source) -> Any:
        """Return what is given, or ``_MISSING``.

        Raises:
            UnfitError: More than one value where one is wanted.
        """
        if self.place == "query":
            values = source.query.get(self.key)
            if values is None:
                return _MISSING
            if self.repeated:
                return values
            if len(values) > 1:
                raise UnfitError
            return values[0]
        if self.place == "body":
            return read_json(source.body)
        place = source.path if self.place == "path" else source.headers
        return place.get(self.key, _MISSING)


@dataclass(frozen=True, slots=True)
class _Step:
    """One function to call: the places of its arguments.

    Attributes:
        call: The function.
        needed: Values to look for in every request.
        optional: Values of query and headers that may be absent, as they mostly are.
        defaults: Of those, by name.
        results: Arguments that are the request, the answer to come, or results of functions before,
            and their places in this order.
    """

    call: Callable[..., Any]
    needed: tuple[_Parameter, ...]
    optional: tuple[_Parameter, ...]
    defaults: Mapping[str, Any]
    results: tuple[tuple[str, int], ...]

    def read(self, source: Source) -> dict[str, Any]:
        """Return what is needed, and defaults for the rest, by name.

        Raises:
            UnfitError: One is missing or wrong.
        """
        values = dict(self.defaults)
        for each in self.needed:
            values[each.name] = each.read(source)
        return values


@dataclass(frozen=True, slots=True)
class Handler:
    """The functions of a route, in the order in which they are called; the last is the route's.

    Attributes:
        steps: The functions.
        optional: Values that may be absent, by place and key; before each, the function it is for.
        header_names: Headers that are read, in lower case.
        query_names: Query parameters that are read.
        reads_body: Whether one of the values is the body.
        wants_response: Whether a function adds to the answer to come.
    """

    steps: tuple[_Step, ...]
    optional: Mapping[tuple[Place, str], Sequence[tuple[int, _Parameter]]]
    header_names: frozenset[bytes]
    query_names: frozenset[str]
    reads_body: bool
    wants_response: bool

    def read(self, source: Source) -> list[dict[str, Any]]:
        """Return the values of each function by name, before any of them is called.

        Raises:
            UnfitError: One is missing or wrong.
        """
        arguments = [step.read(source) for step in self.steps]
        given: tuple[tuple[Place, Mapping[str, Any]], ...]
        given = ("query", source.query), ("header", source.headers)
        for place, keys in given:
            for key in keys:
                for index, each in self.optional.get((place, key), ()):
                    arguments[index][each.name] = each.read(source)
        return arguments

    async def call(
        self, arguments: list[dict[str, Any]], request: Request, response: Response | None
    ) -> Any:
        """Call the functions, each with the results of those it depends on."""
        results: list[Any] = [request, response]
        for step, values in zip(self.steps, arguments, strict=True):
            for name, index in step.results:
                values[name] = results[index]
            results.append(await step.call(**values))
        return results[-1]


@dataclass(slots=True)
class _Compiler:
    steps: list[_Step] = field(default_factory=list)
    known: dict[Any, int] = field(default_factory=dict)

    def add(self, dependant: Dependant) -> int:
        """Add a function behind those it depends on; return its place.

        Raises:
            UnfitError: It needs something that only FastAPI does.
        """
        call = dependant.call
        if call is None or not _is_plain(dependant):
            raise UnfitError
        if call in self.known:
            return self.known[call]
        # Some dependencies stand for the documentation only, and give None.
        silent = [each for each in dependant.dependencies if _only_documents(each)]
        results = [
            (dependant.request_param_name, _REQUEST),
            (dependant.http_connection_param_name, _REQUEST),
            (dependant.response_param_name, _RESPONSE),
            *((each.name, self.add(each)) for each in dependant.dependencies if each not in silent),
        ]
        parameters = _parameters(dependant)
        needed = tuple(each for each in parameters if each.required or each.place == "body")
        optional = tuple(each for each in parameters if each not in needed)
        step = _Step(
            call=call,
            needed=needed,
            optional=optional,
            defaults={
                **{each.name: each.default for each in optional},
                **{each.name: None for each in silent if each.name is not None},
            },
            results=tuple((name, index) for name, index in results if name is not None),
        )
        self.known[call] = _FIRST_RESULT + len(self.steps)
        self.steps.append(step)
        return self.known[call]


def compile_handler(dependant: Dependant) -> Handler | None:
    """Work out how to call a route; None if only FastAPI can."""
    compiler = _Compiler()
    try:
        compiler.add(dependant)
    except UnfitError:
        return None
    steps = compiler.steps
    parameters = [each for step in steps for each in (*step.needed, *step.optional)]
    bodies = [each for each in parameters if each.place == "body"]
    if len(bodies) > 1:
        return None
    optional: dict[tuple[Place, str], list[tuple[int, _Parameter]]] = {}
    for index, step in enumerate(steps):
        for each in step.optional:
            optional.setdefault((each.place, each.key), []).append((index, each))
    headers = frozenset(each.key.encode() for each in parameters if each.place == "header")
    query = frozenset(each.key for each in parameters if each.place == "query")
    wants_response = any(index == _RESPONSE for step in steps for _, index in step.results)
    return Handler(tuple(steps), optional, headers, query, bool(bodies), wants_response)


def _only_documents(dependant: Dependant) -> bool:
    return bool(getattr(dependant.call, "only_documents", False))


def _is_plain(dependant: Dependant) -> bool:
    """Tell whether a function is a coroutine that asks for nothing special."""
    call: Any = dependant.call
    special = (
        dependant.cookie_params
        or dependant.websocket_param_name
        or dependant.background_tasks_param_name
        or dependant.security_scopes_param_name
        or getattr(dependant, "concurrency", None)
        or not dependant.use_cache
    )
    own = call if inspect.isroutine(call) else getattr(call, "__call__", None)  # noqa: B004
    return not special and inspect.iscoroutinefunction(own)


def _parameters(dependant: Dependant) -> tuple[_Parameter, ...]:
    places: list[tuple[Place, list[Any]]] = [
        ("path", dependant.path_params),
        ("query", dependant.query_params),
        ("header", dependant.header_params),
        ("body", dependant.body_params),
    ]
    return tuple(_parameter(each, place) for place, fields in places for each in fields)


def _parameter(model_field: Any, place: Place) -> _Parameter:
    """Describe one value.

    Raises:
        UnfitError: It is not one plain value under one name.
    """
    info = model_field.field_info
    required = bool(info.is_required())
    default = None if required else model_field.default
    renamed = info.validation_alias not in {None, model_field.alias}
    embedded = place == "body" and (bool(info.embed) or not _is_json_body(info))
    if renamed or embedded or info.validate_default or type(default) not in _CONSTANTS:
        raise UnfitError
    repeated = place == "query" and is_list(info.annotation)
    if place in {"query", "header"} and not (repeated or _is_single(info.annotation)):
        raise UnfitError
    key = model_field.alias.lower() if place == "header" else model_field.alias
    validate = model_field.validate
    return _Parameter(model_field.name, key, place, required, default, validate, repeated)


def _is_json_body(info: Any) -> bool:
    return isinstance(info, params.Body) and not isinstance(info, params.Form)


def is_list(annotation: Any) -> bool:
    """Tell whether an annotation is ``list[…]`` of single values, or that or None."""
    options = [each for each in (get_args(annotation) or ()) if each is not type(None)]
    option = options[0] if len(options) == 1 and get_origin(annotation) is not list else annotation
    items = get_args(option)
    return get_origin(option) is list and len(items) == 1 and _is_single(items[0])


def _is_single(annotation: Any) -> bool:
    """Tell whether an annotation is of one value: no list, no model, nothing nested."""
    text = str(annotation)
    nested = any(name in text for name in ("list", "List", "set", "Set", "tuple", "Sequence"))
    return not nested and not hasattr(annotation, "model_fields")


def read_json(body: Body) -> Any:
    """Read a body.

    By a quicker parser than FastAPI's: what both take, they read as the same, and what it refuses,
    such as other encodings than UTF-8 and deep nesting, is left to FastAPI's.

    Raises:
        UnfitError: It is not plainly JSON.
    """
    if body.media_type != _JSON or not body.content:
        raise UnfitError
    try:
        return from_json(body.content, cache_strings="keys")  # values are nobody's to keep
    except ValueError as error:
        raise UnfitError from error
