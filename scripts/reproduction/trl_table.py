"""Learning curves of runs beside those of scripts/reproduction/trl_grpo.py, as a Markdown table: means over bins of 20 steps, mean and standard deviation over seeds.

    trl_table.py METRIC runs/trl/GRPO trl

Each folder holds seed-*/metrics.jsonl. Standard library only.
"""

import json
import pathlib
import statistics
import sys

BIN = 20
metric, *folders = sys.argv[1:]


def curve(path):
    rows = [json.loads(line) for line in open(path)]
    return [statistics.mean(row[metric] for row in rows[i : i + BIN]) for i in range(0, len(rows), BIN)]


curves = [[curve(path) for path in sorted(pathlib.Path(folder).glob("seed-*/metrics.jsonl"))] for folder in folders]
print("| steps | " + " | ".join(folders) + " |\n|---|" + "---:|" * len(folders))
for i in range(len(curves[0][0])):
    cells = [f"{statistics.mean(x[i] for x in seeds):.3f} ± {statistics.stdev(x[i] for x in seeds):.3f}" for seeds in curves]
    print(f"| {i * BIN + 1} to {(i + 1) * BIN} | " + " | ".join(cells) + " |")
