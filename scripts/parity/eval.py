"""Figures of `expo-rl eval` computed again from the completions that it kept.

    expo-rl eval --model DIR --data FILE --samples N --k 1,2,4 --completions c.jsonl --json r.json
    python scripts/parity/eval.py c.jsonl r.json

pass@k is the share of all k-subsets of a problem's samples that hold a right one, counted one by one, mean over problems; maj@n is counted from the answers as
they are written where no two of a problem's different answers are equal as mathematics; intervals are bootstrapped anew with Python's random numbers. For GSM8K each
sample is also judged by a regular expression (the number after the last `####`), and the disagreements are listed. Needs Python alone.
"""

import collections
import itertools
import json
import random
import re
import sys


def pass_at_k(correct, k):
    subsets = list(itertools.combinations(correct, k))
    return sum(any(subset) for subset in subsets) / len(subsets)


def majority(samples):
    """Whether the most frequent answer, the first given of equally frequent ones, is right."""
    answers = [sample["extracted"] for sample in samples if sample["extracted"] is not None]
    if not answers:
        return False
    winner = collections.Counter(answers).most_common(1)[0][0]
    return next(sample["correct"] for sample in samples if sample["extracted"] == winner)


def bootstrap(values, resamples, confidence):
    rng = random.Random(1)
    means = sorted(sum(rng.choices(values, k=len(values))) / len(values) for _ in range(resamples))

    def quantile(q):
        place = q * (len(means) - 1)
        below = int(place)
        above = min(below + 1, len(means) - 1)
        return means[below] + (place - below) * (means[above] - means[below])

    return quantile((1 - confidence) / 2), quantile((1 + confidence) / 2)


def judged_by_regex(sample, answer):
    found = re.findall(r"####\s*\$?(-?[\d,]*\.?\d+)", sample["text"])
    return bool(found) and float(found[-1].replace(",", "")) == float(answer)


def main():
    rows = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
    report = json.load(open(sys.argv[2], encoding="utf-8"))
    worst = 0.0
    values_of = []
    for evaluation in report["evaluations"]:
        chosen = [row for row in rows if row["model"] == evaluation["model"] and row["sampling"] == evaluation["sampling"]]
        assert len(chosen) == evaluation["problems"], f"{len(chosen)} rows of {evaluation['problems']} problems"
        samples = [row["samples"][: evaluation["samples"]] for row in chosen]
        values = {}
        for metric, found in evaluation.items():
            if metric.startswith("pass@"):
                values[metric] = [pass_at_k([s["correct"] for s in of], int(metric[5:])) for of in samples]
            elif metric.startswith("maj@"):
                values[metric] = [float(majority(of)) for of in samples]
                again = sum(values[metric]) / len(samples)
                kept = sum(row["majority_correct"] for row in chosen) / len(chosen)
                print(f"{metric}: reported {found['mean']:.4f}, kept {kept:.4f}, by answers as written {again:.4f}")
                worst = max(worst, abs(kept - found["mean"]))
                continue
            else:
                continue
            mean = sum(values[metric]) / len(samples)
            low, high = bootstrap(values[metric], report["resamples"], report["confidence"])
            worst = max(worst, abs(mean - found["mean"]))
            print(f"{metric}: reported {found['mean']:.6f} [{found['low']:.3f}, {found['high']:.3f}], direct {mean:.6f} [{low:.3f}, {high:.3f}]")
        values_of.append(values)
        try:
            judged = [(row, s, judged_by_regex(s, row["answer"])) for row, of in zip(chosen, samples) for s in of]
        except ValueError:
            judged = []
        other = [(row["problem"], s["extracted"], row["answer"]) for row, s, right in judged if right != s["correct"]]
        if judged:
            print(f"judged by the number after ####: {len(judged) - len(other)} of {len(judged)} samples alike; others (problem, answer, gold): {other}")
    for difference in report["differences"]:
        if difference.get("field"):
            continue
        place = {(e["model"], e["sampling"]["temperature"]): i for i, e in enumerate(report["evaluations"])}
        of = [values_of[place[(difference[side]["model"], difference[side]["temperature"])]] for side in ("minuend", "subtrahend")]
        for metric in difference:
            if metric.startswith("pass@"):
                paired = [a - b for a, b in zip(of[0][metric], of[1][metric])]
                mean = sum(paired) / len(paired)
                worst = max(worst, abs(mean - difference[metric]["mean"]))
                low, high = bootstrap(paired, report["resamples"], report["confidence"])
                found = difference[metric]
                print(f"difference {metric}: reported {found['mean']:+.6f} [{found['low']:+.3f}, {found['high']:+.3f}], direct {mean:+.6f} [{low:+.3f}, {high:+.3f}]")
    print(f"largest difference of a mean: {worst:.1e}")
    sys.exit(worst > 1e-9)


if __name__ == "__main__":
    main()
