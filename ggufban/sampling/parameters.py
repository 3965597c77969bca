"""Every sampling parameter, once: its keyword, llama.cpp's flags, default, range, and what switches it off.

`Sampler` checks its arguments against this table, and the command line makes its options from it. Names,
defaults and flags are llama.cpp's (`common/arg.cpp`, `common_params_sampling` in `common/common.h`).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ggufban.errors import ParameterError

__all__ = [
    "DEFAULT_SAMPLERS",
    "PARAMETERS",
    "SAMPLERS",
    "Parameter",
    "read_logit_bias",
    "read_samplers",
    "read_sequence_breakers",
]


GREATEST = 3.4028234e38
"""The greatest finite float32."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: what the range check, the help and the command-line option are made from."""

    name: str
    """The keyword of `Sampler`."""
    flags: tuple[str, ...]
    """llama.cpp's command-line flags."""
    type: type[int] | type[float] | type[str]
    """What one value on the command line is read as."""
    default: int | float | str | tuple[str, ...] | None
    help: str = field(kw_only=True)
    """One line, without the default and the range."""
    minimum: float | None = None
    maximum: float | None = None
    off: str | None = None
    """The value that switches it off, in words."""
    multiple: bool = False
    """Whether the flag may be given several times."""

    @property
    def range(self) -> str:
        """What is allowed, in words."""
        kind = {int: "a whole number", float: "a number", str: "text"}[self.type]
        if self.minimum is not None and self.maximum is not None:
            return f"{kind} from {self.minimum:g} to {self.maximum:g}"
        if self.minimum is not None:
            return f"{kind}, {self.minimum:g} or more"
        return f"any {'finite ' if self.type is float else ''}{kind.split(' ', 1)[1]}"

    def check(self, value: object) -> None:
        """`ParameterError` if `value` is not a number of this parameter's kind and range."""
        number = isinstance(value, int) or (self.type is float and isinstance(value, float))
        # a boolean is an int to Python, and never what was meant
        if not number or isinstance(value, bool) or not self.allows(float(value)):  # type: ignore[arg-type]
            off = "" if self.off is None else f"; {self.off} switches it off"
            raise ParameterError(f"{self.name} is {value!r}, but has to be {self.range}{off}")

    def allows(self, value: float) -> bool:
        """Whether a number is in range, and finite in float32."""
        return (
            abs(value) <= GREATEST
            and (self.minimum is None or value >= self.minimum)
            and (self.maximum is None or value <= self.maximum)
        )


PARAMETERS: tuple[Parameter, ...] = (
    Parameter("temperature", ("--temp", "--temperature"), float, 0.8, off="1",
              help="logits are divided by it; 0 or less always takes the most probable token"),
    Parameter("top_k", ("--top-k",), int, 40, minimum=-1, off="0 or -1",
              help="keep the k most probable tokens"),
    Parameter("top_p", ("--top-p",), float, 0.95, minimum=0, maximum=1, off="1",
              help="keep the most probable tokens that together reach probability p"),
    Parameter("min_p", ("--min-p",), float, 0.05, minimum=0, maximum=1, off="0",
              help="keep tokens at least p times as probable as the most probable one"),
    Parameter("typical_p", ("--typical", "--typical-p"), float, 1.0, minimum=0, maximum=1, off="1",
              help="keep the tokens of most typical surprisal that together exceed probability p"),
    Parameter("top_n_sigma", ("--top-nsigma", "--top-n-sigma"), float, -1.0, minimum=-1, off="0 or less",
              help="keep tokens whose logit is within n standard deviations of the greatest"),
    Parameter("xtc_probability", ("--xtc-probability",), float, 0.0, minimum=0, maximum=1, off="0",
              help="chance, at each step, that the most probable tokens are removed"),
    Parameter("xtc_threshold", ("--xtc-threshold",), float, 0.1, minimum=0, maximum=1, off="above 0.5",
              help="XTC removes tokens at least this probable, all but the last of them"),
    Parameter("dynatemp_range", ("--dynatemp-range",), float, 0.0, minimum=0, off="0",
              help="the temperature follows the entropy, this far up and down"),
    Parameter("dynatemp_exponent", ("--dynatemp-exp",), float, 1.0, minimum=0,
              help="how the entropy becomes a temperature"),
    Parameter("repeat_last_n", ("--repeat-last-n",), int, 64, minimum=0, off="0",
              help="how many of the last tokens the penalties look at"),
    Parameter("repeat_penalty", ("--repeat-penalty",), float, 1.0, minimum=1e-37, off="1",
              help="divides the positive and multiplies the negative logits of tokens in the window"),
    Parameter("frequency_penalty", ("--frequency-penalty",), float, 0.0, off="0",
              help="taken off a token's logit for each time it is in the window"),
    Parameter("presence_penalty", ("--presence-penalty",), float, 0.0, off="0",
              help="taken off a token's logit if it is in the window"),
    Parameter("dry_multiplier", ("--dry-multiplier",), float, 0.0, minimum=0, off="0",
              help="strength of the DRY penalty on tokens that go on with a repetition"),
    Parameter("dry_base", ("--dry-base",), float, 1.75, minimum=1,
              help="the DRY penalty is multiplier * base ^ (length of the repetition - allowed length)"),
    Parameter("dry_allowed_length", ("--dry-allowed-length",), int, 2, minimum=0,
              help="shorter repetitions have no DRY penalty"),
    Parameter("dry_penalty_last_n", ("--dry-penalty-last-n",), int, 64, minimum=0, off="0",
              help="how many of the last tokens DRY looks for repetitions in"),
    Parameter("dry_sequence_breakers", ("--dry-sequence-breaker",), str, ("\n", ":", '"', "*"), multiple=True,
              help="text across which DRY sees no repetition, instead of the default; none: no such text"),
    Parameter("adaptive_target", ("--adaptive-target",), float, -1.0, minimum=-1, maximum=1,
              off="a negative number",
              help="adaptive-p prefers tokens near this probability; samplers has to name adaptive_p"),
    Parameter("adaptive_decay", ("--adaptive-decay",), float, 0.9, minimum=0, maximum=0.99,
              help="how slowly adaptive-p forgets how probable its tokens were"),
    Parameter("mirostat", ("--mirostat",), int, 0, minimum=0, maximum=2, off="0",
              help="1 or 2: mirostat in place of all filters but temperature, and of penalties"),
    Parameter("mirostat_tau", ("--mirostat-ent",), float, 5.0, minimum=0,
              help="the surprisal that mirostat aims at, in bits"),
    Parameter("mirostat_eta", ("--mirostat-lr",), float, 0.1, minimum=0,
              help="how fast mirostat corrects itself"),
    Parameter("min_keep", ("--min-keep",), int, 0, minimum=0, off="0",
              help="top-p, min-p, typical and XTC leave at least so many tokens"),
    Parameter("logit_bias", ("-l", "--logit-bias"), str, None, multiple=True,
              help="ID+BIAS or ID-BIAS: added to the logit of the token with this id; -inf bans it"),
    Parameter("samplers", ("--samplers", "--sampler-seq", "--sampling-seq"), str, None,
              help="the filters in order: names separated by ; or one letter each"),
)  # fmt: skip
"""Every keyword of `Sampler` but `vocab`. `min_keep` has no flag in llama.cpp."""

