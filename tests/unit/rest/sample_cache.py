"""A small schema, written down by hand, for tests that need no database."""

from local_stack.rest.relationships import ForeignKey, derive_relationships
from local_stack.rest.schema_cache import (
    TEXT,
    Column,
    Function,
    Parameter,
    SchemaCache,
    Table,
    TypeName,
    quote_identifier,
)

INT = TypeName("int4", '"pg_catalog"."int4"', '"pg_catalog"."_int4"')
JSONB = TypeName("jsonb", '"pg_catalog"."jsonb"', '"pg_catalog"."_jsonb"')
UUID = TypeName("uuid", '"pg_catalog"."uuid"', '"pg_catalog"."_uuid"')


def column(name: str, kind: TypeName = TEXT, default: str | None = None) -> Column:
    return Column(name, quote_identifier(name), kind, kind.name, default)


def table(name: str, *columns: Column, key: tuple[str, ...] = ("id",)) -> Table:
    return Table(
        "public", name, f'"public"."{name}"', {each.name: each for each in columns}, key, False
    )


def parameter(name: str, kind: TypeName = INT, *, required: bool = True) -> Parameter:
    return Parameter(name, quote_identifier(name), kind, kind.name, required, variadic=False)


def function(name: str, *parameters: Parameter, returns_set: bool = False) -> Function:
    return Function(
        "public",
        name,
        f'"public"."{name}"',
        parameters,
        "s",
        returns_set=returns_set,
        returns_row=returns_set,
        returns_void=False,
        table="jobs" if returns_set else None,
        columns=_TABLES[1].columns if returns_set else {},
    )


_TABLES = (
    table("clients", column("id", UUID), column("name"), column("data", JSONB)),
    table("jobs", column("id", INT, "nextval('x')"), column("client_id", UUID), column("title")),
    table("notes", column("id", INT), column("job_id", INT), column("parent_id", INT)),
    table("profile", column("client_id", UUID), column("bio"), key=("client_id",)),
    table("tags", column("id", INT), column("label")),
    table("job_tags", column("job_id", INT), column("tag_id", INT), key=("job_id", "tag_id")),
    table("mails", column("id", INT), column("from_id", UUID), column("to_id", UUID)),
)


def _key(name: str, near: str, own: str, far: str) -> ForeignKey:
    return ForeignKey(name, "public", near, "public", far, ((own, "id"),))


_KEYS = (
    _key("jobs_client_id_fkey", "jobs", "client_id", "clients"),
    _key("notes_job_id_fkey", "notes", "job_id", "jobs"),
    _key("notes_parent_id_fkey", "notes", "parent_id", "notes"),
    _key("profile_client_id_fkey", "profile", "client_id", "clients"),
    _key("job_tags_job_id_fkey", "job_tags", "job_id", "jobs"),
    _key("job_tags_tag_id_fkey", "job_tags", "tag_id", "tags"),
    _key("mails_from_id_fkey", "mails", "from_id", "clients"),
    _key("mails_to_id_fkey", "mails", "to_id", "clients"),
)
_BY_NAME = {("public", each.name): each for each in _TABLES}
_UNIQUE = {name: {frozenset(each.primary_key)} for name, each in _BY_NAME.items()}

CACHE = SchemaCache(
    tables=_BY_NAME,
    relationships=derive_relationships(_KEYS, _UNIQUE, _BY_NAME),
    functions={
        ("public", "add"): (function("add", parameter("a"), parameter("b", required=False)),),
        ("public", "jobs_of"): (function("jobs_of", parameter("client"), returns_set=True),),
        ("public", "over"): (
            function("over", parameter("a")),
            function("over", parameter("a"), parameter("b")),
        ),
        ("public", "same"): (function("same", parameter("a")), function("same", parameter("a"))),
        ("public", "whole"): (function("whole", parameter("", JSONB)),),
    },
    types={"text": TEXT.sql, "int": INT.sql, "int4": INT.sql},
    timezones=frozenset({"UTC", "Europe/Berlin"}),
    role_settings={},
)
