"""The header of a GGUF file: what gguf's own reader says, and a clear message for every damage."""

import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from ggufban.errors import ModelFileError, ModelNotFoundError
from ggufban.header import ArrayLength, Header, check_file, read_header
from tests.tiny import write_tiny

STRING, ARRAY = gguf.GGUFValueType.STRING, gguf.GGUFValueType.ARRAY


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny") / "tiny.gguf", metadata={"general.description": "кот — 猫"})


# -- the same as gguf's own reader --------------------------------------------------------------------------------


def assert_agrees(header: Header, reader: gguf.GGUFReader) -> None:
    fields = {key: field for key, field in reader.fields.items() if not key.startswith("GGUF.")}
    assert list(header.metadata) == list(fields)
    for key, field in fields.items():
        mine, theirs = header.metadata[key], field.types
        if isinstance(mine, ArrayLength):
            assert mine.length == len(field.data) > 64, key
        else:
            assert mine == field.contents(), (key, theirs)
    assert {
        tensor.name: (tuple(int(n) for n in tensor.shape), int(tensor.tensor_type), tensor.data_offset)
        for tensor in reader.tensors
    } == {name: (shape, kind, header.data_begin + offset) for name, (shape, kind, offset) in header.tensors.items()}
    assert header.n_params == sum(int(tensor.n_elements) for tensor in reader.tensors)
    assert header.data_end == max(tensor.data_offset + int(tensor.n_bytes) for tensor in reader.tensors)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "mamba"])
def test_tiny_files_as_gguf_reads_them(tmp_path: Path, architecture: str) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", architecture)
    header = read_header(path)
    assert_agrees(header, gguf.GGUFReader(path))
    assert header.metadata["general.architecture"] == architecture
    assert header.architecture_value("context_length") == 256
    assert header.architecture_value("no_such_key") is None
    assert header.size == path.stat().st_size >= header.data_end
    check_file(path)


def test_smollm2_as_gguf_reads_it(smollm2_path: Path) -> None:
    header = read_header(smollm2_path)
    assert_agrees(header, gguf.GGUFReader(smollm2_path))
    assert (header.n_params, len(header.tensors), header.n_vocab) == (134_515_008, 272, 49_152)
    assert header.file_type == "Q4_1"
    assert header.data_end == header.size
    check_file(smollm2_path)


def test_gemma_as_gguf_describes_it(gemma_path: Path) -> None:
    # GGUFReader itself takes 9 s here: the figures are what it says.
    header = read_header(gemma_path)
    assert (header.n_params, len(header.tensors), header.n_vocab) == (268_098_176, 236, 262_144)
    assert header.file_type == "Q4_K_M"
    assert header.architecture_value("attention.sliding_window") == 512
    assert header.metadata["tokenizer.ggml.tokens"] == ArrayLength(262_144)
    assert header.data_end == header.size
    check_file(gemma_path)


def add_everything(writer: gguf.GGUFWriter) -> None:
    values: list[tuple[str, Callable[[str, Any], None], Any]] = [
        ("u8", writer.add_uint8, 255), ("i8", writer.add_int8, -128), ("u16", writer.add_uint16, 65535),
        ("i16", writer.add_int16, -32768), ("u32", writer.add_uint32, 2**32 - 1), ("i32", writer.add_int32, -(2**31)),
        ("u64", writer.add_uint64, 2**64 - 1), ("i64", writer.add_int64, -(2**63)), ("f32", writer.add_float32, 0.5),
        ("f64", writer.add_float64, 0.1), ("yes", writer.add_bool, True), ("no", writer.add_bool, False),
        ("text", writer.add_string, "кот"), ("none", writer.add_string, ""),
    ]  # fmt: skip
    for key, add, value in values:
        add(f"test.{key}", value)
    writer.add_array("test.words", ["a", "б", ""])
    writer.add_array("test.64", list(range(64)))
    writer.add_array("test.65", list(range(65)))
    writer.add_array("test.65_words", ["x"] * 65)


