"""Turn Math-Verify's own tests into rows for `expo-rl verify --data`.

    build_cases.py SDIST_FOLDER CASES.jsonl

The test modules of the unpacked sdist run with `compare_strings`, `parse` and `verify` replaced by recorders, so that options and expectations
are the tests' own. Left out: tests that compare sympy objects made without text, that patch Math-Verify's internals (time-outs), or whose configuration has no
counterpart (other strings than choice letters, switched-off normalisation).
"""

import importlib
import json
import pathlib
import sys

if len(sys.argv) != 3:
    sys.exit(__doc__)
folder, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
sys.path.insert(0, str(folder))
rows = []
current = {}


class Recorded:
    """What a replaced call returns: comparing it with the expectation records the row."""

    def __init__(self, row):
        self.row = row

    def __eq__(self, expected):
        rows.append({**current, **self.row, "expected": bool(expected)})
        return True

    def __int__(self):
        return current["result"]  # `int(verify(...)) == result`


def compare_strings(gold, pred, match_types=("latex", "expr"), precision=6, strict=True, allow_set_relation_comp=False):
    row = dict(gold=gold, answer=pred, kinds=list(match_types), decimals=precision, strict=strict)
    return Recorded({**row, "allow_set_relation": allow_set_relation_comp, "boxed_priority": 0})


def defaults(gold, answer, **options):
    row = dict(gold=gold, answer=answer, kinds=["latex", "expr"], decimals=6, strict=True, allow_set_relation=False, boxed_priority=50)
    rows.append({**current, **row, **options})


def parametrized(function):
    """(name of the test, its arguments) of a parametrized test."""
    for mark in getattr(function, "pytestmark", []):
        names = [name.strip() for name in mark.args[0].split(",")]
        for index, values in enumerate(mark.args[1]):
            yield f"{function.__name__}[{index}]", dict(zip(names, values))


tests = importlib.import_module("tests.test_all")
for name in ["all", "boxed", "numina_cases", "open_thoughts", "strict"]:
    module = importlib.import_module(f"tests.test_{name}")
    module.compare_strings = compare_strings
    for key, function in list(vars(module).items()):
        if not key.startswith("test_") or not callable(function) or function.__module__ != module.__name__:
            continue
        cases = list(parametrized(function)) or [(key, {})]
        for case, arguments in cases:
            current = {"id": f"test_{name}::{case}"}
            before = len(rows)
            function(**arguments)
            if len(rows) != before + 1:
                sys.exit(f"{case}: recorded {len(rows) - before} rows, expected 1")

for case, arguments in parametrized(importlib.import_module("tests.test_yujianll").test_string_extraction):
    current = {"id": f"test_yujianll::{case}"}
    defaults(arguments["gold"], arguments["pred"], expected=bool(arguments["result"]))

for case, arguments in parametrized(importlib.import_module("tests.test_string_extraction").test_string_extraction):
    current = {"id": f"test_string_extraction::{case}"}
    found, letters = arguments["expected"], arguments["config"].strings
    if letters == ("A", "B", "C", "D"):
        # A list of what is extracted; nothing extracted can't equal any letter.
        defaults(found[-1] if found else "A", arguments["pred"], kinds=["string"], expected=bool(found))

# tests/test_configs.py, by hand: what the asserts say of `boxed_match_priority`.
current = {"id": "test_configs::test_boxed_match_priority"}
defaults("$1$", "\\boxed{1}", kinds=["latex"], expected=True)
defaults("$1$", "\\boxed{1}", kinds=["latex"], boxed_priority=-1, expected=False)
defaults("$9999$", "final answer is $9999$, \\boxed{1}", kinds=["latex"], boxed_priority=100, expected=True)
current = {"id": "test_configs::test_normalization_config"}
defaults("$1/2$", "$\\frac12$", kinds=["latex"], expected=True)

out.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
print(f"{len(rows)} rows")
