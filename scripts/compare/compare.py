"""Run `expo-rl bench` and the peers on the same work in turns, and print the table of ratios (Markdown).

    compare.py --expo-rl target/release/expo-rl [--cases a,b,...] [--pairs 5] [--threads 2] [--python PYTHON] [--json FILE]

For each case the peer is started and warmed up; then its iterations and processes of ours (each with a warm-up of its own) alternate. Progress goes to standard error.
A side that fails is reported below the table, and the other cases go on.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

from cases import CASES

HERE = pathlib.Path(__file__).resolve().parent


class Failure(Exception):
    """One side of a case failed."""


def last_words(text):
    """The line of a program's error output that says most, shortened."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("error", "Error"))]
    return (errors or lines[-1:] or ["no message"])[0][:300]


class Peer:
    """A peer's process; sleeps between iterations."""

    def __init__(self, python, script, case, threads):
        self.errors = tempfile.TemporaryFile("w+", errors="replace")
        self.process = subprocess.Popen(
            [python, HERE / script, "--case", case, "--threads", str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        )

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            self.errors.seek(0)
            raise Failure(f"the peer ended with code {code}: {last_words(self.errors.read())}")
        return json.loads(line)

    def measure(self):
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # `answer` says why
        return self.answer()

    def cpu_seconds(self):
        """Processor time used so far by all its threads (Linux; elsewhere 0)."""
        try:
            fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def ours(binary, case, threads):
    """One process of ours: its line of JSON."""
    command = [binary, *case.command(), "--runs", "1", "--json"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "RAYON_NUM_THREADS": str(threads)})
    except OSError as error:
        raise Failure(f"{binary}: {error.strerror}") from None
    if found.returncode:
        raise Failure(f"expo-rl ended with code {found.returncode}: {last_words(found.stderr)}")
    return json.loads(found.stdout.splitlines()[-1])


def run_case(case, args):
    """Both sides in turns. Each side's failure leaves the other's figures standing."""
    result = {"case": case.name, "command": case.command(), "peer": case.peer, "ours": [], "theirs": [], "failures": []}
    peer = Peer(args.python, case.peer, case.name, args.threads)
    try:
        try:
            result["ready"] = peer.answer()
        except Failure as failure:
            result["failures"].append(str(failure))
        we_run = True
        for pair in range(args.pairs):
            if "ready" in result:
                try:
                    result["theirs"].append(peer.measure())
                    say(f"{case.name} {pair + 1}/{args.pairs}: theirs {result['theirs'][-1]['seconds']:.3f} s")
                except Failure as failure:
                    result["failures"].append(str(failure))
                    break
            if we_run:
                before = peer.cpu_seconds()
                try:
                    figures = ours(args.expo_rl, case, args.threads)
                except Failure as failure:
                    result["failures"].append(str(failure))
                    we_run = False
                    continue
                figures["peer_cpu_seconds"] = peer.cpu_seconds() - before
                result["ours"].append(figures)
                say(f"{case.name} {pair + 1}/{args.pairs}: ours {figures['seconds']:.3f} s")
    finally:
        peer.stop()
    return result


def say(text):
    print(text, file=sys.stderr, flush=True)


def cpu():
    """Model of the processor and those of its vector extensions that matter here."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine(), []
    fields = dict(reversed([[part.strip() for part in line.split(":", 1)] for line in lines if ":" in line]))
    flags = fields.get("flags", "").split()
    return fields.get("model name", platform.machine()), [flag for flag in ("avx2", "fma", "avx512f", "avx512_bf16", "amx_tile") if flag in flags]


def memory_gib():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def matmul(args):
    """The rate of PyTorch's matrix product in GFLOP/s, the best of five, and its versions."""
    peer = Peer(args.python, "peer_torch.py", "matmul", args.threads)
    try:
        versions = peer.answer()["versions"]
        return max(run["tokens"] / run["seconds"] for run in (peer.measure() for _ in range(5))) / 1e9, versions
    finally:
        peer.stop()


