from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggufban.bans import index as index_module
from ggufban.bans.folding import EDGE, LEVELS, OTHER, WORD
from ggufban.bans.index import ALIKE, Hashes, Index, codes_of, index_of, text_of
from ggufban.bans.reading import characters, read
from ggufban.vocab import Vocab

PIECES = [b"cat", b" cat", b"cat.", b"  ", b".", b"", b"\xe2", b"cat\xe2\x82", b"\x82\xac", b"\xff", b"\xc3\x9f",
          b"a b", b"\x00", "\u200b".encode(), "猫".encode(), b"CAT", b"x\xf0\x9f\x99", "сat".encode(),
          b"\xe2\x80\x8b\xe2"]  # fmt: skip


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "_KEPT", 0)
    index_module._RECENT.clear()


def closed(piece: bytes, level: str) -> str:
    """The closed reading of a piece, worked out slowly."""
    reading = read(piece, OTHER, level)
    stream, last = reading.stream, reading.last
    if reading.pending:
        stream, last = stream + (EDGE if last == WORD else "") + "\ufffd", OTHER
    return stream + (EDGE if last == WORD else "")


def check(index: Index, pieces: list[bytes], level: str) -> None:
    readings = [text_of(index.codes[a:b]) for a, b in zip(index.starts, index.starts[1:], strict=False)]
    assert readings == [closed(piece, level) for piece in pieces]
    assert index.opens.tolist() == [len(read(piece, OTHER, level).stream) for piece in pieces]
    assert index.order.tolist() == sorted(range(len(pieces)), key=readings.__getitem__)
    assert index.ragged.tolist() == [t for t, piece in enumerate(pieces) if piece and 0x80 <= piece[0] < 0xC0]
    beginnings = sorted({reading[:n] for reading in readings for n in range(1, len(reading) + 1)} | {"zz", EDGE + "zz"})
    hashes = np.array(
        [int(Hashes(codes_of(text))(np.array([0]), np.array([len(text)]))[0]) for text in beginnings], dtype=np.uint64
    )
    found, lows, highs = index.look_up(hashes, np.array([len(text) for text in beginnings]))
    ranges = {beginnings[at]: (low, high) for at, low, high in zip(found, lows, highs, strict=True)}
    for text in beginnings:
        tokens = {token for token, reading in enumerate(readings) if reading.startswith(text)}
        low, high = ranges.get(text, (0, 0))
        assert set(index.order[low:high].tolist()) == tokens


@pytest.mark.parametrize("level", LEVELS)
def test_readings_are_those_read_byte_by_byte(level: str) -> None:
    check(Index.build(Vocab(PIECES), level), PIECES, level)


@settings(deadline=None)
@given(
    pieces=st.lists(st.one_of(st.binary(max_size=6), st.text("ab é.\u200b", max_size=5).map(str.encode)), max_size=12)
)
def test_any_pieces(pieces: list[bytes]) -> None:
    check(Index.build(Vocab(pieces), "case"), pieces, "case")


def test_likenesses() -> None:
    index = Index.build(Vocab(["сат".encode(), b"cat"]), ALIKE)
    assert text_of(index.codes).replace(EDGE, "|") == "|cat||cat|"


@given(data=st.binary(max_size=12))
def test_characters_are_those_of_python(data: bytes) -> None:
    found, pending = characters(data)
    text = "".join(char for char, _ in found)
    assert text + ("\ufffd" if pending else "") == data.decode("utf-8", "replace")
    assert sum(width for _, width in found) + len(pending) == len(data)
    at = 0
    for char, width in found:
        assert data[at : at + width].decode("utf-8", "replace") == char
        at += width


@given(text=st.text(st.characters()), cut=st.integers(0, 20))
def test_codes_and_text(text: str, cut: int) -> None:
    text += EDGE + "\0" * cut
    assert codes_of(text).tolist() == [ord(char) for char in text]
    assert text_of(codes_of(text)) == text
    assert text_of(codes_of("")) == ""


# --- the cache on disk ------------------------------------------------------------------------------------------


def same(one: Index, two: Index) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(two, name)) for name in Index._ARRAYS)


def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that grows by one whenever an index is built."""
    calls: list[str] = []
    build = Index.build

    def counting(vocab: Vocab, level: str) -> Index:
        calls.append(level)
        return build(vocab, level)

    monkeypatch.setattr(Index, "build", counting)
    return calls


def test_an_index_is_kept_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = built(monkeypatch)
    folder = tmp_path / "cache" / "deeper"
    first = index_of(Vocab(PIECES), "case", folder)
    assert same(first, index_of(Vocab(PIECES), "case", folder))
    assert calls == ["case"]
    index_of(Vocab(PIECES), "loose", folder)
    index_of(Vocab(PIECES[1:]), "case", folder)
    assert calls == ["case", "loose", "case"]
    assert len(list(folder.iterdir())) == 3


def damage_cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def damage_middle(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for at in range(len(data) // 2, len(data) // 2 + 40):
        data[at] ^= 0xFF
    path.write_bytes(data)


def damage_everything(path: Path) -> None:
    path.write_bytes(b"not an archive")


def damage_empty(path: Path) -> None:
    path.write_bytes(b"")


def damage_pickle(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, label=np.array({"an": "object"}, dtype=object), allow_pickle=True)


def damage_foreign(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, label=np.array("another program's"))


@pytest.mark.parametrize(
    "damage", [damage_cut, damage_middle, damage_everything, damage_empty, damage_pickle, damage_foreign]
)
def test_a_damaged_cache_is_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage) -> None:
    calls = built(monkeypatch)
    first = index_of(Vocab(PIECES), "case", tmp_path)
    (path,) = tmp_path.iterdir()
    damage(path)
    assert same(first, index_of(Vocab(PIECES), "case", tmp_path))
    assert len(calls) == 2
    assert same(first, index_of(Vocab(PIECES), "case", tmp_path))
    assert len(calls) == 2


def test_a_cache_of_another_unicode_version_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = built(monkeypatch)
    index_of(Vocab(PIECES), "case", tmp_path)
    monkeypatch.setattr(index_module.unicodedata, "unidata_version", "1.0")
    index_of(Vocab(PIECES), "case", tmp_path)
    assert len(calls) == 2


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"in the way")
    index_of(Vocab(PIECES), "case", tmp_path / "file")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(np, "savez", refuse)
    index_of(Vocab(PIECES), "case", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_index_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "_KEPT", 2)
    calls = built(monkeypatch)
    assert index_of(Vocab(PIECES), "case", None) is index_of(Vocab(PIECES), "case", None)
    assert calls == ["case"]
