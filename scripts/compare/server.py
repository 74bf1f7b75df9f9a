"""What the peers share: they set up a case, run it once to warm up, then run it once for each line they are sent.

A peer's standard output is one line of JSON an answer: `{"ready": true, "versions": {...}, "threads": N}`, then
`{"seconds": S, "tokens": N, "peak_rss_gib": M}` for each line on standard input; it ends with its input. Whatever the libraries print goes to standard error.
"""

import argparse
import importlib.metadata
import json
import os
import resource
import sys
import time

from cases import CASES


class Server:
    """The lines between a peer and `compare.py`."""

    def __init__(self):
        # The libraries print, too: only this object has the real standard output.
        self.out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def send(self, **fields):
        print(json.dumps(fields), file=self.out, flush=True)

    def ready(self, packages, threads):
        """Ends the warm-up."""
        self.send(ready=True, versions={name: importlib.metadata.version(name) for name in packages}, threads=threads)

    def measured(self, seconds, tokens):
        self.send(seconds=seconds, tokens=tokens, peak_rss_gib=peak_rss_gib())

    def wait(self):
        """True when another iteration is wanted, False when the input has ended. The process sleeps meanwhile."""
        return bool(sys.stdin.readline())

    def serve(self, iteration, packages, threads):
        """Warms up, then measures `iteration`, which returns its tokens, as often as asked."""
        iteration()
        self.ready(packages, threads)
        while self.wait():
            start = time.perf_counter()
            tokens = iteration()
            self.measured(time.perf_counter() - start, tokens)


def peak_rss_gib():
    """Most memory that this process ever had resident. `ru_maxrss` would count the process that started it, too, so it serves only elsewhere."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 2**20
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)


def arguments(peer, doc, **extra):
    """`--case` (one of this peer's), `--threads` and the options in `extra`."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", required=True, choices=[name for name, case in CASES.items() if case.peer == peer] + extra.pop("also", []))
    parser.add_argument("--threads", type=int, default=2)
    for name, options in extra.items():
        parser.add_argument(f"--{name}", **options)
    return parser.parse_args()
