"""Problems of the division generator with expert chains of thought in other styles, from far from the start policy's to its own, for configs/reproduction/properties.toml.

    expo-rl data make --level 5 -n 8192 --seed 1 --out runs/data/terse.jsonl
    expert_styles.py runs/data/terse.jsonl subtractions > runs/data/subtractions.jsonl
    expert_styles.py runs/data/terse.jsonl own > runs/data/own.jsonl

subtractions: what a schoolbook shows, `62-56;68-64;48-48;`, the products not written out. own: the style of the pretraining documents, `62:7*8=56-6;68:8*8=64-4;48:6*8=48-0;`.
"""

import json
import sys

STYLES = {
    "subtractions": lambda current, digit, divisor: f"{current}-{digit * divisor};",
    "own": lambda current, digit, divisor: f"{current}:{digit}*{divisor}={digit * divisor}-{current - digit * divisor};",
}


def solution(question, style):
    dividend, divisor = question.removesuffix("?").split("/")
    divisor, current, steps = int(divisor), 0, []
    for digit in dividend:
        current = current * 10 + int(digit)
        if steps or current >= divisor:
            steps.append(STYLES[style](current, current // divisor, divisor))
            current %= divisor
    return "".join(steps)


for line in open(sys.argv[1]):
    row = json.loads(line)
    print(json.dumps({**row, "solution": solution(row["question"], sys.argv[2])}, separators=(",", ":")))
