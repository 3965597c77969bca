"""Strategies on real engines: the promise with thousands of bans, and going back on every kind of cache."""

import gc
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggufban import BanList, Engine, Model
from ggufban.decoding.drive import write
from ggufban.decoding.loop import Writer
from ggufban.decoding.rewind import Rewind
from ggufban.errors import BanError
from ggufban.sampling import Sampler

SLOP = Path(__file__).parent.parent / "data" / "slop_words.txt"
PROMPTS = ["She walked into the room and", "The tapestry of life is a testament to"]


@pytest.fixture(scope="session")
def slop() -> BanList:
    lines = SLOP.read_text(encoding="utf-8").splitlines()
    return BanList([line for line in lines if not line.startswith("#")][:2000])


@pytest.mark.parametrize("strategy", ["mask", "rewind"])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_two_thousand_bans_hold(real_model: Model, slop: BanList, strategy: str, temperature: float) -> None:
    for prompt in PROMPTS:
        settings = {"n_predict": 40, "temperature": temperature, "seed": 1, "top": None}
        out = real_model.generate(prompt, bans=slop, strategy=strategy, **settings)
        assert [match for match in slop.find(prompt + out.text) if match.end > len(prompt)] == []
        assert len(out.text.split()) > 5
        assert out.finish_reason in ("stop", "length")


def test_chat_and_samples_hold_too(smollm2: Model, slop: BanList) -> None:
    out = smollm2.chat([{"role": "user", "content": PROMPTS[1]}], bans=slop, n_predict=40, seed=2, top=None)
    assert slop.find(out.text) == []
    assert out.text.strip()
    with Model(smollm2.path, n_ctx=256, n_parallel=3) as model:
        texts = model.samples(4, PROMPTS[0], bans=slop, n_predict=24, seed=3, top=None)
        assert len({out.text for out in texts}) == 4
        for out in texts:
            assert [m for m in slop.find(PROMPTS[0] + out.text) if m.end > len(PROMPTS[0])] == []
            assert out.report.evaluations >= out.report.tokens


class NeverCut:
    """An engine that forgets everything at every step and reads it again: the prompt at once, the rest one by one."""

    def __init__(self, engine: Engine, prompt: int) -> None:
        self.engine, self.prompt, self.rows = engine, prompt, {}

    @property
    def evaluations(self) -> int:
        return self.engine.evaluations

    def goto(self, tokens, *, seq: int = 0) -> None:
        self.engine.reset()
        self.engine.eval(tokens[: self.prompt])
        for token in tokens[self.prompt :]:
            self.engine.eval([token])
        self.rows[tuple(tokens)] = self.engine.logits().copy()

    def logits(self, seq: int = 0):
        return self.engine.logits()


class Watched:
    """An engine whose rows are noted."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.rows = engine, {}

    @property
    def evaluations(self) -> int:
        return self.engine.evaluations

    def goto(self, tokens, *, seq: int = 0) -> None:
        self.engine.goto(tokens)
        self.rows[tuple(tokens)] = self.engine.logits().copy()

    def logits(self, seq: int = 0):
        return self.engine.logits()


def test_going_back_is_as_good_as_starting_again(tiny_path: Path) -> None:
    """On caches that can be cut and on one that cannot (mamba), the same text comes from the same rows."""
    with Engine(tiny_path) as engine:
        prompt = engine.tokenize("the cat sat")
        bans = BanList(["*ca*", "*th*", "*is*", "/[a-m][n-z]/"]).compile(engine.vocab)
        bytes_alone = dict.fromkeys(range(3, 259), -np.inf)
        found = []
        for source in (Watched(engine), NeverCut(engine, len(prompt))):
            engine.reset()
            sampler = Sampler(top_k=0, top_p=1.0, min_p=0.0, temperature=1.0, logit_bias=bytes_alone)
            rng = np.random.default_rng(4)
            writer = Writer(
                prompt, engine.vocab, sampler, rng, strategy=Rewind(), matcher=bans, state=bans.start(), n_predict=40
            )
            for _ in write(source, writer):
                pass
            found.append((writer, source))
        (one, cut), (other, fresh) = found
        assert one.report.discarded_tokens > 5
        assert one.text == other.text
        assert cut.rows.keys() == fresh.rows.keys()
        for tokens, row in cut.rows.items():
            np.testing.assert_allclose(row, fresh.rows[tokens], atol=2e-2)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
def test_a_thousand_rewinds_take_no_memory(smollm2: Model) -> None:
    def resident() -> int:
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    tokens = smollm2.tokenize("word " * 200)
    smollm2.reset()
    smollm2.eval(tokens)
    for i in range(20):
        smollm2.goto(tokens[: -1 - i % 7])
    before = resident()
    for i in range(1000):
        smollm2.goto(tokens[: -1 - i % 7])
    assert resident() - before < 8 << 20


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bans": ["on", "the"], "strategy": "mask"},
        {"bans": ["on", "the"], "strategy": "rewind"},
        {"bans": ["on", "the"], "strategy": "exact"},
        {"top_k": 0, "min_p": 0.0},
        {"top_k": 0, "top_p": 1.0, "min_p": 0.0},
        {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "repeat_penalty": 1.3},
        {"temperature": 0.0},
    ],
)
def test_candidates_say_the_same_whenever_they_are_looked_at(tiny_path: Path, options: dict[str, Any]) -> None:
    """They are made on demand, when the row that they came from has long been written over."""
    settings = {"n_predict": 12, "seed": 4, "top": 6, "ignore_eos": True, **options}
    with Model(tiny_path) as model:
        at_once = [tuple(step.candidates) for step in model.stream("the cat", **settings)]
    with Model(tiny_path) as model:
        later = [step.candidates for step in model.generate("the cat", **settings).steps]
    assert len(at_once) > 1
    assert [repr(candidates) for candidates in later] == [repr(candidates) for candidates in at_once]
    for candidates in later:
        assert pickle.loads(pickle.dumps(candidates)) == tuple(candidates)
        for candidate in candidates:
            assert (candidate.drawn_with == 0.0) == (candidate.removed_by is not None)


def test_bans_and_stop_strings_as_people_write_them(smollm2: Model) -> None:
    prompt, settings = "The capital of France is", {"n_predict": 12, "temperature": 0.0, "top": None}
    plain = smollm2.generate(prompt, **settings).text
    word = plain.split()[3]
    cut = smollm2.generate(prompt, stop=word, **settings)
    assert cut.text == plain[: plain.index(word)]
    assert cut.finish_reason == "stop"
    patterns = ["Paris", "the"]
    listed, made = (smollm2.generate(prompt, bans=bans, **settings) for bans in (patterns, BanList(patterns)))
    assert listed.text == made.text
    with pytest.raises(BanError, match=r"write BanList\(\['Paris'\]\)"):
        smollm2.generate(prompt, bans="Paris", **settings)
