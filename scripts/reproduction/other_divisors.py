"""Divisions with divisors that level 5 does not have, to be evaluated: is what was learnt a rule, or a table of five divisors?

    python scripts/reproduction/other_divisors.py > configs/reproduction/other-divisors.jsonl

Quotients of four digits as in level 5, divisors 35 to 39, all of the held-out side of the generator's fixed partition
(`split_of` in crates/expo-core/src/data/generator/mod.rs). Standard library only.
"""

import json
import random

ROWS = 192


def held_out(quotient: int, divisor: int) -> bool:
    """SplitMix64's finaliser of quotient and divisor: one division in five."""
    mask = (1 << 64) - 1
    x = ((quotient << 20 ^ divisor) + 0x9E3779B97F4A7C15) & mask
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & mask
    x = (x ^ x >> 27) * 0x94D049BB133111EB & mask
    x ^= x >> 31
    return x % 5 == 0


def main() -> None:
    pool = [(q, d) for q in range(1000, 10000) for d in range(35, 40) if held_out(q, d)]
    for quotient, divisor in random.Random(0).sample(pool, ROWS):
        print(json.dumps({"question": f"{quotient * divisor}/{divisor}?", "answer": str(quotient)}))


if __name__ == "__main__":
    main()