SAMPLERS: dict[str, str] = {
    "penalties": "e",
    "dry": "d",
    "top_n_sigma": "s",
    "top_k": "k",
    "typ_p": "y",
    "top_p": "p",
    "min_p": "m",
    "xtc": "x",
    "temperature": "t",
    "adaptive_p": "a",
}
"""llama.cpp's names of the samplers that a chain is made of, and their letters, in the default order."""

DEFAULT_SAMPLERS: tuple[str, ...] = tuple(name for name in SAMPLERS if name != "adaptive_p")
"""llama.cpp's default chain; adaptive-p is in a chain only if it is asked for by name."""

ALIASES = {"nucleus": "top_p", "temp": "temperature", "typ": "typ_p", "typical": "typ_p", "typicalp": "typ_p"}
ALIASES |= {name.replace("_", ""): name for name in SAMPLERS}


def read_samplers(samplers: Sequence[str] | str | None) -> tuple[str, ...]:
    """llama.cpp's names of the samplers in order, from names, `"top_k;temperature"`, or letters, `"kt"`.

    Names may be written with dashes or without any, as in llama.cpp. None is the default chain. A name that
    is not known is a `ParameterError` (llama.cpp warns and goes on without it).

    >>> read_samplers("top-k;temp"), read_samplers("kt")
    (('top_k', 'temperature'), ('top_k', 'temperature'))
    """
    if samplers is None:
        return DEFAULT_SAMPLERS
    if isinstance(samplers, str):
        letters = {letter: name for name, letter in SAMPLERS.items()}
        if ";" not in samplers and canonical(samplers) is None and set(samplers) <= set(letters):
            return tuple(letters[letter] for letter in samplers)
        samplers = [name for name in samplers.split(";") if name.strip()]
    found = []
    for name in samplers:
        known = canonical(name)
        if known is None:
            raise ParameterError(
                f"samplers has {name!r}, but has to be made of {', '.join(SAMPLERS)}, "
                f"separated by ;, or of the letters {''.join(SAMPLERS.values())}"
            )
        found.append(known)
    return tuple(found)


def canonical(name: str) -> str | None:
    """llama.cpp's name of a sampler, however it was written; None if there is none."""
    return ALIASES.get(re.sub("[-_]", "", name.strip().lower()))


def read_logit_bias(values: Iterable[str]) -> dict[int, float]:
    """A `logit_bias` from llama.cpp's command-line form; the biases of a token that comes twice are added.

    >>> read_logit_bias(["15043+1.5", "42-inf"])
    {15043: 1.5, 42: -inf}
    """
    bias: dict[int, float] = {}
    for value in values:
        match = re.fullmatch(r"\s*(\d+)\s*([+-])\s*(inf|infinity|[\d.]+(?:e[+-]?\d+)?)\s*", value, re.IGNORECASE)
        try:
            if match is None:
                raise ValueError
            amount = float(match[2] + match[3])
        except ValueError:
            raise ParameterError(
                f"logit_bias is {value!r}, but has to be a token id, a sign and a number: 15043+1, 15043-inf"
            ) from None
        bias[int(match[1])] = bias.get(int(match[1]), 0.0) + amount
    return bias


def read_sequence_breakers(values: Iterable[str]) -> tuple[str, ...]:
    r"""`dry_sequence_breakers` from llama.cpp's command-line form: `\n` and its like are read as in C, and
    `none` takes away all that stand before it.

    >>> read_sequence_breakers(["x", "none", r"\n", ":"])
    ('\n', ':')
    """
    escapes = {r"\n": "\n", r"\t": "\t", r"\r": "\r", r"\'": "'", r"\"": '"', r"\\": "\\"}
    breakers: list[str] = []
    for value in values:
        if value == "none":
            breakers.clear()
        else:
            breakers.append(re.sub(r"\\[ntr'\"\\]", lambda match: escapes[match[0]], value))
    return tuple(breakers)
