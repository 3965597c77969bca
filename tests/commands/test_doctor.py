"""`ggufban doctor`: what it says of this machine, and of one where something is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ggufban.commands import doctor, machine
from tests.commands.conftest import Run
from tests.tiny import write_tiny

GIB = 1 << 30


def test_a_healthy_machine(run: Run, smollm2_path: Path, config: Path) -> None:
    result = run("doctor", "--json")
    assert (result.code, result.err) == (0, "")
    facts = json.loads(result.out)
    assert facts["problems"] == []
    assert facts["self_test"]["result"] == "passed"
    assert facts["self_test"]["answer"] == " Paris"
    assert 0.74 < facts["self_test"]["probability"] < 0.80
    assert all(facts["packages"][name] for name in ("llama-cpp-python", "numpy", "gguf", "click"))
    assert "CPU" in facts["cpu"]["features"]
    assert isinstance(facts["gpu_offload"], bool)
    assert facts["amx_workaround"] is ("AMX_INT8 = 1" in facts["cpu"]["features"])
    assert facts["memory"]["total"] > GIB
    assert facts["folders"]["config"] == str(config)
    assert str(smollm2_path.parent) == facts["folders"]["models"]

    text = "\n".join(doctor._lines(facts))
    assert "self-test         passed: 'The capital of France is' -> ' Paris' (0.7" in text
    assert f"config            {config}\n" in text
    assert "problem" not in text


def test_without_the_model_it_says_how_to_fetch_it(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GGUFBAN_CACHE", str(tmp_path / "empty"))
    result = run("doctor")
    assert (result.code, result.err) == (0, "")
    assert "self-test         not run: fetch smollm2 first: ggufban models pull smollm2" in result.out
    assert f"cache             {tmp_path / 'empty'} (not there yet)" in result.out
    assert not (tmp_path / "empty").exists()


def test_another_answer_is_a_problem(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = write_tiny(tmp_path / "tiny.gguf")
    monkeypatch.setattr(doctor, "locate", lambda _: tiny)
    result = run("doctor")
    assert result.code == 1
    assert "self-test         failed: 'The capital of France is' -> " in result.out
    assert "problem: the self-test failed: after 'The capital of France is' comes " in result.out


def test_a_damaged_model_is_a_problem(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(b"no")
    monkeypatch.setattr(doctor, "locate", lambda _: path)
    result = run("doctor", "--json")
    facts = json.loads(result.out)
    assert result.code == 1
    assert facts["self_test"] == {"result": "failed"}
    assert facts["cpu"]["features"]  # what came before it failed is not lost
    [problem] = facts["problems"]
    assert problem.startswith("the self-test failed: ggufban.errors.ModelFileError: ")
    assert problem.endswith("is not a GGUF file: it begins with b'no', not with b'GGUF'")


@pytest.mark.parametrize(
    ("code", "stdout", "stderr", "problem"),
    [
        (-4, "", "", "llama.cpp crashed when it was loaded (exit -4); it may have been built for another CPU"),
        (-11, '{"features": "CPU"}\n', "", "llama.cpp crashed in the self-test (exit -11); it may have been built"),
        (0xC000001D, "", "", "llama.cpp crashed when it was loaded (exit 3221225501)"),
        (
            1,
            "",
            "Traceback\nImportError: no such library\n",
            "llama.cpp cannot be loaded: ImportError: no such library",
        ),
    ],
)
def test_a_crash_is_reported_and_not_suffered(
    run: Run, monkeypatch: pytest.MonkeyPatch, code: int, stdout: str, stderr: str, problem: str
) -> None:
    ended = subprocess.CompletedProcess([], code, stdout, stderr)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: ended)
    result = run("doctor")
    assert result.code == 1
    assert f"problem: {problem}" in result.out
    assert "self-test         failed" in result.out
    assert "AMX workaround    unknown" in result.out


def test_the_other_process_really_may_crash(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "llama_cpp.py").write_text("import os\nos.abort()\n")
    monkeypatch.setattr(
        doctor, "_python_path", lambda: f"{tmp_path}{doctor.os.pathsep}{Path(doctor.__file__).parents[2]}"
    )
    result = run("doctor")
    assert result.code == 1
    assert "problem: llama.cpp crashed when it was loaded" in result.out


def test_a_key_that_does_nothing_is_a_problem(
    run: Run, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GGUFBAN_CACHE", str(tmp_path / "empty"))
    config.write_text("temp = 0.5\ntmep = 0.5\n")
    result = run("doctor")
    assert result.code == 1
    assert f"problem: {config}: 'tmep' is an option of no command\n" in result.out
    assert "'temp'" not in result.out


def test_extras_that_are_not_here_say_how_to_come(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GGUFBAN_CACHE", str(tmp_path / "empty"))
    monkeypatch.setattr(doctor, "_version", lambda _: None)
    assert 'huggingface_hub   not installed: pip install "ggufban[hub]"' in run("doctor").out


MEMINFO = "MemTotal:       16000 kB\nMemFree:        1000 kB\nMemAvailable:    8000 kB\nHugePages_Total:       0\n"


@pytest.mark.parametrize(
    ("meminfo", "limit", "used", "expected"),
    [
        (MEMINFO, None, None, (16_384_000, 8_192_000)),
        (MEMINFO, "max", "5000", (16_384_000, 8_192_000)),
        (MEMINFO, "4000000", "1000000", (4_000_000, 3_000_000)),
        (MEMINFO, "4000000", "5000000", (4_000_000, 0)),
        (MEMINFO, "99000000", "1000000", (16_384_000, 8_192_000)),
        ("nonsense\n", None, None, (None, None)),
    ],
)
def test_memory_on_linux(
    tmp_path: Path, meminfo: str, limit: str | None, used: str | None, expected: tuple[int | None, int | None]
) -> None:
    (tmp_path / "meminfo").write_text(meminfo)
    for name, value in (("memory.max", limit), ("memory.current", used)):
        if value is not None:
            (tmp_path / name).write_text(value)
    assert machine._linux_memory(tmp_path / "meminfo", tmp_path) == expected


def test_memory_here() -> None:
    total, free = machine.memory()
    assert total is not None
    assert total > GIB
    assert free is None or 0 <= free <= total


def test_memory_that_is_not_known(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GGUFBAN_CACHE", str(tmp_path / "empty"))
    monkeypatch.setattr(doctor, "memory", lambda: (None, None))
    assert "memory            unknown\n" in run("doctor").out
    monkeypatch.setattr(doctor, "memory", lambda: (16 * 10**9, None))
    assert "memory            16.0 GB total\n" in run("doctor").out


def test_probe_speaks_json_alone(smollm2_path: Path) -> None:
    code = "from ggufban.commands.doctor import probe; probe()"
    root = str(Path(doctor.__file__).parents[2])
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert list(map(json.loads, result.stdout.splitlines()))
    assert result.stderr == ""
