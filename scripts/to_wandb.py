"""Hands finished or running runs to Weights & Biases: metrics.jsonl step by step, the configuration of run.json.

    pip install wandb
    python scripts/to_wandb.py runs/mine runs/other --project expo-rl
    WANDB_MODE=offline python scripts/to_wandb.py runs/mine      # writes ./wandb; `wandb sync` sends it later

A run keeps its name and its identity: the same folder handed over again goes on where it ended (with --again: from its start, under a new identity).
"""

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path


def read_run(folder: Path):
    """The run's description and the rows of its metrics; a last line that is only half written is left out."""
    try:
        info = json.loads((folder / "run.json").read_text())
        lines = (folder / "metrics.jsonl").read_text().splitlines()
    except (OSError, ValueError) as error:
        sys.exit(f"{folder}: not the folder of a run that can be read: {error}")
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            if number < len(lines):
                sys.exit(f"{folder / 'metrics.jsonl'}:{number}: not a JSON object: {error}")
    return info, rows


def identity(folder: Path, info: dict) -> str:
    """The same for the same run in the same place: wandb goes on with a run that it knows."""
    key = f"{folder.resolve()}\n{info.get('date_unix_seconds')}\n{info.get('config', {}).get('train', {}).get('seed')}"
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument("--project", default="expo-rl")
    parser.add_argument("--entity", help="user or team (default: wandb's own)")
    parser.add_argument("--group", help="one group for all these runs (default: none)")
    parser.add_argument("--again", action="store_true", help="as new runs, though they were handed over before")
    args = parser.parse_args()
    runs = [(folder, *read_run(folder)) for folder in args.runs]
    import wandb  # after the folders are known to be good: it takes a while

    for folder, info, rows in runs:
        run = wandb.init(
            project=args.project,
            entity=args.entity,
            group=args.group,
            name=folder.resolve().name,
            id=None if args.again else identity(folder, info),
            resume=None if args.again else "allow",
            config={**info.get("config", {}), "expo_rl": {k: v for k, v in info.items() if k != "config"}},
            settings=wandb.Settings(console="off", silent=True),
        )
        # What is there already is not sent twice; wandb refuses earlier steps anyway.
        known = -1 if os.environ.get("WANDB_MODE") == "offline" else (run.step - 1 if run.resumed else -1)
        sent = 0
        for row in rows:
            step = int(row["step"])
            if step > known:
                run.log({name: value for name, value in row.items() if name != "step" and value is not None}, step=step)
                sent += 1
        best = folder / "best.json"
        if best.is_file():
            run.summary["best"] = json.loads(best.read_text())
        run.finish()
        print(f"{folder}: {sent} steps")


if __name__ == "__main__":
    main()
