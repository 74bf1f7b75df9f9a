"""Time Math-Verify and expo-rl on the same rows, one core each, in turns.

    speed.py EXPO_RL_BINARY ROWS SEED FILE.jsonl ...

Draws ROWS golds (the field `answer` of the files) and judges each against itself in a sentence with a box, and against another gold's. Each side reads text and judges
(extraction, parsing, comparison); expo-rl's time includes reading and writing its files. Best of three for expo-rl, which is over in moments; Math-Verify once
before (warming its caches) on a tenth of the rows.
"""

import json
import logging
import pathlib
import random
import subprocess
import sys
import tempfile
import time

from math_verify_rows import judge

if len(sys.argv) < 5:
    sys.exit(__doc__)
binary, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
golds = [json.loads(line)["answer"] for path in sys.argv[4:] for line in open(path, encoding="utf-8")]
random.seed(seed)
golds = random.sample([gold for gold in golds if gold], count)
logging.disable(logging.WARNING)


def row(gold, answer):
    return {"gold": f"${gold}$", "answer": f"Adding the two gives the result: it is $\\boxed{{{answer}}}$.", "boxed_priority": 0}


rows = [row(gold, answer) for pair in zip(golds, golds[1:] + golds[:1]) for gold, answer in [(pair[0], pair[0]), pair]]
for each in rows[: len(rows) // 10]:
    judge(each)

with tempfile.TemporaryDirectory() as folder:
    data, out = pathlib.Path(folder, "in.jsonl"), pathlib.Path(folder, "out.jsonl")
    data.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")

    def ours(repeat):
        """Seconds for the rows `repeat` times."""
        data.write_text("".join(json.dumps(each) + "\n" for each in rows) * repeat, encoding="utf-8")
        start = time.perf_counter()
        subprocess.run([binary, "verify", "--threads", "1", "--data", data, "--out", out], check=True, stderr=subprocess.DEVNULL)
        return time.perf_counter() - start

    repeat = 10
    before = min(ours(repeat) for _ in range(3)) / repeat
    start = time.perf_counter()
    theirs_equal = sum(judge(each) for each in rows)
    theirs = time.perf_counter() - start
    after = min(ours(repeat) for _ in range(3)) / repeat
    ours_equal = sum(json.loads(line)["correct"] is True for line in out.open(encoding="utf-8")) // repeat
best = min(before, after)
print(f"{len(rows)} rows, half of them equal")
print(f"Math-Verify: {len(rows) / theirs:.0f} a second, {theirs_equal} equal")
print(f"expo-rl:     {len(rows) / best:.0f} a second, {ours_equal} equal (before {len(rows) / before:.0f}, after {len(rows) / after:.0f})")
print(f"ratio:       {theirs / best:.0f}")
