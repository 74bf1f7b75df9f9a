"""The cases: sizes, who runs them, what they must reach. One definition for our side, the peers and the table; needs no library."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Case:
    """One workload. Ours is `expo-rl bench KIND --shape SHAPE --OPTION VALUE ...`, the peer's `PEER --case NAME`."""

    name: str
    kind: str
    shape: str
    sizes: dict
    peer: str
    # Goals: their seconds over ours at least, our peak memory over theirs at most, our share of the matrix product's rate at least.
    speed: float
    memory: float | None = None
    share: float | None = None
    # Where the peer runs with another setting than ours.
    peer_sizes: dict = dataclasses.field(default_factory=dict)

    def command(self):
        """The arguments of our side, without the number of runs."""
        options = [word for option, value in self.sizes.items() for word in (f"--{option}", str(value))]
        return ["bench", self.kind, "--shape", self.shape, *options]

    def theirs(self):
        """The peer's sizes."""
        return {**self.sizes, **self.peer_sizes}


GRPO = {"prompts": 8, "group": 8, "prompt": 64}
DPO = {"pairs": 64, "prompt": 64, "new": 128}

CASES = {
    case.name: case
    for case in [
        Case("train-small", "train", "small", {"batch": 32, "seq": 256}, "peer_torch.py", 1.3, share=0.8),
        Case("train-medium", "train", "qwen2.5-0.5b", {"batch": 2, "seq": 256}, "peer_torch.py", 1.4, memory=0.8),
        Case("generate-small", "generate", "small", {"batch": 32, "prompt": 64, "new": 128}, "peer_transformers.py", 4.0),
        Case("generate-medium-4", "generate", "qwen2.5-0.5b", {"batch": 4, "prompt": 64, "new": 32}, "peer_transformers.py", 2.0),
        Case("generate-medium-16", "generate", "qwen2.5-0.5b", {"batch": 16, "prompt": 64, "new": 64}, "peer_transformers.py", 2.0),
        Case("generate-smollm2", "generate", "smollm2-135m", {"batch": 64, "prompt": 100, "new": 128}, "peer_transformers.py", 2.0),
        Case("grpo", "grpo", "small", {**GRPO, "new": 128, "lengths": "fixed"}, "peer_trl.py", 2.3, memory=0.5, share=0.7),
        Case("grpo-varied", "grpo", "small", {**GRPO, "new": 512, "lengths": "varied"}, "peer_trl.py", 5.0),
        Case("dpo-live", "dpo", "small", {**DPO, "ref": "live"}, "peer_trl.py", 1.5, share=0.7),
        Case("dpo-cached", "dpo", "small", {**DPO, "ref": "cached"}, "peer_trl.py", 2.0, peer_sizes={"ref": "live"}),
        # The same against TRL with `precompute_ref_log_probs`: no goal of its own but to be ahead.
        Case("dpo-cached-both", "dpo", "small", {**DPO, "ref": "cached"}, "peer_trl.py", 1.0),
    ]
}


def varied_lengths(count, longest):
    """Completion lengths as RL has them: 8 + Exp(mean 122), rounded, at most `longest`; the same on both sides.

    `u_i = ((2654435761 i + 12345) mod 2^32) / 2^32`, `length_i = min(longest, round(8 - 122 ln(1 - u_i)))`, for sequences in the order of their prompts.
    """
    uniform = [(i * 2654435761 + 12345) % 2**32 / 2**32 for i in range(count)]
    return [min(longest, round(8 - 122 * math.log(1 - u))) for u in uniform]
