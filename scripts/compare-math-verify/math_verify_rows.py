"""Math-Verify on a row of `expo-rl verify --data`, with the row's options."""

from math_verify import ExprExtractionConfig, LatexExtractionConfig, StringExtractionConfig, parse, verify


def judge(row, timeout_seconds=5):
    """Whether Math-Verify takes the row's answer for equal to its gold."""
    targets = {
        "latex": LatexExtractionConfig(boxed_match_priority=row.get("boxed_priority", 50)),
        "expr": ExprExtractionConfig(),
        "string": StringExtractionConfig(),
    }
    chosen = [targets[kind] for kind in row.get("kinds", ["latex", "expr"])]
    gold, answer = (parse(row[side], chosen, parsing_timeout=timeout_seconds) for side in ("gold", "answer"))
    return verify(
        gold,
        answer,
        float_rounding=row.get("decimals", 6),
        strict=row.get("strict", True),
        allow_set_relation_comp=row.get("allow_set_relation", False),
        timeout_seconds=timeout_seconds,
    )
