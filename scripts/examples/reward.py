"""A reward as an external command: one JSON object a line comes in for each completion, one line goes out for each.

    [reward.external.brevity]
    command = ["python3", "scripts/examples/reward.py"]
    weight = 0.2

It rewards lines of reasoning that are short, and does not apply (null) where the completion was cut off. docs/rewards.md lists the fields of a row.
Whatever else a command has to say goes to standard error.
"""

import json
import sys

LONGEST_LINE = 80


def reward(row):
    if row["truncated"]:
        return None
    lines = row["completion"].splitlines()
    return sum(len(line) <= LONGEST_LINE for line in lines) / max(1, len(lines))


for line in sys.stdin:
    row = json.loads(line)
    # Without the flush the answers would stay in a buffer, and both sides would wait.
    print(json.dumps({"id": row["id"], "reward": reward(row)}), flush=True)
