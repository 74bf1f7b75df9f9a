"""Reads a run's TensorBoard event files back with tensorboard itself and compares them with metrics.jsonl (pip install tensorboard):

    python scripts/check-tensorboard.py RUN

Exit code 0: every step and metric is there, with the same value in single precision.
"""

import json
import sys
from pathlib import Path

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

run = Path(sys.argv[1])
accumulator = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
accumulator.Reload()
rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
expected = {}
for row in rows:
    for name, value in row.items():
        if name != "step" and value is not None:
            expected.setdefault(name, []).append((row["step"], float(np.float32(value))))
tags = set(accumulator.Tags()["scalars"])
if tags != set(expected):
    sys.exit(f"tags differ: {sorted(tags ^ set(expected))}")
for name, points in expected.items():
    found = [(event.step, event.value) for event in accumulator.Scalars(name)]
    if found != points:
        sys.exit(f"{name}: {found[:5]} ... in the event files, {points[:5]} ... in metrics.jsonl")
print(f"{len(rows)} steps, {len(expected)} metrics, {sum(map(len, expected.values()))} values: equal")
