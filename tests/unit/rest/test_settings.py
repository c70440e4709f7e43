"""All settings of a request travel as one text, whatever is in them."""

from hypothesis import given
from hypothesis import strategies as st

from local_stack.rest.execute import join_settings

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0")) | st.sampled_from(
    ("", "\1", "\1\2\3", "".join(map(chr, range(1, 40))))
)


def split(joined: bytes) -> list[str]:
    """Do as ``begin_request`` does."""
    text = joined.decode()
    return text.split(text[0])[1:]


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1))
def test_names_and_values_come_apart_as_they_were(settings: list[tuple[str, str]]) -> None:
    assert split(join_settings(settings)) == [text for pair in settings for text in pair]