def machine(args):
    """The machine's state before the first case."""
    model, extensions = cpu()
    state = {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "cpu": model,
        "extensions": extensions,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": args.threads,
        "memory_gib": memory_gib(),
        "load_average": os.getloadavg(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }
    try:
        version = subprocess.run([args.expo_rl, "--version"], capture_output=True, text=True)
        state["expo_rl"] = version.stdout.strip() or last_words(version.stderr)
    except OSError as error:
        state["expo_rl"] = f"{args.expo_rl}: {error.strerror}"
    try:
        state["torch_matmul_gflops"], state["versions"] = matmul(args)
    except Failure as failure:
        say(str(failure))
        state["versions"] = {}
    return state


def report(state, results):
    """The Markdown."""
    for result in results:
        state["versions"].update(result.get("ready", {}).get("versions", {}))
    figures = [figures for result in results for figures in result["ours"]]
    ceilings = [each["ceiling_gflops"] for each in figures]
    rates = []
    if "torch_matmul_gflops" in state:
        rates.append(f"PyTorch {state['torch_matmul_gflops']:.0f} GFLOP/s")
    if ceilings:
        rates.append(f"ours {statistics.median(ceilings):.0f} ({min(ceilings):.0f} to {max(ceilings):.0f}) GFLOP/s")
    versions = ", ".join(f"{name} {version}" for name, version in sorted(state["versions"].items()))
    sets = sorted({each["instruction_set"] for each in figures if "instruction_set" in each})
    lines = [
        f"- {state['date']}; load average {', '.join(f'{load:.2f}' for load in state['load_average'])}",
        f"- {state['cpu']}, {state['cores']} cores, {state['threads']} threads a side, {state['memory_gib']:.0f} GiB; {state['system']}",
        f"- vector extensions: {', '.join(state['extensions']) or 'unknown'}{'; ours uses ' + ', '.join(sets) if sets else ''}",
        f"- {state['expo_rl']}; Python {state['python']}{', ' + versions if versions else ''}",
        f"- matrix product in fp32, 2048^3: {', '.join(rates) or 'not measured'}",
        "",
        "Seconds are medians; a ratio is theirs over ours of one pair (memory: ours over theirs), as min / **median** / max.",
        "",
        "| case | pairs | ours, s | theirs, s | theirs / ours | goal | ours, GiB | theirs, GiB | memory | goal | share of ceiling | goal |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    notes = []
    for result in results:
        lines.append("| " + " | ".join(row(result)) + " |")
        notes += [f"- {result['case']}: {failure}" for failure in result["failures"]]
        busy = max((each["peer_cpu_seconds"] / each["seconds"] for each in result["ours"]), default=0.0)
        if busy > 0.05:
            notes.append(f"- {result['case']}: the waiting peer used {busy:.0%} of a core while ours ran")
    return "\n".join(lines + ([""] + notes if notes else []))


def row(result):
    """One line of the table, cell by cell."""
    case = CASES[result["case"]]
    ours, theirs = result["ours"], result["theirs"]
    ratios = [their["seconds"] / our["seconds"] for our, their in zip(ours, theirs)]
    our_memory = max((our["peak_rss_gib"] or 0.0 for our in ours), default=None)
    their_memory = max((their["peak_rss_gib"] for their in theirs), default=None)
    memory = our_memory / their_memory if our_memory and their_memory else None
    share = statistics.median(our["share_of_ceiling"] for our in ours) if ours else None
    speed = statistics.median(ratios) if ratios else None

    def number(value, form):
        return "-" if value is None else format(value, form)

    def median(runs):
        return number(statistics.median(run["seconds"] for run in runs) if runs else None, ".3f")

    def goal(sign, bound, value, form):
        if bound is None:
            return ""
        met = value is not None and (value >= bound if sign == "≥" else value <= bound)
        return f"{sign} {format(bound, form)}" + ("" if value is None else " met" if met else " missed")

    return [
        case.name,
        str(len(ratios)),
        median(ours),
        median(theirs),
        f"{min(ratios):.2f} / **{speed:.3f}** / {max(ratios):.2f}" if ratios else "-",
        goal("≥", case.speed, speed, ".1f"),
        number(our_memory, ".2f"),
        number(their_memory, ".2f"),
        number(memory, ".3f"),
        goal("≤", case.memory, memory, ".1f"),
        number(share, ".1%"),
        goal("≥", case.share, share, ".0%"),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--expo-rl", required=True, metavar="PATH", help="our binary, built with --release")
    parser.add_argument("--cases", default=",".join(CASES), help="names, separated by commas; all: %(default)s")
    parser.add_argument("--pairs", type=int, default=5, help="iterations of each side")
    parser.add_argument("--threads", type=int, default=2, help="threads of each side")
    parser.add_argument("--python", default=sys.executable, help="the Python that has the peers' libraries")
    parser.add_argument("--json", metavar="FILE", help="write every single figure there")
    args = parser.parse_args()
    names = [name for name in args.cases.split(",") if name]
    unknown = [name for name in names if name not in CASES]
    if unknown:
        parser.error(f"unknown cases {', '.join(unknown)}; known: {', '.join(CASES)}")
    if args.pairs < 1:
        parser.error(f"--pairs is {args.pairs}; expected at least 1")
    args.expo_rl = str(pathlib.Path(args.expo_rl).resolve())
    state = machine(args)
    results = []
    for name in names:
        results.append(run_case(CASES[name], args))
        # After each case, so that a run that is broken off leaves what it measured.
        if args.json:
            pathlib.Path(args.json).write_text(json.dumps({"machine": state, "results": results}, indent=1) + "\n", encoding="utf-8")
    print(report(state, results))
    sys.exit(any(result["failures"] for result in results))


if __name__ == "__main__":
    main()
