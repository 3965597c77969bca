from hypothesis import given, settings
from hypothesis import strategies as st

from ggufban.bans.needles import Needles, beyond

strings = st.lists(st.text("ab#\U0010ffff", min_size=1, max_size=5), min_size=1, max_size=8)
streams = st.text("ab#\U0010ffff", max_size=40)


def naive(needles: list[str], before: str, stream: str) -> tuple[str, set[tuple[int, str]]]:
    """The tail and the hits, by looking at every end of the text."""
    text = before + stream
    tails = [text[at:] for at in range(len(text))]
    tail = next((end for end in tails if any(n.startswith(end) and n != end for n in needles)), "")
    hits = {
        (at, needle) for at in range(len(stream)) for needle in needles if (before + stream[: at + 1]).endswith(needle)
    }
    return tail, hits


@settings(max_examples=500, deadline=None)
@given(needles=strings, before=streams, stream=streams)
def test_a_walk_finds_what_looking_everywhere_finds(needles: list[str], before: str, stream: str) -> None:
    search = Needles(needles)
    tail, _ = search.walk("", before)
    after, hits = search.walk(tail, stream)
    expected, expected_hits = naive(needles, before, stream)
    assert after == expected
    assert len(set(hits)) == len(hits)
    assert set(hits) == expected_hits
    assert Needles(needles).any_ends(tail, stream) == search.any_ends(tail, stream) == bool(hits)
    assert [index for index, _ in hits] == sorted(index for index, _ in hits)


@given(needles=strings, stream=streams, cut=st.integers(0, 40))
def test_a_walk_may_be_interrupted_anywhere(needles: list[str], stream: str, cut: int) -> None:
    search = Needles(needles)
    tail, hits = search.walk("", stream[:cut])
    tail, more = search.walk(tail, stream[cut:])
    whole = (*hits, *((at + len(stream[:cut]), needle) for at, needle in more))
    assert (tail, whole) == search.walk("", stream)


@given(needles=strings, beginning=st.text("ab#\U0010ffff", min_size=1, max_size=5))
def test_the_range_of_a_beginning(needles: list[str], beginning: str) -> None:
    search = Needles(needles)
    low, high = search.range(beginning)
    assert search.strings[low:high] == [needle for needle in search.strings if needle.startswith(beginning)]


@given(needles=strings, tail=streams)
def test_the_ends_of_a_tail(needles: list[str], tail: str) -> None:
    search = Needles(needles)
    assert [search.range(end) for end, _, _ in search.ends(tail)] == [(a, b) for _, a, b in search.ends(tail)]
    assert [end for end, _, _ in search.ends(tail)] == [
        tail[at:] for at in range(len(tail)) if any(n.startswith(tail[at:]) and n != tail[at:] for n in needles)
    ]


def test_beyond_every_string_with_a_beginning() -> None:
    assert (beyond("ab"), beyond("a\U0010ffff"), beyond("\U0010ffff")) == ("ac", "b", None)


def test_no_needles() -> None:
    assert Needles([]).walk("", "abc") == ("", ())
