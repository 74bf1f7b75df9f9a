"""Judge the rows of a file with Math-Verify and with expo-rl, and print the agreement with `expected` side by side.

    compare.py CASES.jsonl EXPO_RL_BINARY

Every disagreement is named with expo-rl's reason.
"""

import importlib.metadata
import json
import logging
import pathlib
import subprocess
import sys
import tempfile

from math_verify_rows import judge

if len(sys.argv) != 3:
    sys.exit(__doc__)
cases, binary = sys.argv[1:]
rows = [json.loads(line) for line in open(cases, encoding="utf-8")]
logging.disable(logging.WARNING)

with tempfile.TemporaryDirectory() as folder:
    out = pathlib.Path(folder, "out.jsonl")
    subprocess.run([binary, "verify", "--data", cases, "--out", out], check=True, stderr=subprocess.DEVNULL)
    ours = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
theirs = [judge(row) for row in rows]

our_score = their_score = 0
for row, our, their in zip(rows, ours, theirs, strict=True):
    expected = row["expected"]
    # Undecided is no reward, as False is.
    our_score += bool(our["correct"]) == expected
    their_score += their == expected
    if bool(our["correct"]) == expected and their == expected:
        continue
    print(f"{row['id']}: expected {expected}, Math-Verify {their}, expo-rl {our['correct']}")
    for side in ("gold", "answer"):
        text = row[side]
        print(f"    {side:6} {text if len(text) <= 160 else '... ' + text[-160:]!r}")
    print(f"    reason {our['reason']}")
version = importlib.metadata.version("math-verify")
print(f"{len(rows)} rows; Math-Verify {version}: {their_score} agree ({their_score / len(rows):.1%}); expo-rl: {our_score} ({our_score / len(rows):.1%})")
