"""The table of parameters is the truth, and `Sampler` keeps to it."""

import inspect
import math
from typing import Any

import pytest

from ggufban.errors import ParameterError
from ggufban.sampling import PARAMETERS, Parameter, Sampler
from ggufban.sampling.parameters import read_logit_bias, read_samplers, read_sequence_breakers

NUMBERS = [parameter for parameter in PARAMETERS if parameter.type is not str]


def test_the_sampler_has_the_keywords_and_defaults_of_the_table() -> None:
    signature = inspect.signature(Sampler).parameters
    assert {name: p.default for name, p in signature.items() if name != "vocab"} == {
        p.name: p.default for p in PARAMETERS
    }
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in signature.values())


def test_no_flag_is_used_twice() -> None:
    flags = [flag for parameter in PARAMETERS for flag in parameter.flags]
    assert len(flags) == len(set(flags))


@pytest.mark.parametrize("parameter", NUMBERS, ids=lambda p: p.name)
def test_numbers_out_of_range_are_errors_that_quote_value_and_range(parameter: Parameter) -> None:
    wrong: list[Any] = [math.nan, math.inf, -math.inf, 1e39, "1", None, True]
    if parameter.type is int:
        wrong.append(1.5)
    if parameter.minimum is not None:
        wrong.append(parameter.type(parameter.minimum - 1))
    if parameter.maximum is not None:
        wrong.append(parameter.type(parameter.maximum + 1))
    for value in wrong:
        with pytest.raises(ParameterError) as caught:
            Sampler(**{parameter.name: value})
        message = str(caught.value)
        assert message.startswith(f"{parameter.name} is {value!r}, but has to be {parameter.range}")
        assert parameter.off is None or f"{parameter.off} switches it off" in message


@pytest.mark.parametrize("parameter", NUMBERS, ids=lambda p: p.name)
def test_the_ends_of_the_range_are_in_it(parameter: Parameter) -> None:
    for value in (parameter.minimum, parameter.maximum, parameter.default):
        if value is not None:
            parameter.check(parameter.type(value))  # type: ignore[arg-type]


def test_the_message_in_full() -> None:
    with pytest.raises(ParameterError) as caught:
        Sampler(top_p=1.5)
    assert str(caught.value) == "top_p is 1.5, but has to be a number from 0 to 1; 1 switches it off"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("top_k;top_p;temperature", ("top_k", "top_p", "temperature")),
        ("Top-K;topp; temp ;nucleus", ("top_k", "top_p", "temperature", "top_p")),
        ("typical;typ;typ-p", ("typ_p", "typ_p", "typ_p")),
        (["min_p", "xtc"], ("min_p", "xtc")),
        (
            "edskypmxt",
            ("penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature"),
        ),
        ("dry", ("dry",)),
        ("", ()),
        (None, ("penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature")),
    ],
)
def test_samplers(given: Any, expected: tuple[str, ...]) -> None:
    assert read_samplers(given) == expected


@pytest.mark.parametrize("given", ["top_q", "top_k;infill", ["k p"], "kz"])
def test_samplers_that_are_not_known_are_errors(given: Any) -> None:
    with pytest.raises(ParameterError, match="samplers has"):
        read_samplers(given)


@pytest.mark.parametrize("given", ["x+1", "5", "5*2", "5+", "5+nan", "-3+1", "5+1.2.3", "5+inf"])
def test_a_bias_that_cannot_be_read_is_an_error(given: str) -> None:
    with pytest.raises(ParameterError, match="logit_bias"):
        Sampler(logit_bias=read_logit_bias([given]))


@pytest.mark.parametrize("bias", [{-1: 1.0}, {3: math.nan}, {3: math.inf}])
def test_a_bias_that_makes_no_sense_is_an_error(bias: dict[int, float]) -> None:
    with pytest.raises(ParameterError, match="logit_bias"):
        Sampler(logit_bias=bias)


def test_biases_add_up() -> None:
    assert read_logit_bias(["5+1", "5-0.25", "7-inf", "8+1e2"]) == {5: 0.75, 7: -math.inf, 8: 100.0}


def test_sequence_breakers() -> None:
    assert read_sequence_breakers(["none"]) == ()
    assert read_sequence_breakers([r"\n", r"a\\b", '"']) == ("\n", "a\\b", '"')


def test_chain_shows_the_order_and_what_is_on() -> None:
    assert Sampler().chain == ("top-k", "top-p", "min-p", "temperature")
    assert Sampler(temperature=0).chain == ("top-k", "top-p", "min-p", "temperature")
    assert Sampler(mirostat=1, repeat_penalty=1.2, logit_bias={1: 1.0}).chain == (
        "logit-bias", "temperature", "mirostat",
    )  # fmt: skip
    assert Sampler(mirostat=2, temperature=1.0).chain == ("mirostat-v2",)
    assert Sampler(samplers="atk", adaptive_target=0.3).chain == ("temperature", "top-k", "adaptive-p")
