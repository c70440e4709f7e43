"""What is read quickly is what the framework reads."""

import json

from hypothesis import example, given
from hypothesis import strategies as st

from crm_service.fast_values import Body, UnfitError, read_json

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
    max_leaves=10,
)
# Small changes of what is JSON: numbers of all forms, broken escapes, halves of characters.
_PIECES = ("{", "}", "[", "]", '"a"', ":", ",", "-", "0", "1", ".", "e", "+", "9" * 20, "NaN")
_PIECES += ("Infinity", "null", "true", '"\\ud83d"', '"\\u0000"', " ", "\n", "\ufeff", '"\x01"')


def _own(content):
    try:
        return read_json(Body(content, "application/json"))
    except UnfitError:
        return UnfitError


def _same(content):
    """What is taken is what ``json`` takes for it; the rest is left to the framework."""
    own = _own(content)
    return own is UnfitError or repr(own) == repr(json.loads(content))


@given(_VALUES)
def test_a_document_is_what_the_framework_reads(value):
    """To the type: whole numbers stay whole, and the sign of zero is kept."""
    content = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    assert _same(content)


@given(st.lists(st.sampled_from(_PIECES), max_size=8))
@example(['{"a":1,"a":2}'])
@example(["-0"])
@example(["1e400"])
@example(["[" * 300, "]" * 300])
def test_what_resembles_json_is_refused_or_read_alike(pieces):
    """Nothing is taken that ``json`` refuses."""
    assert _same("".join(pieces).encode())


def test_plain_json_is_not_left_to_the_framework():
    """That would be right, and slow."""
    assert _own(b'{"a": [1, 2.5, "\\u00e9", null, true]}') == {"a": [1, 2.5, "é", None, True]}
