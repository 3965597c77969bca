"""`ggufban doctor`: what runs here, and whether it runs."""

import json
import os
import platform
import subprocess
import sys
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import click

from ggufban import __version__
from ggufban.catalogue import DEFAULT_MODEL, cache_dir, locate, models_dir
from ggufban.commands import COMMANDS
from ggufban.commands.config import config_path, read_config, unknown_keys
from ggufban.commands.machine import memory

__all__ = ["command", "probe"]

PROMPT, ANSWER = "The capital of France is", " Paris"
"""What the self-test asks, and what SmolLM2 says (with probability 0.77 in 32-bit floats)."""

_PACKAGES = ("llama-cpp-python", "numpy", "gguf", "click")
_EXTRAS = {"huggingface_hub": "hub"}


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(as_json: bool) -> int:
    """Say what runs here, and test it.

    \b
    Example:
      ggufban doctor

    Versions, what llama.cpp makes of this CPU, GPU offload, memory, where files are, and a self-test: SmolLM2 is
    asked for the capital of France, if it is on this machine. Exit code 1 if something is wrong.
    """
    facts = _facts()
    if as_json:
        click.echo(json.dumps(facts, ensure_ascii=False))
    else:
        for line in _lines(facts):
            click.echo(line)
    return 1 if facts["problems"] else 0


def _facts() -> dict[str, Any]:
    """Everything that the command says, as one JSON object."""
    total, free = memory()
    model = locate(DEFAULT_MODEL)
    llama, test, problem = _ask_llama(model)
    problems = [problem] if problem else []
    problems += [
        f"{config_path()}: {key!r} is an option of no command"
        for key in unknown_keys((import_module(f"ggufban.commands.{name}").command for name in COMMANDS), read_config())
    ]
    return {
        "ggufban": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in (*_PACKAGES, *_EXTRAS)},
        "cpu": {"processors": os.cpu_count(), "features": llama.get("features")},
        "amx_workaround": llama.get("amx_workaround"),
        "gpu_offload": llama.get("gpu_offload"),
        "memory": {"total": total, "available": free},
        "folders": {"config": str(config_path()), "cache": str(cache_dir()), "models": str(models_dir())},
        "self_test": test,
        "problems": problems,
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


# -- llama.cpp, in a process of its own: a build for another CPU ends the process that loads it ----------------------


def probe() -> None:
    """Print what llama.cpp is and, if `sys.argv` names a model, what comes after PROMPT: two lines of JSON."""
    from ggufban.engine import system_info

    print(json.dumps(system_info()), flush=True)  # noqa: T201
    if len(sys.argv) > 1:
        from ggufban.model import Model

        with Model(sys.argv[1], n_ctx=64) as model:
            step = model.inspect(PROMPT, top=1)
        print(json.dumps({"answer": step.piece.decode("utf-8", "replace"), "probability": step.probability}))  # noqa: T201


def _ask_llama(model: Path | None) -> tuple[dict[str, Any], dict[str, Any], str | None]:
    """What llama.cpp is, how the self-test went, and what is wrong if something is."""
    process = subprocess.run(
        [
            sys.executable,
            "-c",
            "from ggufban.commands.doctor import probe; probe()",
            *([str(model)] if model else []),
        ],
        env={**os.environ, "PYTHONPATH": _python_path(), "PYTHONIOENCODING": "utf-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    said = [json.loads(line) for line in process.stdout.splitlines() if line.startswith("{")]
    llama = said[0] if said else {}
    if process.returncode:
        return llama, {"result": "failed"}, _what_failed(process, bool(said))
    if model is None:
        return (
            llama,
            {"result": "not run", "why": f"fetch {DEFAULT_MODEL} first: ggufban models pull {DEFAULT_MODEL}"},
            None,
        )
    test = {"result": "passed" if said[1]["answer"] == ANSWER else "failed", "prompt": PROMPT, **said[1]}
    problem = f"the self-test failed: after {PROMPT!r} comes {said[1]['answer']!r}, not {ANSWER!r}"
    return llama, test, None if test["result"] == "passed" else problem


def _python_path() -> str:
    """Where the other process finds this package, installed or not."""
    here = str(Path(__file__).parent.parent.parent)
    return os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))


def _what_failed(process: subprocess.CompletedProcess[str], loaded: bool) -> str:
    """Why the other process ended: an exception of Python, or a crash of llama.cpp."""
    last = next(iter(process.stderr.strip().splitlines()[-1:]), "")
    if process.returncode == 1 and last:
        return f"{'the self-test failed' if loaded else 'llama.cpp cannot be loaded'}: {last}"
    return (
        f"llama.cpp crashed {'in the self-test' if loaded else 'when it was loaded'} (exit {process.returncode}); "
        "it may have been built for another CPU: build it here with CMAKE_ARGS=-DGGML_NATIVE=OFF "
        "pip install --force-reinstall --no-cache-dir llama-cpp-python"
    )


# -- for people ---------------------------------------------------------------------------------------------------


_AMX = {True: "active: this CPU has AMX", False: "not needed", None: "unknown"}
_GPU = {True: "yes: -ngl says how many layers", False: "no: this build of llama.cpp has none", None: "unknown"}


def _lines(facts: dict[str, Any]) -> list[str]:
    missing = {name: f'not installed: pip install "ggufban[{extra}]"' for name, extra in _EXTRAS.items()}
    rows = {
        "ggufban": facts["ggufban"],
        "python": f"{facts['python']} on {facts['platform']}",
        **{name: version or missing.get(name, "not installed") for name, version in facts["packages"].items()},
        "processors": facts["cpu"]["processors"],
        "llama.cpp": facts["cpu"]["features"] or "unknown",
        "AMX workaround": _AMX[facts["amx_workaround"]],
        "GPU offload": _GPU[facts["gpu_offload"]],
        "memory": _memory(facts["memory"]),
    }
    for name, path in facts["folders"].items():
        rows[name] = path + ("" if Path(path).exists() else " (not there yet)")
    rows["self-test"] = _self_test(facts["self_test"])
    lines = [f"{name:<17} {value}" for name, value in rows.items()]
    return lines + [f"problem: {text}" for text in facts["problems"]]


def _self_test(test: dict[str, Any]) -> str:
    if "why" in test:
        return f"{test['result']}: {test['why']}"
    if "answer" in test:
        return f"{test['result']}: {test['prompt']!r} -> {test['answer']!r} ({test['probability']:.3f})"
    return str(test["result"])


def _memory(sizes: dict[str, int | None]) -> str:
    known = [f"{size / 1e9:.1f} GB {name}" for name, size in sizes.items() if size is not None]
    return ", ".join(known) or "unknown"
