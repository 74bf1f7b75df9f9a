"""A long run at the highest step rate, with a checkpoint every few seconds: what it takes must not grow.

    python scripts/soak.py OUT [--minutes 30] [--external] [--binary target/release/expo-rl] [--svg FILE]

Starts `expo-rl train` on the model in the binary in the new folder OUT/run, one question of short completions a step, and samples every few seconds: resident memory,
open file descriptors and threads of the process (from /proc), the bytes of the run's folder with and without its logs, and the steps done. After the time it
sends SIGTERM and expects exit code 143. OUT/samples.csv holds the samples; a table is printed, and a picture drawn into FILE. --external adds a reward that
scripts/examples/reward.py gives. Exit code 1: memory grows by more than 1 MiB in 10 minutes (a line fitted to all but the first fifth), handles, threads or checkpoints become
more, or the run doesn't end as it should. Use the binary of `cargo build --release`: those built for tests remember what they wrote. Linux, standard library only.
"""

import argparse
import csv
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SETS = [
    "train.recipe=exp-grpo", "train.steps=100000000", "train.prompts_per_step=1", "rollout.num_generations=2", "rollout.max_new_tokens=8",
    "exp.num_explanations=1", "exp.max_new_tokens=8", "rehearsal.documents_per_step=1", "data.generate=64", "train.log_completions=1",
    "optim.lr_scheduler_type=constant", "optim.learning_rate=1e-5",
]  # fmt: skip
FIELDS = ["seconds", "steps", "rss_mib", "descriptors", "threads", "checkpoints_mib", "checkpoints", "logs_mib"]
MIB = 1 << 20
# Files that get a row or more a step, and so grow by design.
LOGS = ["metrics.jsonl", "completions.jsonl", "tensorboard"]


def size(path):
    """Bytes of a file or folder; what is renamed or removed meanwhile counts nothing."""
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            try:
                total += os.stat(os.path.join(folder, name)).st_size
            except FileNotFoundError:
                pass
    return total + (path.stat().st_size if path.is_file() else 0)


def last_step(metrics):
    """The step of the last whole row."""
    try:
        with open(metrics, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 20000))
            rows = file.read().split(b"\n")[:-1]
    except FileNotFoundError:
        return 0
    return int(rows[-1].split(b'"step":')[1].split(b",")[0].rstrip(b"}")) if rows else 0


def sample(pid, run, begin):
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    checkpoints = run / "checkpoints"
    return {
        "seconds": round(time.monotonic() - begin, 1),
        "steps": last_step(run / "metrics.jsonl"),
        "rss_mib": round(int(status["VmRSS"].split()[0]) / 1024, 2),
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "threads": int(status["Threads"]),
        "checkpoints_mib": round(size(checkpoints) / MIB, 3),
        "checkpoints": len(os.listdir(checkpoints)) if checkpoints.is_dir() else 0,
        "logs_mib": round(sum(size(run / name) for name in LOGS) / MIB, 3),
    }


def slope(rows, field):
    """Growth of `field` an hour: a line fitted to all but the first fifth of the samples."""
    rows = rows[len(rows) // 5 :]
    return 3600 * statistics.linear_regression([row["seconds"] for row in rows], [row[field] for row in rows]).slope


def panel(rows, field, title, top, color):
    """One curve: a box 560 wide and 90 high, its highest value and its last one written beside it."""
    highest = max(max(row[field] for row in rows) * 1.15, 1e-9)
    end = rows[-1]["seconds"]
    points = " ".join(f"{60 + 560 * row['seconds'] / end:.1f},{top + 90 - 90 * row[field] / highest:.1f}" for row in rows)
    return (
        f'<text x="60" y="{top - 6}" class="t">{title}</text><rect x="60" y="{top}" width="560" height="90" class="b"/>'
        f'<text x="55" y="{top + 8}" text-anchor="end">{highest:.4g}</text><text x="55" y="{top + 90}" text-anchor="end">0</text>'
        f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.5"/>'
        f'<text x="626" y="{top + 94 - 90 * rows[-1][field] / highest:.1f}">{rows[-1][field]:g}</text>'
    )


def picture(rows):
    # A thousand samples are more than the pixels show.
    rows = [*rows[:: max(1, len(rows) // 300)], rows[-1]]
    panels = [
        ("rss_mib", "resident memory, MiB", "#1f77b4"),
        ("descriptors", "open file descriptors", "#d62728"),
        ("threads", "threads", "#9467bd"),
        ("checkpoints_mib", "checkpoints on the disk, MiB", "#2ca02c"),
        ("logs_mib", "logs on the disk, MiB (rows of every step)", "#8c564b"),
    ]
    body = "".join(panel(rows, field, title, 30 + 125 * i, color) for i, (field, title, color) in enumerate(panels))
    bottom = 30 + 125 * len(panels)
    minutes = f"{rows[-1]['seconds'] / 60:.0f} minutes, {rows[-1]['steps']} steps"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 680 {bottom}" font-family="sans-serif" font-size="11">'
        "<style>.b{fill:none;stroke:#999}.t{font-weight:bold}</style>"
        f'<rect width="680" height="{bottom}" fill="white"/>{body}<text x="620" y="{bottom - 20}" text-anchor="end">{minutes}</text></svg>\n'
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--every", type=float, default=3, help="seconds between samples")
    parser.add_argument("--save-every", type=int, default=500, help="steps between checkpoints")
    parser.add_argument("--external", action="store_true")
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/expo-rl")
    parser.add_argument("--svg", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True)
    run = args.out.resolve() / "run"
    command = [args.binary.resolve(), "train", "configs/exp-grpo-tiny.toml", "--out", run]
    sets = [*SETS, f"train.save_every={args.save_every}"]
    if args.external:
        sets += ['reward.external.brevity.command=["python3", "scripts/examples/reward.py"]', "reward.external.brevity.weight=0.2"]
    for one in sets:
        command += ["--set", one]
    with open(args.out / "log", "w") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    begin, rows = time.monotonic(), []
    with open(args.out / "samples.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        while time.monotonic() - begin < 60 * args.minutes and process.poll() is None:
            time.sleep(args.every)
            try:
                rows.append(sample(process.pid, run, begin))
            except (FileNotFoundError, KeyError):
                break
            writer.writerow(rows[-1])
            file.flush()
    process.send_signal(signal.SIGTERM)
    code = process.wait()

    settled = rows[len(rows) // 5 :]
    print("| | after a fifth | at the end | highest | growth an hour |\n|---|---|---|---|---|")
    for field in FIELDS[2:]:
        values = [row[field] for row in settled]
        print(f"| {field} | {values[0]:g} | {values[-1]:g} | {max(values):g} | {slope(rows, field):.3g} |")
    print(f"{rows[-1]['steps']} steps in {rows[-1]['seconds']:.0f} s, exit code {code}")
    if args.svg:
        args.svg.write_text(picture(rows))
    fifth = max(1, len(rows) // 5)
    # A writer of a checkpoint has a thread and a file while it writes: not the highest counts, but the usual ones.
    more = lambda field: statistics.median(row[field] for row in rows[-fifth:]) > statistics.median(row[field] for row in rows[:fifth])
    limits = {
        "exit code is not 143": code != 143,
        "memory grows": slope(rows, "rss_mib") > 6,
        "descriptors become more": more("descriptors"),
        "threads become more": more("threads"),
        # The two that stay, and the one that is written.
        "more than three checkpoints at once": max(row["checkpoints"] for row in rows) > 3,
    }
    broken = [what for what, holds in limits.items() if holds]
    print("; ".join(broken) or "nothing grows but the logs")
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