def write(path: Path, add: Callable[[gguf.GGUFWriter], None], **settings: Any) -> Path:
    """A file without tensors but one."""
    writer = gguf.GGUFWriter(path, "llama", **settings)
    add(writer)
    writer.add_tensor("one", np.ones((2, 3), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_every_type_of_value(tmp_path: Path) -> None:
    path = write(tmp_path / "all.gguf", add_everything)
    header = read_header(path)
    assert_agrees(header, gguf.GGUFReader(path))
    assert header.metadata["test.u64"] == 2**64 - 1
    assert header.metadata["test.yes"] is True
    assert header.metadata["test.words"] == ["a", "б", ""]
    assert header.metadata["test.64"] == list(range(64))
    assert header.metadata["test.65"] == header.metadata["test.65_words"] == ArrayLength(65)
    assert header.n_vocab is None
    assert header.file_type == "?"


@pytest.mark.parametrize("alignment", [8, 64, 4096])
def test_alignment_of_the_data(tmp_path: Path, alignment: int) -> None:
    path = write(tmp_path / "aligned.gguf", lambda writer: writer.add_custom_alignment(alignment))
    assert_agrees(read_header(path), gguf.GGUFReader(path))


def test_a_file_type_newer_than_the_installed_gguf(tmp_path: Path) -> None:
    header = read_header(write(tmp_path / "new.gguf", lambda writer: writer.add_file_type(9999)))
    assert header.file_type == "?"


def test_each_part_of_a_split_model_is_whole(tmp_path: Path) -> None:
    def add(writer: gguf.GGUFWriter) -> None:
        for i in range(4):
            writer.add_tensor(f"t{i}", np.ones((16, 16), dtype=np.float32))

    write(tmp_path / "split.gguf", add, split_max_tensors=2)
    parts = sorted(tmp_path.glob("split-*-of-00003.gguf"))
    assert len(parts) == 3
    for part in parts:
        check_file(part)
        assert read_header(part).metadata["split.count"] == 3
    truncate(parts[1], parts[1].stat().st_size - 100)
    with pytest.raises(ModelFileError, match=r"00002-of-00003\.gguf is truncated"):
        check_file(parts[1])


def test_metadata_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "latin1.gguf"
    path.write_bytes(head(n_keys=1) + string(b"general.name") + u32(STRING) + string(b"caf\xe9"))
    assert read_header(path).metadata["general.name"] == "caf\ufffd"


# -- every damage -------------------------------------------------------------------------------------------------


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


def u64(value: int) -> bytes:
    return struct.pack("<Q", value)


def string(data: bytes, length: int | None = None) -> bytes:
    return u64(len(data) if length is None else length) + data


def head(*, magic: bytes = b"GGUF", version: int = 3, n_tensors: int = 0, n_keys: int = 0) -> bytes:
    return magic + u32(version) + u64(n_tensors) + u64(n_keys)


def truncate(path: Path, size: int) -> None:
    with path.open("r+b") as file:
        file.truncate(size)


HUGE = 2**60
FILLER = bytes(1000)
ONE_KEY = head(n_keys=1) + string(b"k")
ONE_TENSOR = head(n_tensors=1) + string(b"t")

DAMAGES = [
    ("empty", b"", "is not a GGUF file: an empty file"),
    ("text", b"The capital of France is Paris.\n", r"is not a GGUF file: it begins with b'The '"),
    ("safetensors", u64(25) + b'{"__metadata__":{"a":"b"}}', r"is not a GGUF file: it begins with b'\\x19"),
    ("old ggml", b"ggjt" + FILLER, "is not a GGUF file: it begins with b'ggjt'"),
    ("magic alone", b"GGUF", "is truncated inside its header"),
    ("half a magic", b"GG", "is not a GGUF file: it begins with b'GG'"),
    ("version 1", head(version=1), "GGUF version 1 cannot be read, only versions 2 and 3"),
    ("version 4", head(version=4), "GGUF version 4 cannot be read"),
    ("counts missing", b"GGUF" + u32(3) + u64(0)[:5], "is truncated inside its header"),
    ("keys missing", head(n_keys=2) + string(b"key") + u32(0) + b"x" + string(b"another"), "is truncated"),
    ("huge number of tensors", head(n_tensors=HUGE) + FILLER, "is damaged: its header announces 1,152,921,504"),
    ("huge number of keys", head(n_keys=HUGE) + FILLER, "is damaged: its header announces 1,152,921,504"),
    ("huge key", head(n_keys=1) + string(b"k", HUGE) + FILLER, "is truncated inside its header"),
    ("huge string", ONE_KEY + u32(STRING) + string(b"x", HUGE) + FILLER, "is truncated inside its header"),
    ("array of an unknown type", ONE_KEY + u32(ARRAY) + u32(77) + u64(1) + FILLER, "an array of unknown type 77"),
    ("huge array of numbers", ONE_KEY + u32(ARRAY) + u32(4) + u64(HUGE) + FILLER, "announces 1,152,921,504"),
    ("huge array of strings", ONE_KEY + u32(ARRAY) + u32(STRING) + u64(HUGE) + FILLER, "announces 1,152,921,504"),
    ("long array cut off", ONE_KEY + u32(ARRAY) + u32(4) + u64(900) + FILLER, "is truncated inside its header"),
    ("string in an array cut off", ONE_KEY + u32(ARRAY) + u32(STRING) + u64(9) + string(b"x", 99), "is truncated"),
    ("arrays in arrays, deep", ONE_KEY + u32(ARRAY) + (u32(ARRAY) + u64(1)) * 9000, "an array of unknown type 9"),
    ("unknown type", ONE_KEY + u32(77) + FILLER, "a value of unknown type 77"),
    ("tensor of many dimensions", ONE_TENSOR + u32(2**32 - 1) + FILLER, "tensor 't' has 4294967295 dimensions"),
    ("tensor cut off", ONE_TENSOR + u32(2) + u64(5), "is damaged|is truncated"),
    ("alignment 0", head(n_keys=1) + string(b"general.alignment") + u32(4) + u32(0), "general.alignment is 0"),
    ("alignment a word", head(n_keys=1) + string(b"general.alignment") + u32(STRING) + string(b"x"), "is 'x'"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "message"), [row[1:] for row in DAMAGES], ids=[row[0] for row in DAMAGES])
def test_a_damaged_header(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "damaged.gguf"
    path.write_bytes(data)
    for read in (read_header, check_file):
        with pytest.raises(ModelFileError, match=message) as caught:
            read(path)
        assert str(path) in str(caught.value)


def test_truncated_anywhere_in_the_header(tiny: Path, tmp_path: Path) -> None:
    data, header = tiny.read_bytes(), read_header(tiny)
    path = tmp_path / "cut.gguf"
    end_of_header = header.data_begin - 32  # the last tensor's entry ends within one alignment before the data
    for size in [*range(4, 200), *range(200, end_of_header, 97)]:
        path.write_bytes(data[:size])
        with pytest.raises(ModelFileError, match=r"is truncated|more than .* bytes can hold"):
            read_header(path)


def test_truncated_in_the_data(tiny: Path, tmp_path: Path) -> None:
    header = read_header(tiny)
    path = tmp_path / "cut.gguf"
    for size in (header.data_begin, header.data_begin + 1, header.data_end - 1):
        path.write_bytes(tiny.read_bytes()[:size])
        assert read_header(path).n_params == header.n_params
        missing = header.data_end - size
        with pytest.raises(ModelFileError, match=f"is truncated: {missing:,} of {header.data_end:,} bytes are missing"):
            check_file(path)


def test_tensors_of_absurd_size(tmp_path: Path) -> None:
    path = tmp_path / "absurd.gguf"
    tensor = ONE_TENSOR + u32(4) + u64(HUGE) * 4 + u32(0) + u64(HUGE)
    path.write_bytes(tensor + FILLER)
    assert read_header(path).n_params == HUGE**4
    with pytest.raises(ModelFileError, match="is truncated"):
        check_file(path)


def test_a_tensor_of_a_type_that_the_installed_gguf_does_not_know(tmp_path: Path) -> None:
    path = tmp_path / "new.gguf"
    path.write_bytes(ONE_TENSOR + u32(1) + u64(5) + u32(9999) + u64(0) + FILLER)
    check_file(path)  # llama.cpp is the judge of that
    assert read_header(path).data_end == read_header(path).data_begin


def test_random_damage_raises_nothing_else(tiny: Path, tmp_path: Path) -> None:
    data, header = bytearray(tiny.read_bytes()), read_header(tiny)
    path = tmp_path / "damaged.gguf"
    rng = np.random.default_rng(1)
    caught = 0
    for _ in range(300):
        damaged = bytearray(data)
        for at in rng.integers(4, header.data_begin, size=3):
            damaged[at] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            check_file(path)
        except ModelFileError:
            caught += 1
    assert caught > 50


def test_big_endian(tmp_path: Path) -> None:
    path = write(tmp_path / "big.gguf", lambda writer: None, endianess=gguf.GGUFEndian.BIG)
    with pytest.raises(ModelFileError, match="is big-endian"):
        read_header(path)


# -- what is not a file -------------------------------------------------------------------------------------------


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"none\.gguf: no such file"):
        read_header(tmp_path / "none.gguf")


@pytest.mark.parametrize("error", [IsADirectoryError(21, "Is a directory"), PermissionError(13, "Permission denied")])
def test_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    with pytest.raises(ModelFileError, match=r"is a folder; name the \.gguf file in it"):
        read_header(tmp_path)
    refuse(monkeypatch, error)  # POSIX says one, Windows the other
    with pytest.raises(ModelFileError, match=r"is a folder; name the \.gguf file in it"):
        read_header(tmp_path)


def refuse(monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    """Whatever is opened is refused: an administrator may read anything, and tests may run as one."""

    def open_(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Path, "open", open_)


def test_permission_denied(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, PermissionError(13, "Permission denied"))
    with pytest.raises(ModelFileError, match=r"tiny\.gguf may not be read \(permission denied\)"):
        read_header(tiny)


def test_a_disk_that_fails(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, OSError(5, "Input/output error"))
    with pytest.raises(ModelFileError, match=r"tiny\.gguf: Input/output error"):
        read_header(tiny)


def test_nothing_stays_open(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", ResourceWarning)
        read_header(tiny)
        with pytest.raises(ModelFileError):
            read_header(tmp_path / "text")
    assert seen == []
