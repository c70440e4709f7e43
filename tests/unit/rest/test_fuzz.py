"""Whatever a query string says, the answer is SQL without its values, or a clear refusal."""

from urllib.parse import quote_plus

from hypothesis import given
from hypothesis import strategies as st

from local_stack.rest.config import RestConfig
from local_stack.rest.errors import RestError
from local_stack.rest.plan import plan_request
from local_stack.rest.request import HttpRequest, parse_request
from local_stack.rest.sql import Statement, render_plan
from tests.unit.rest.sample_cache import CACHE

MARKER = "zq7'; drop table x--"
_OPERATORS = [
    "eq",
    "neq",
    "gt",
    "gte",
    "lt",
    "lte",
    "like",
    "ilike",
    "match",
    "imatch",
    "cs",
    "cd",
    "ov",
    "sl",
    "sr",
    "nxr",
    "nxl",
    "adj",
    "isdistinct",
    "fts",
    "plfts",
    "phfts",
    "wfts",
    "eq(any)",
    "like(all)",
]
_COLUMNS = ["id", "title", "client_id", "title->>k", "title->0", "clients.name", "nope"]
_WORDS = ["eq.", "not.", "or=(", "...", "clients(", "...clients("]
_ALPHABET = st.sampled_from([*"abid*.,()!:-><'\"\\{}[]&=+%0 \n\x00ü;$_~@", *_WORDS])
_NOISE = st.lists(_ALPHABET, max_size=40).map("".join)


def answer(method: str, path: str, query: str, body: bytes = b"{}") -> Statement | None:
    http = HttpRequest(method, path, query, {}, body)
    try:
        request = parse_request(http, RestConfig(), CACHE.timezones)
        if request.action == "info":
            return None
        return render_plan(plan_request(request, CACHE, 100))
    except RestError as error:
        refusal = error
    assert refusal.status < 500, refusal.code
    assert refusal.body()
    return None


@given(st.sampled_from(["GET", "POST", "PATCH", "DELETE", "HEAD"]), _NOISE, _NOISE)
def test_noise_is_answered_or_refused(method, key, value):
    for path in ("/jobs", "/rpc/add", "/rpc/jobs_of"):
        answer(method, path, f"{key}={value}")
        answer(method, path, f"{quote_plus(key)}={quote_plus(value)}")


@given(
    st.sampled_from(
        ["select", "order", "or", "and", "not.or", "limit", "offset", "columns", "on_conflict"]
    ),
    st.one_of(_NOISE, st.text(max_size=30)),
)
def test_noise_in_reserved_parameters_is_answered_or_refused(name, value):
    for method in ("GET", "POST", "PATCH"):
        answer(method, "/jobs", f"{name}={quote_plus(value, errors='replace')}")


@given(st.sampled_from(_COLUMNS), st.sampled_from(_OPERATORS), st.booleans(), st.booleans())
def test_filter_values_never_reach_the_sql_text(column, operator, negated, in_logic):
    value = f"{'not.' if negated else ''}{operator}.{MARKER}"
    key, text = ("or", f"({column}.{value},id.eq.1)") if in_logic else (column, value)
    query = f"select=*,clients(name)&{quote_plus(key)}={quote_plus(text)}"
    for method, path in (("GET", "/jobs"), ("DELETE", "/jobs"), ("GET", "/rpc/jobs_of")):
        extra = "&client=1" if path.startswith("/rpc") else ""
        statement = answer(method, path, query + extra)
        if statement is not None:
            assert "zq7" not in statement.sql


@given(st.sampled_from(["in.({})", "fts({}).x", "title->>{}", "select", "limit", "rpc", "body"]))
def test_other_positions_never_reach_the_sql_text_unquoted(position):
    marker = quote_plus(MARKER)
    statement = {
        "in.({})": lambda: answer("GET", "/jobs", f"title=in.({marker},b)"),
        "fts({}).x": lambda: answer("GET", "/jobs", f"title=fts({marker}).x"),
        "title->>{}": lambda: answer("GET", "/jobs", f'title->>"{marker}"=eq.1'),
        "select": lambda: answer("GET", "/jobs", f'select=title->"{marker}"->>k'),
        "limit": lambda: answer("GET", "/jobs", f"limit={marker}"),
        "rpc": lambda: answer("GET", "/rpc/add", f"a={marker}"),
        "body": lambda: answer("POST", "/jobs", "", f'{{"title":"{MARKER}"}}'.encode()),
    }[position]()
    assert statement is None or "zq7" not in statement.sql


@given(st.text(max_size=20))
def test_output_names_are_quoted_identifiers(name):
    quoted = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    statement = answer("GET", "/jobs", f"select={quote_plus(quoted, errors='replace')}:id")
    if statement is not None:
        inside = statement.sql.split(" as ", 1)
        assert statement.sql.count('"') % 2 == 0, inside


@given(st.binary(max_size=60))
def test_bodies_are_answered_or_refused(body):
    for method, path in (("POST", "/jobs"), ("PATCH", "/jobs"), ("POST", "/rpc/add")):
        answer(method, path, "", body)
