"""LoRA adapters: peft and transformers against expo-rl, both ways.

    cargo build --release && cargo build --release -p expo-lm --example parity
    python scripts/parity/lora.py [BASE_FOLDER ADAPTER_FOLDER]

1. An adapter trained here loads in peft on the same base. Without arguments it is one that this script trains on assets/tiny, else ADAPTER_FOLDER,
   which was trained on BASE_FOLDER.
2. Adapters made by peft (random matrices; all-linear, and rsLoRA on three modules) load here.
3. `expo-rl merge` of the first loads in transformers.
Each time the largest difference of a logit over some random token sequences from that of PyTorch in fp64, which has to be under 1e-4; beside it how far
PyTorch's own fp32 is from it. Everything else is fp32.
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


def base_model(folder, dtype=torch.float32):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()


def theirs(folder, adapter, sequences, dtype):
    """Logits of transformers, with the adapter's of peft."""
    model = base_model(folder, dtype)
    if adapter:
        model = PeftModel.from_pretrained(model, adapter, autocast_adapter_dtype=False).to(dtype).eval()
    with torch.no_grad():
        return torch.cat([model(torch.tensor([tokens])).logits[0] for tokens in sequences]).double()


def ours(folder, adapter, sequences):
    with tempfile.TemporaryDirectory() as temporary:
        tokens, out = Path(temporary) / "tokens.json", Path(temporary) / "logits"
        tokens.write_text(json.dumps(sequences))
        subprocess.run([PARITY, "logits", folder, adapter or "-", tokens, out], check=True)
        return torch.frombuffer(bytearray(out.read_bytes()), dtype=torch.float32).reshape(sum(map(len, sequences)), -1).double()


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
        vocab = base_model(base).config.vocab_size
        sequences = [torch.randint(0, vocab, (length,)).tolist() for length in (40, 1, 25, 64)]
        worst = 0.0

        def compare(what, found, exact, peer):
            nonlocal worst
            difference = (found - exact).abs().max().item()
            worst = max(worst, difference)
            print(f"{what}: {difference:.1e}; PyTorch's fp32 {(peer - exact).abs().max().item():.1e} (logits up to {exact.abs().max().item():.0f})")

        def both(adapter):
            return [theirs(base, adapter, sequences, dtype) for dtype in (torch.float64, torch.float32)]

        exact, peer = both(None)
        compare("base alone, here", ours(base, None, sequences), exact, peer)
        plain = exact
        exact, peer = both(adapter)
        print(f"the trained adapter moves a logit by up to {(exact - plain).abs().max().item():.2f}")
        compare("trained here, here (PyTorch: in peft)", ours(base, adapter, sequences), exact, peer)
        merged = temporary / "merged"
        subprocess.run([EXPO_RL, "merge", "--model", base, "--adapter", adapter, "--out", merged], check=True, stderr=subprocess.DEVNULL)
        compare("merged here, in transformers (PyTorch: in peft, unmerged)", theirs(merged, None, sequences, torch.float32), exact, peer)
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
            exact, peer = both(temporary / name)
            compare(f"made by peft ({name}), here", ours(base, temporary / name, sequences), exact, peer)
        print(f"largest difference {worst:.1e}, limit {LIMIT} (peft {peft.__version__}, transformers {transformers.__version__})")
        sys.exit(worst >= LIMIT)


if __name__ == "__main__":
    main()
