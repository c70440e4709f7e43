"""The grammar of query strings, parameter by parameter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_stack.rest.errors import RestError
from local_stack.rest.parse_filter import parse_filter, parse_logic
from local_stack.rest.parse_order import parse_order
from local_stack.rest.parse_select import parse_columns, parse_select
from local_stack.rest.query_string import parse_query
from local_stack.rest.syntax import (
    Condition,
    Field,
    Filter,
    JsonStep,
    Logic,
    OrderTerm,
    SelectEmbed,
    SelectField,
    SelectItem,
    Window,
)


def key(name: str, *, text: bool = False) -> JsonStep:
    return JsonStep(name, is_index=False, as_text=text)


def index(number: str, *, text: bool = False) -> JsonStep:
    return JsonStep(number, is_index=True, as_text=text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id", SelectField(Field("id"))),
        ("*", SelectField(Field("*"))),
        ("  id ", SelectField(Field("id"))),
        ("first name", SelectField(Field("first name"))),
        ("a-b", SelectField(Field("a-b"))),
        ('"a,b"', SelectField(Field("a,b"))),
        (r'"a\"b"', SelectField(Field('a"b'))),
        ("n:id", SelectField(Field("id"), "n")),
        ("id::text", SelectField(Field("id"), None, "text")),
        ("n:id::text", SelectField(Field("id"), "n", "text")),
        ("d->a", SelectField(Field("d", (key("a"),)))),
        ("d->a->>b", SelectField(Field("d", (key("a"), key("b", text=True))))),
        ("d->0->>-1", SelectField(Field("d", (index("0"), index("-1", text=True))))),
        ("x:d->>a::int", SelectField(Field("d", (key("a", text=True),)), "x", "int")),
        ("d->1a", SelectField(Field("d", (key("1a"),)))),
        ("Größe", SelectField(Field("Größe"))),
    ],
)
def test_select_reads_one_column(text, expected):
    assert parse_select(text) == (expected,)


@pytest.mark.parametrize(
    ("text", "name", "alias", "hint", "inner"),
    [
        ("jobs(id)", "jobs", None, None, False),
        ("j:jobs(id)", "jobs", "j", None, False),
        ("jobs!fk(id)", "jobs", None, "fk", False),
        ("jobs!inner(id)", "jobs", None, None, True),
        ("jobs!left(id)", "jobs", None, None, False),
        ("j:jobs!fk!inner(id)", "jobs", "j", "fk", True),
        ("j:jobs!inner!fk(id)", "jobs", "j", "fk", True),
    ],
)
def test_select_reads_an_embedded_relation(text, name, alias, hint, inner):
    assert parse_select(text) == (
        SelectEmbed(name, alias, hint, inner, (SelectField(Field("id")),)),
    )


@pytest.mark.parametrize(
    ("text", "hint", "inner"),
    [
        ("...jobs(id)", None, False),
        ("...jobs!fk(id)", "fk", False),
        ("...jobs!inner(id)", None, True),
        ("...jobs!fk!inner( id )", "fk", True),
    ],
)
def test_select_reads_a_spread(text, hint, inner):
    found = parse_select(f"*,{text}")[1]
    assert found == SelectEmbed("jobs", None, hint, inner, (SelectField(Field("id")),), spread=True)


_NAMES = st.sampled_from(["a", "b-c", "first name", "Größe", 'x,"y', "...", "count", "inner"])
_FIELDS = st.builds(
    SelectField,
    st.builds(Field, _NAMES, st.just(()) | st.builds(lambda n: (key(n),), _NAMES)),
    st.none() | _NAMES,
    st.none() | st.sampled_from(["text", "int4"]),
)


def _embeds(items: st.SearchStrategy[SelectItem]) -> st.SearchStrategy[SelectItem]:
    names = _NAMES.filter(lambda name: name != "count")
    hints = st.none() | _NAMES.filter(lambda name: name != "inner")
    inside = st.lists(items, max_size=3).map(tuple)
    return st.one_of(
        st.builds(SelectEmbed, names, st.none() | _NAMES, hints, st.booleans(), inside),
        st.builds(
            SelectEmbed, names, st.none(), hints, st.booleans(), inside, spread=st.just(True)
        ),
    )


def _printed(item: SelectItem) -> str:
    def quoted(name: str) -> str:
        return '"' + name.replace('"', '\\"') + '"'

    alias = f"{quoted(item.alias)}:" if item.alias is not None else ""
    if isinstance(item, SelectField):
        path = "".join(f"->{quoted(step.operand)}" for step in item.field.path)
        cast = f"::{item.cast}" if item.cast else ""
        return f"{alias}{quoted(item.field.name)}{path}{cast}"
    hint = f"!{quoted(item.hint)}" if item.hint is not None else ""
    inner = "!inner" if item.inner else ""
    inside = ",".join(_printed(each) for each in item.items)
    return f"{'...' if item.spread else alias}{quoted(item.name)}{hint}{inner}({inside})"


@given(st.lists(st.recursive(_FIELDS, _embeds, max_leaves=8), min_size=1, max_size=4))
def test_select_reads_back_whatever_tree_is_printed(items):
    assert parse_select(", ".join(map(_printed, items))) == tuple(items)


def test_select_nests_and_may_be_empty_inside():
    (outer,) = parse_select("a(*,b(c),d())")
    assert isinstance(outer, SelectEmbed)
    assert [getattr(item, "name", "*") for item in outer.items] == ["*", "b", "d"]
    assert isinstance(outer.items[2], SelectEmbed)
    assert outer.items[2].items == ()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("id,", "PGRST100"),
        ("(", "PGRST100"),
        ("id)", "PGRST100"),
        ("a(b", "PGRST100"),
        ("a::", "PGRST100"),
        ("a!b", "PGRST100"),
        (":a", "PGRST100"),
        ('"a', "PGRST100"),
        ("a->", "PGRST100"),
        ("count()", "PGRST123"),
        ("id.sum()", "PGRST123"),
        ("n:id.max()", "PGRST123"),
        ("...jobs", "PGRST100"),
        ("...(id)", "PGRST100"),
        ("..jobs(id)", "PGRST100"),
        ("...j:jobs(id)", "PGRST100"),
        ("j:...jobs(id)", "PGRST100"),
        ("...jobs(count())", "PGRST123"),
        ("a(" * 30 + "b" + ")" * 30, "PGRST100"),
    ],
)
def test_select_refuses_what_is_wrong_or_not_built(text, code):
    with pytest.raises(RestError) as caught:
        parse_select(text)
    assert (caught.value.code, caught.value.status) == (code, 400)


def test_a_parse_error_names_the_parameter_and_the_column():
    with pytest.raises(RestError) as caught:
        parse_filter("id", "noop.1")
    assert caught.value.message == '"failed to parse filter (noop.1)" (line 1, column 1)'
    assert caught.value.details == 'unexpected "n" expecting "not" or operator (eq, gt, ...)'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("eq.1", Condition("eq", ("1",))),
        ("eq.", Condition("eq", ("",))),
        ("eq.a.b(c),d", Condition("eq", ("a.b(c),d",))),
        ("not.eq.1", Condition("eq", ("1",), negated=True)),
        ("neq.1", Condition("neq", ("1",))),
        ("gte.1", Condition("gte", ("1",))),
        ("like(any).{a*,b*}", Condition("like", ("{a*,b*}",), quantifier="any")),
        ("ilike(all).{a*}", Condition("ilike", ("{a*}",), quantifier="all")),
        ("eq(any).{1,2}", Condition("eq", ("{1,2}",), quantifier="any")),
        ("match.^a", Condition("match", ("^a",))),
        ("in.(1,2)", Condition("in", ("1", "2"))),
        ("in.()", Condition("in", ("",))),
        ('in.("a,b",c d,"q\\"x")', Condition("in", ("a,b", "c d", 'q"x'))),
        ('in.("a"b,c)', Condition("in", ('"a"b', "c"))),
        ("not.in.(1)", Condition("in", ("1",), negated=True)),
        ("is.null", Condition("is", ("null",))),
        ("is.NULL", Condition("is", ("null",))),
        ("is.not_null", Condition("is", ("not_null",))),
        ("not.is.true", Condition("is", ("true",), negated=True)),
        ("isdistinct.5", Condition("isdistinct", ("5",))),
        ("fts.cat", Condition("fts", ("cat",))),
        ("plfts(english).a cat", Condition("plfts", ("a cat",), language="english")),
        ("cs.{a,b}", Condition("cs", ("{a,b}",))),
        ('cd.{"a":1}', Condition("cd", ('{"a":1}',))),
        ("ov.[1,3)", Condition("ov", ("[1,3)",))),
        ("sl.(1,2)", Condition("sl", ("(1,2)",))),
        ("adj.(1,2)", Condition("adj", ("(1,2)",))),
    ],
)
def test_filter_reads_every_operator(text, expected):
    assert parse_filter("c", text) == ((), Filter(Field("c"), expected))


@pytest.mark.parametrize(
    "text",
    ["", "1", "eq", "eq(some).1", "neq(any).1", "in.1", "in.(1", "is.5", "is.nullx", "nope.1"],
)
def test_filter_refuses_unknown_operators(text):
    with pytest.raises(RestError) as caught:
        parse_filter("c", text)
    assert caught.value.code == "PGRST100"


def test_filter_key_holds_path_and_json():
    assert parse_filter("a.b.c->x->>0", "eq.1") == (
        ("a", "b"),
        Filter(Field("c", (key("x"), index("0", text=True))), Condition("eq", ("1",))),
    )


def test_logic_nests():
    path, logic = parse_logic("or", "(id.eq.1,not.and(a.is.null,b.not.in.(1,2)),c.cs.{x,y})")
    assert path == ()
    assert logic == Logic(
        "or",
        (
            Filter(Field("id"), Condition("eq", ("1",))),
            Logic(
                "and",
                (
                    Filter(Field("a"), Condition("is", ("null",))),
                    Filter(Field("b"), Condition("in", ("1", "2"), negated=True)),
                ),
                negated=True,
            ),
            Filter(Field("c"), Condition("cs", ("{x,y}",))),
        ),
    )


def test_logic_quotes_protect_commas():
    _, logic = parse_logic("and", '(a.eq."x,y)",b.eq."q\\"r")')
    assert [each.condition.values for each in logic.nodes if isinstance(each, Filter)] == [
        ("x,y)",),
        ('q"r',),
    ]


@pytest.mark.parametrize(
    ("name", "path", "negated"),
    [
        ("or", (), False),
        ("not.or", (), True),
        ("jobs.or", ("jobs",), False),
        ("jobs.not.or", ("jobs",), True),
    ],
)
def test_logic_key_holds_path_and_negation(name, path, negated):
    found, logic = parse_logic(name, "(a.eq.1)")
    assert (found, logic.negated) == (path, negated)


@pytest.mark.parametrize(
    "text", ["", "()", "(a.eq.1", "a.eq.1", "(a)", "(xor(a.eq.1))", "(a.eq.1)x"]
)
def test_logic_refuses_bad_trees(text):
    with pytest.raises(RestError) as caught:
        parse_logic("or", text)
    assert caught.value.code == "PGRST100"


def test_logic_refuses_bottomless_trees():
    with pytest.raises(RestError) as caught:
        parse_logic("or", "(and" * 5000 + "(a.eq.1" + ")" * 5001)
    assert caught.value.code == "PGRST100"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", OrderTerm(Field("a"))),
        ("a.asc", OrderTerm(Field("a"), direction="asc")),
        ("a.desc.nullsfirst", OrderTerm(Field("a"), direction="desc", nulls="nullsfirst")),
        ("a.nullslast", OrderTerm(Field("a"), nulls="nullslast")),
        ("d->>k.desc", OrderTerm(Field("d", (key("k", text=True),)), direction="desc")),
        ("r(a).desc", OrderTerm(Field("a"), relation="r", direction="desc")),
    ],
)
def test_order_reads_one_term(text, expected):
    assert parse_order(text) == (expected,)


@pytest.mark.parametrize("text", ["", "a.up", "a.desc.first", "a,", "r(a"])
def test_order_refuses_bad_terms(text):
    with pytest.raises(RestError) as caught:
        parse_order(text)
    assert caught.value.code == "PGRST100"


def test_columns_may_be_quoted():
    assert parse_columns('"a,b", c ,d', "columns") == ("a,b", "c", "d")


def test_query_string_sorts_parameters_into_their_kinds():
    query = parse_query(
        "select=id&a=eq.1&j.b=gt.2&or=(c.eq.3,d.eq.4)&order=a.desc&j.order=b&limit=5&offset=2&j.limit=1"
        "&columns=x,y&on_conflict=x",
        is_function_read=False,
    )
    assert query.select == (SelectField(Field("id")),)
    assert [path for path, _ in query.filters] == [(), ("j",), ()]
    assert [path for path, _ in query.order] == [(), ("j",)]
    assert query.windows == {(): Window(2, 5), ("j",): Window(0, 1)}
    assert (query.columns, query.on_conflict) == (("x", "y"), ("x",))


def test_query_string_decodes_plus_percent_and_bad_utf8():
    query = parse_query("a=eq.x+y%2Bz%FF", is_function_read=False)
    _, filtered = query.filters[0]
    assert isinstance(filtered, Filter)
    assert filtered.condition.values == ("x y+z\ufffd",)


def test_function_arguments_are_told_from_filters():
    query = parse_query("a=1&b=eq.2&c=not.a.filter&t.d=is.null", is_function_read=True)
    assert query.arguments == (("a", "1"), ("c", "not.a.filter"))
    assert len(query.filters) == 2


def test_limits_that_are_no_numbers_are_ignored():
    assert parse_query("limit=abc&offset=", is_function_read=False).windows == {}


def test_the_first_select_wins():
    query = parse_query("select=a&select=b", is_function_read=False)
    assert query.select == (SelectField(Field("a")),)
