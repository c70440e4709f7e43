"""Media types: what the client accepts and what this server makes."""

from dataclasses import dataclass

from local_stack.rest.errors import RequestError


@dataclass(frozen=True, slots=True)
class Representation:
    """How the body is built.

    Attributes:
        content_type: Value of the response's ``Content-Type``.
        single: Exactly one object instead of an array.
        strip_nulls: Leave out members that are null.
    """

    content_type: str
    single: bool = False
    strip_nulls: bool = False


_JSON = Representation("application/json; charset=utf-8")
_KNOWN = {
    "*/*": _JSON,
    "application/*": _JSON,
    "application/json": _JSON,
    "application/vnd.pgrst.array": _JSON,
    "application/vnd.pgrst.array+json": _JSON,
    "application/vnd.pgrst.array+json;nulls=stripped": Representation(
        "application/vnd.pgrst.array+json;nulls=stripped; charset=utf-8", strip_nulls=True
    ),
    "application/vnd.pgrst.object": Representation(
        "application/vnd.pgrst.object+json; charset=utf-8", single=True
    ),
    "application/vnd.pgrst.object+json": Representation(
        "application/vnd.pgrst.object+json; charset=utf-8", single=True
    ),
    "application/vnd.pgrst.object+json;nulls=stripped": Representation(
        "application/vnd.pgrst.object+json;nulls=stripped; charset=utf-8",
        single=True,
        strip_nulls=True,
    ),
}


def negotiate(accept: str | None) -> Representation:
    """Choose the first acceptable media type, best quality first.

    Raises:
        RequestError: PGRST107 when none can be made.
    """
    if not accept:
        return _JSON
    known = _KNOWN.get(accept)
    if known is not None:
        return known
    ranked = sorted(
        (_ranked(part) for part in accept.split(",") if part.strip()),
        key=lambda ranked: -ranked[0],
    )
    for _, media_type in ranked:
        known = _KNOWN.get(media_type)
        if known is not None:
            return known
    listed = ", ".join(media_type for _, media_type in ranked)
    raise RequestError("PGRST107", f"None of these media types are available: {listed}")


def _ranked(part: str) -> tuple[float, str]:
    media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
    quality = 1.0
    kept = [media_type]
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            quality = _quality(value)
        elif name.strip() == "nulls" and value.strip() == "stripped":
            kept.append("nulls=stripped")
        elif name.strip() in ("for", "options"):
            kept.append(parameter)
    return quality, ";".join(kept)


def _quality(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return 0.0
