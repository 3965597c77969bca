import pytest

from ggufban.rendering.width import clip, display_width, pad, show_piece, show_text, wrap


@pytest.mark.parametrize(
    ("text", "columns"),
    [("cat", 3), ("кот", 3), ("東京", 4), ("e\u0301", 1), ("한", 2), ("\u1112\u1161\u11ab", 2), ("a\u200bb", 2),
     ("ｱ", 1), ("Ａ", 2), ("😀", 2), ("", 0)],
)  # fmt: skip
def test_columns(text, columns):
    assert display_width(text) == columns


@pytest.mark.parametrize("width", range(8))
@pytest.mark.parametrize("text", ["東京都大学", "cafe\u0301 noir", "x" * 20, "a東b京"])
def test_what_is_clipped_or_padded_fits_exactly(text, width):
    assert display_width(clip(text, width)) <= width
    assert display_width(pad(text, width)) == width
    assert display_width(pad(text, width, right=True)) == width


@pytest.mark.parametrize(
    ("piece", "shown"),
    [
        (b" a\tb", "' a\\tb'"),
        (b"\x1b[31m", "'\\x1b[31m'"),  # nothing that a terminal would obey
        ("\u202e".encode(), "'\\u202e'"),
        (b"\xe6\x9d", "'\\xE6\\x9D'"),
        (b"\x80ok", "'\\x80ok'"),
        (b"\xff \xd0", "'\\xFF \\xD0'"),
        ("\u0301".encode(), "'◌\u0301'"),
        ("e\u0301".encode(), "'e\u0301'"),
        (b"\\n", "'\\\\n'"),
        (b"\n", "'\\n'"),
        (b"", "''"),
    ],
)
def test_every_byte_of_a_token_is_seen(piece, shown):
    assert show_piece(piece) == shown
    assert show_text(shown[1:-1]).isprintable()


def test_a_token_without_text_has_its_name():
    assert show_piece(b"", "<|im_end|>") == "<|im_end|>"


def test_lines_break_between_words():
    assert wrap("one two three four", 9, indent="  ") == ["  one two", "  three", "  four"]
