"""Families of models: transformers and peft against expo-lm, on the models of crates/expo-lm/tests/fixtures/models; prints docs/models.md's table.

    cargo build --release -p expo-lm --example parity
    python scripts/parity/families.py target/release/examples/parity [FOLDER...]

What is computed here (fp32) against PyTorch in fp64, the largest difference:

- of a logit and of a log-probability, over some random sequences;
- of a gradient of the mean next-token cross-entropy, as the norm of a tensor's difference over the norm of the tensor (where that is under a millionth of the
  whole gradient's: over the whole gradient's);
- of a logit with an adapter that peft made (all-linear, random A and B), here, and in peft after it was written here;
- of a logit in transformers of the model that was written here.
Each has to be under 1e-4. Needs Python with torch, transformers and peft.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import peft
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

FIXTURES = Path(__file__).resolve().parents[2] / "crates/expo-lm/tests/fixtures/models"
FAMILIES = ("llama", "qwen2", "qwen3", "mistral", "gemma3")
LIMIT = 1e-4


def load(folder, dtype=torch.float64):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()


def logits(model, sequences):
    with torch.no_grad():
        return torch.cat([model(torch.tensor([tokens])).logits[0] for tokens in sequences]).double()


def with_adapter(folder, adapter):
    return PeftModel.from_pretrained(load(folder), adapter, autocast_adapter_dtype=False).double().eval()


def gradients(folder, sequences):
    model = load(folder)
    total, count = 0.0, 0
    for tokens in sequences:
        ids = torch.tensor([tokens])
        total = total + torch.nn.functional.cross_entropy(model(ids).logits[0, :-1], ids[0, 1:], reduction="sum")
        count += len(tokens) - 1
    (total / count).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def rows(folder, binary):
    """The numbers of one model."""
    with tempfile.TemporaryDirectory() as temporary:
        temporary = Path(temporary)
        torch.manual_seed(0)
        base = load(folder)
        sequences = [torch.randint(3, base.config.vocab_size, (length,)).tolist() for length in (60, 2, 33, 17)]
        tokens = temporary / "tokens.json"
        tokens.write_text(json.dumps(sequences))

        def run(*arguments):
            subprocess.run([binary, *map(str, arguments)], check=True)

        def ours(adapter="-"):
            out = temporary / "logits"
            run("logits", folder, adapter, tokens, out)
            return torch.frombuffer(bytearray(out.read_bytes()), dtype=torch.float32).reshape(sum(map(len, sequences)), -1).double()

        largest = lambda a, b: (a - b).abs().max().item()
        exact, found = logits(base, sequences), ours()
        yield "logits", largest(exact, found)
        yield "log-probs", largest(exact.log_softmax(-1), found.log_softmax(-1))

        run("gradients", folder, tokens, temporary / "gradients.safetensors")
        found, expected = load_file(temporary / "gradients.safetensors"), gradients(folder, sequences)
        assert found.keys() == expected.keys(), found.keys() ^ expected.keys()
        whole = torch.stack([g.norm() for g in expected.values()]).norm()
        share = lambda name: (found[name].double() - expected[name]).norm() / (n if (n := expected[name].norm()) > 1e-6 * whole else whole)
        yield "gradients", max(share(name).item() for name in expected)

        made = get_peft_model(load(folder, torch.float32), LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=6, target_modules="all-linear"))
        with torch.no_grad():
            for key, parameter in made.named_parameters():
                if "lora_" in key:
                    parameter.normal_(0.0, 0.3)
        made.save_pretrained(temporary / "adapter")
        exact = logits(with_adapter(folder, temporary / "adapter"), sequences)
        yield "LoRA of peft, here", largest(exact, ours(temporary / "adapter"))
        run("save", folder, temporary / "adapter", temporary / "written")
        yield "LoRA of here, in peft", largest(exact, logits(with_adapter(folder, temporary / "written"), sequences))

        run("save", folder, "-", temporary / "exported")
        yield "export, in transformers", largest(logits(base, sequences), logits(load(temporary / "exported"), sequences))


def main():
    binary, *folders = sys.argv[1:]
    worst, table = 0.0, []
    for folder in map(Path, folders or [FIXTURES / name for name in FAMILIES]):
        numbers = dict(rows(folder, binary))
        worst = max(worst, *numbers.values())
        if not table:
            table = ["| family | " + " | ".join(numbers) + " |", "|---" * (len(numbers) + 1) + "|"]
        table.append(f"| {folder.name} | " + " | ".join(f"{number:.0e}" if number else "0" for number in numbers.values()) + " |")
    print("\n".join(table))
    print(f"largest {worst:.1e}, limit {LIMIT} (torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__})")
    sys.exit(worst >= LIMIT)


if __name__ == "__main__":
    main()
