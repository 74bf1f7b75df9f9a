"""Greedy continuations: transformers against expo-lm, from the same Hugging Face folder (fp32).

    cargo build --release -p expo-lm --example parity
    python scripts/parity/greedy.py target/release/examples/parity FOLDER [TOKENS]

Needs Python with torch and transformers.
"""

import json
import subprocess
import sys
import tempfile

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, __version__

PROMPTS = [
    "What is the capital of France?",
    "A train travels 60 miles in 1.5 hours. What is its average speed?",
    "Write a haiku about the sea.",
    "Explain photosynthesis to a child in two sentences.",
    "List three prime numbers greater than 20.",
]


def main():
    binary, folder = sys.argv[1:3]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 32
    conversations = [[{"role": "user", "content": prompt}] for prompt in PROMPTS]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(conversations, file)
        file.flush()
        found = json.loads(subprocess.run([binary, "greedy", folder, file.name, str(count)], check=True, stdout=subprocess.PIPE).stdout)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    same = 0
    for conversation, ids in zip(conversations, found):
        prompt = tokenizer.apply_chat_template(conversation, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        with torch.no_grad():
            output = model.generate(**prompt, max_new_tokens=count, do_sample=False)
        expected = output[0, prompt["input_ids"].shape[1]:].tolist()
        same += expected == ids
        print(("same" if expected == ids else "DIFFERENT"), len(ids), repr(tokenizer.decode(ids, skip_special_tokens=True)))
        if expected != ids:
            print("  transformers:", repr(tokenizer.decode(expected)))
    print(f"{same} of {len(PROMPTS)} prompts: the same {count} tokens (transformers {__version__})")
    sys.exit(same != len(PROMPTS))


if __name__ == "__main__":
    main()
