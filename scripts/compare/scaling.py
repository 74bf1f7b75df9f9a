"""How the cost of a training step grows: runs `expo-rl bench train` over threads, sequence lengths, batch sizes and models, and plots the measured points.

    scaling.py --expo-rl target/release/expo-rl [--runs 3] [--json points.json] [--svg FILE.svg]

Every point is a process of its own, with a warm-up. The table goes to standard output (Markdown), progress to standard error; `--svg` needs matplotlib.
`--from points.json` plots and prints points measured earlier.
"""

import argparse
import json
import pathlib
import subprocess
import sys

LENGTHS = [(128, 64), (32, 256), (8, 1024), (2, 4096)]
BATCHES = [1, 4, 16, 64, 256]
MODELS = ["small", "smollm2-135m", "qwen2.5-0.5b"]


def points():
    """Name of the series, then the arguments of `bench`."""
    for threads in (1, 2):
        yield "threads", "train", {"shape": "small", "batch": 32, "seq": 256, "threads": threads}
        yield "threads", "generate", {"shape": "small", "batch": 32, "prompt": 64, "new": 128, "threads": threads}
    for batch, seq in LENGTHS:
        yield "length", "train", {"shape": "small", "batch": batch, "seq": seq}
    for batch in BATCHES:
        yield "batch", "train", {"shape": "small", "batch": batch, "seq": 64}
    for shape in MODELS:
        yield "model", "train", {"shape": shape, "batch": 2, "seq": 256}


def measure(binary, kind, options, runs):
    words = [word for option, value in options.items() for word in (f"--{option}", str(value))]
    output = subprocess.run([binary, "bench", kind, *words, "--runs", str(runs), "--json"], check=True, capture_output=True, text=True)
    return json.loads(output.stdout)


def table(measured):
    yield "| series | what | s | tokens/s | of which head | share of the product's rate | peak GiB |"
    yield "|---|---|---|---|---|---|---|"
    for point in measured:
        options, result = point["options"], point["result"]
        what = ", ".join(f"{value} {option}" if isinstance(value, int) else value for option, value in options.items())
        rate = result.get("tokens_per_s") or result["new_tokens_per_s"]
        head = f"{result['seconds/head'] / result['seconds']:.0%}" if "seconds/head" in result else ""
        yield (
            f"| {point['series']} | {point['kind']}: {what} | {result['seconds']:.3f} | {rate:.0f} | {head} | {result['share_of_ceiling']:.0%} | {result['peak_rss_gib']:.2f} |"
        )


def plot(measured, path):
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "expo-rl"
    from matplotlib import pyplot

    def series(name):
        return [(p["options"], p["result"]) for p in measured if p["series"] == name and p["kind"] == "train"]

    figure, axes = pyplot.subplots(1, 3, figsize=(12, 3.6), constrained_layout=True)
    lengths = series("length")
    axes[0].plot([o["seq"] for o, _ in lengths], [1e6 * r["seconds"] / (o["batch"] * o["seq"]) for o, r in lengths], "o-")
    axes[0].set(xscale="log", xlabel="sequence length (8192 tokens a step)", ylabel="µs a token", title="length", ylim=(0, None))
    axes[0].set_xticks([o["seq"] for o, _ in lengths], [o["seq"] for o, _ in lengths])
    batches = series("batch")
    axes[1].plot([o["batch"] * o["seq"] for o, _ in batches], [r["seconds"] for _, r in batches], "o-")
    axes[1].set(xscale="log", yscale="log", xlabel="tokens a step (sequences of 64)", ylabel="s a step", title="batch")
    models = series("model")
    size = [r["parameters"] for _, r in models]
    tokens = [o["batch"] * o["seq"] for o, _ in models]
    axes[2].plot(size, [1e3 * r["seconds"] / n for (_, r), n in zip(models, tokens)], "o-", label="whole step")
    axes[2].plot(size, [1e3 * r["seconds/head"] / n for (_, r), n in zip(models, tokens)], "s--", label="head (512, 49152, 151936 tokens)")
    axes[2].set(xscale="log", yscale="log", xlabel="parameters (2 x 256 tokens a step)", ylabel="ms a token", title="model and vocabulary")
    axes[2].legend()
    figure.savefig(path, metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--expo-rl", default="target/release/expo-rl")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--svg", type=pathlib.Path)
    parser.add_argument("--from", dest="points", type=pathlib.Path)
    arguments = parser.parse_args()
    if arguments.points:
        measured = json.loads(arguments.points.read_text(encoding="utf-8"))
    else:
        measured = []
        for series, kind, options in points():
            print(series, kind, options, file=sys.stderr)
            measured.append({"series": series, "kind": kind, "options": options, "result": measure(arguments.expo_rl, kind, options, arguments.runs)})
    if arguments.json:
        arguments.json.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    for line in table(measured):
        print(line)
    if arguments.svg:
        plot(measured, arguments.svg)


if __name__ == "__main__":
    main()
