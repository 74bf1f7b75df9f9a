"""LoRA adapters: peft and transformers against expo-rl, both ways (fp32).

    cargo build --release && cargo build --release -p expo-lm --example parity
    python scripts/parity/lora.py [BASE_FOLDER ADAPTER_FOLDER]

1. An adapter trained here loads in peft on the same base. Without arguments it is one that this script trains on assets/tiny, else ADAPTER_FOLDER,
   which was trained on BASE_FOLDER.
2. Adapters made by peft (random matrices; all-linear, and rsLoRA on three modules) load here.
3. `expo-rl merge` of the first loads in transformers.
Each time the largest difference of a logit over some random token sequences; it has to be under 1e-4. Beside it that of the base alone.
Needs Python with torch, transformers and peft.
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
from transformers import AutoModelForCausalLM

ROOT = Path(__file__).resolve().parents[2]
EXPO_RL = ROOT / "target/release/expo-rl"
PARITY = ROOT / "target/release/examples/parity"
LIMIT = 1e-4


def base_model(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def theirs(model, sequences):
    with torch.no_grad():
        return torch.cat([model(torch.tensor([tokens])).logits[0] for tokens in sequences])


def ours(folder, adapter, sequences):
    with tempfile.TemporaryDirectory() as temporary:
        tokens, out = Path(temporary) / "tokens.json", Path(temporary) / "logits"
        tokens.write_text(json.dumps(sequences))
        subprocess.run([PARITY, "logits", folder, adapter or "-", tokens, out], check=True)
        return torch.frombuffer(bytearray(out.read_bytes()), dtype=torch.float32).reshape(sum(map(len, sequences)), -1)


def main():
    with tempfile.TemporaryDirectory() as temporary:
        temporary = Path(temporary)
        if len(sys.argv) > 2:
            base, adapter = map(Path, sys.argv[1:3])
        else:
            base, adapter = ROOT / "assets/tiny", temporary / "run/model"
            sets = ["train.steps=20", "data.levels=[1, 2]", "data.generate=512", "lora.use_rslora=true", f"model.path={base}"]
            command = [EXPO_RL, "train", ROOT / "configs/exp-grpo-lora-tiny.toml", "--out", temporary / "run"]
            subprocess.run(command + [part for option in sets for part in ("--set", option)], check=True, stderr=subprocess.DEVNULL)
        torch.manual_seed(0)
        model = base_model(base)
        vocab = model.config.vocab_size
        sequences = [torch.randint(0, vocab, (length,)).tolist() for length in (40, 1, 25, 64)]
        worst = 0.0

        def compare(what, a, b, moved=None):
            nonlocal worst
            difference = (a - b).abs().max().item()
            worst = max(worst, difference)
            by = "" if moved is None else f"; the adapter moves a logit by up to {(a - moved).abs().max().item():.2f}"
            print(f"{what}: {difference:.1e} (logits up to {a.abs().max().item():.0f}){by}")

        plain = theirs(model, sequences)
        compare("base alone, transformers against expo-rl", plain, ours(base, None, sequences))
        trained = theirs(PeftModel.from_pretrained(base_model(base), adapter).eval(), sequences)
        compare("trained here, peft against expo-rl", trained, ours(base, adapter, sequences), plain)
        merged = temporary / "merged"
        subprocess.run([EXPO_RL, "merge", "--model", base, "--adapter", adapter, "--out", merged], check=True, stderr=subprocess.DEVNULL)
        compare("merged here, transformers against peft unmerged", theirs(base_model(merged), sequences), trained, plain)
        configs = {
            "all-linear": LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16, lora_dropout=0.05, target_modules="all-linear"),
            "rslora": LoraConfig(task_type="CAUSAL_LM", r=5, lora_alpha=4, use_rslora=True, target_modules=["q_proj", "v_proj", "down_proj"]),
        }
        for name, config in configs.items():
            made = get_peft_model(base_model(base), config).eval()
            with torch.no_grad():
                for key, parameter in made.named_parameters():
                    if "lora_B" in key:
                        parameter.normal_(0.0, 0.02)
            made.save_pretrained(temporary / name)
            compare(f"made by peft ({name}), peft against expo-rl", theirs(made, sequences), ours(base, temporary / name, sequences), plain)
        print(f"largest difference {worst:.1e}, limit {LIMIT} (peft {peft.__version__}, transformers {transformers.__version__})")
        sys.exit(worst >= LIMIT)


if __name__ == "__main__":
    main()
