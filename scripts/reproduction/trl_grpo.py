"""Plain GRPO in TRL, as configs/reproduction/grpo-without-rehearsal.toml has it: the same start policy, problems, loss and optimizer.

    expo-rl data make --level 4 -n 2048 --seed 1 --out problems.jsonl
    trl_grpo.py --model assets/tiny --problems problems.jsonl --seed 0 --out trl/seed-0 [--threads 1]

Writes OUT/metrics.jsonl (a row a step: step, reward/mean, entropy, completions/mean_length, grad_norm) and OUT/model, for `expo-rl eval --model`. fp32 on the CPU.
Needs torch, transformers, trl, datasets.
"""

import argparse
import json
import os
import pathlib

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

PROMPTS, GROUP, STEPS = 16, 8, 120
# The trainer's names and ours.
METRICS = {"reward": "reward/mean", "entropy": "entropy", "completions/mean_length": "completions/mean_length", "grad_norm": "grad_norm"}


def right(completions, answer, **_):
    return [float(completion.rpartition("#")[2].strip() == gold) for completion, gold in zip(completions, answer)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--problems", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    rows = [json.loads(line) for line in open(arguments.problems)]

    def prompt(question):
        return tokenizer.apply_chat_template([{"role": "user", "content": question}], add_generation_prompt=True, tokenize=False)

    data = Dataset.from_dict({"prompt": [prompt(row["question"]) for row in rows], "answer": [row["answer"] for row in rows]})
    config = GRPOConfig(
        output_dir=str(arguments.out / "trainer"),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        seed=arguments.seed,
        max_steps=STEPS,
        per_device_train_batch_size=PROMPTS * GROUP,
        num_generations=GROUP,
        max_completion_length=96,
        temperature=1.0,
        beta=0.0,
        loss_type="grpo",
        scale_rewards="group",
        epsilon=0.2,
        learning_rate=arguments.learning_rate,
        lr_scheduler_type="linear",
        weight_decay=0.0,
        max_grad_norm=1.0,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32)
    trainer = GRPOTrainer(model, reward_funcs=right, args=config, train_dataset=data, processing_class=tokenizer)
    trainer.train()
    trainer.save_model(str(arguments.out / "model"))
    with open(arguments.out / "metrics.jsonl", "w") as out:
        for row in trainer.state.log_history:
            if "reward" in row:
                out.write(json.dumps({"step": row["step"], **{ours: row[theirs] for theirs, ours in METRICS.items()}}) + "\n")


if __name__ == "__main__":
    main()
