"""Models that tests share. The two real ones are fetched if they are not on this machine."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from ggufban import Model
from ggufban.catalogue import resolve
from ggufban.engine import system_info
from tests.tiny import write_tiny

# The same examples in every run: a law that only some seeds break is looked for with GGUFBAN_TEST_RANDOM=1.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
if not os.environ.get("GGUFBAN_TEST_RANDOM"):
    hypothesis.settings.load_profile("repeatable")


@pytest.fixture(scope="session", autouse=True)
def _llama_without_amx() -> None:
    """Let a bare `llama_cpp.Llama` live on a CPU with AMX, as ggufban's own Engine does; see DESIGN.md, The engine."""
    import llama_cpp

    if not system_info()["amx_workaround"]:
        return
    defaults = llama_cpp.llama_model_default_params

    def without_extra_buffers() -> Any:
        params = defaults()
        params.use_extra_bufts = False
        return params

    llama_cpp.llama_model_default_params = without_extra_buffers


@pytest.fixture(scope="session")
def smollm2_path() -> Path:
    return resolve("smollm2")


@pytest.fixture(scope="session")
def gemma_path() -> Path:
    return resolve("gemma3-270m")


@pytest.fixture(scope="session")
def smollm2(smollm2_path: Path) -> Iterator[Model]:
    with Model(smollm2_path, n_ctx=2048) as model:
        yield model


@pytest.fixture(scope="session")
def gemma(gemma_path: Path) -> Iterator[Model]:
    with Model(gemma_path, n_ctx=1024) as model:
        yield model


@pytest.fixture(scope="session", params=["smollm2", "gemma"])
def real_model(request: pytest.FixtureRequest) -> Model:
    """Each of the two real models in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session", params=["llama", "gpt2", "mamba"])
def tiny_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of each architecture that the tests can write; mamba's cache cannot be cut."""
    return write_tiny(tmp_path_factory.mktemp("tiny") / f"{request.param}.gguf", request.param)


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny") / "llama.gguf")
