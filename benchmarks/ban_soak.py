"""The promise of the bans, on a million texts: random lists, vocabularies and tokens, judged by the slow twin.

    python -m benchmarks.ban_soak --texts 1000000 --seed 1

Every text is written by a stub model that draws any token, legal or not. Of a legal one the text goes on; of an
illegal one the twin (`tests/bans/twin.py`: the whole text folded and searched with plain code) is asked whether
the text with it does hold a match. A *leak* is a text with a match, a *false alarm* a token refused without need.
A text *bites* if at least one token was refused in it.
"""

import argparse
import json
import random
import time

from tests.bans import cases


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--each", type=int, default=8, help="texts for each list and vocabulary")
    parser.add_argument("--longest", type=int, default=16, help="most tokens in a text")
    options = parser.parse_args()
    texts = leaks = false_alarms = biting = refused = lists = 0
    started = time.process_time()
    while texts < options.texts:
        seed = options.seed * 1_000_000_007 + lists
        lists += 1
        rng = random.Random(seed)
        case = cases.case(rng)
        matcher = cases.compiled(case)
        if matcher is None:
            continue
        for number in range(options.each):
            verdict = cases.generate(case, matcher, rng, options.longest, number % 2 == 0, number % 4 < 2)
            texts += 1
            leaks += verdict.leaks
            false_alarms += verdict.false_alarms
            biting += verdict.bites > 0
            refused += verdict.bites
            if verdict.leaks or verdict.false_alarms:
                print(f"seed {seed}, text {number}: {verdict} {case}", flush=True)
        if lists % 5000 == 0:
            print(f"{texts:,} texts, {leaks} leaks, {false_alarms} false alarms", flush=True)
    print(
        json.dumps(
            {
                "texts": texts,
                "texts_in_which_patterns_bite": biting,
                "tokens_refused": refused,
                "lists": lists,
                "leaks": leaks,
                "false_alarms": false_alarms,
                "cpu_seconds": round(time.process_time() - started),
            }
        )
    )


if __name__ == "__main__":
    main()
