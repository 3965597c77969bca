"""See, ban and sample the tokens of a GGUF model: numpy over the raw logits of llama.cpp, no PyTorch.

    import ggufban

    with ggufban.Model("smollm2") as model:
        out = model.generate("The capital of France is", bans=ggufban.BanList(["Paris"]), temperature=0)
        print(out.text)

Nothing here imports llama.cpp until a `Model` is asked for, so that the numpy parts answer at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ggufban import errors
from ggufban.errors import *  # noqa: F403
from ggufban.errors import __all__ as _errors

if TYPE_CHECKING:
    from ggufban.bans import BanList as BanList
    from ggufban.bans.bias import BiasList as BiasList
    from ggufban.decoding.processor import BanLogitsProcessor as BanLogitsProcessor
    from ggufban.decoding.report import Generation as Generation
    from ggufban.decoding.report import Report as Report
    from ggufban.engine import Engine as Engine
    from ggufban.engine import EngineWarning as EngineWarning
    from ggufban.inspection.compare import compare as compare
    from ggufban.inspection.text import Trace as Trace
    from ggufban.inspection.trace import Candidate as Candidate
    from ggufban.inspection.trace import Step as Step
    from ggufban.model import Model as Model
    from ggufban.model import Stream as Stream
    from ggufban.sampling import Distribution as Distribution
    from ggufban.sampling import Sampler as Sampler
    from ggufban.vocab import Vocab as Vocab

__version__ = "0.1.0"

_HOME = {
    "BanList": "ggufban.bans",
    "BanLogitsProcessor": "ggufban.decoding.processor",
    "BiasList": "ggufban.bans.bias",
    "Candidate": "ggufban.inspection.trace",
    "Distribution": "ggufban.sampling",
    "Engine": "ggufban.engine",
    "EngineWarning": "ggufban.engine",
    "Generation": "ggufban.decoding.report",
    "Model": "ggufban.model",
    "Report": "ggufban.decoding.report",
    "Sampler": "ggufban.sampling",
    "Step": "ggufban.inspection.trace",
    "Stream": "ggufban.model",
    "Trace": "ggufban.inspection.text",
    "Vocab": "ggufban.vocab",
    "compare": "ggufban.inspection.compare",
}
"""Where each public name lives: it is imported from there when it is first used."""

__all__ = ["__version__", "errors", *_errors, *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ggufban' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
