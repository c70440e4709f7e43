"""Reading SQL text: splitting, comparing, locating."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_stack.postgres.sql_text import essence, split_statements, transaction_control

ATOMIC = "create function f() begin atomic select case when a then 1 end; select 2; end"
PIECES = [
    "select 1",
    "select ';'",
    "do $$ a; b $$",
    "select $x$;$$;$x$",
    'select ";"',
    "select e'\\';'",
]


@pytest.mark.parametrize(
    ("sql", "statements"),
    [
        ("", []),
        (";;", []),
        ("-- only a comment\n/* another; */", []),
        ("select 1; select 2", ["select 1", "select 2"]),
        ("select ';'; select 'it''s;'", ["select ';'", "select 'it''s;'"]),
        (r"select e'\';'; select 2", [r"select e'\';'", "select 2"]),
        ('select ";" ; select 2', ['select ";"', "select 2"]),
        ("do $$ begin; end; $$; select 2", ["do $$ begin; end; $$", "select 2"]),
        ("do $a$ $$;$$ ; $a$; select 2", ["do $a$ $$;$$ ; $a$", "select 2"]),
        ("select $1; select a$b$c; select 3", ["select $1", "select a$b$c", "select 3"]),
        ("/* a; /* b; */ c; */ select 1; select 2", ["/* a; /* b; */ c; */ select 1", "select 2"]),
        ("-- note; here\nselect 1;", ["-- note; here\nselect 1"]),
        (f"{ATOMIC}; select 3", [ATOMIC, "select 3"]),
    ],
)  # fmt: skip
def test_statements_are_split_where_they_end(sql: str, statements: list[str]) -> None:
    """Only a semicolon outside of quotes, comments and bodies ends a statement."""
    assert split_statements(sql) == statements


@given(st.lists(st.sampled_from(PIECES), max_size=8))
def test_pieces_that_were_joined_come_apart_again(pieces: list[str]) -> None:
    """Splitting undoes joining, whatever is quoted in the pieces."""
    assert split_statements(";\n".join(pieces)) == pieces


@given(st.text(alphabet="ab1 ;'\"$-/*\n\\eE_", max_size=60))
def test_no_text_makes_splitting_fail_or_invent_code(sql: str) -> None:
    """Unclosed quotes and comments included: every piece is a part of the text."""
    for piece in split_statements(sql):
        assert piece in sql


def test_comments_and_space_do_not_count_as_a_change() -> None:
    """Two texts that mean the same have one essence; literals do count."""
    assert essence("select  1 ; -- a") == essence("/* b */ select\n1")
    assert essence("select ' a '") != essence("select 'a'")


@pytest.mark.parametrize(
    ("sql", "control"),
    [
        ("select 1; commit", "commit"),
        ("BEGIN; select 1", "begin"),
        ("start transaction; select 1", "start transaction"),
        ("do $$ begin commit; end $$; select 'commit'", None),
        ("create table commit_log (id int)", None),
    ],
)
def test_transaction_control_is_found_only_at_the_top(sql: str, control: str | None) -> None:
    """Words inside of bodies, strings and names are something else."""
    assert transaction_control(split_statements(sql)) == control
