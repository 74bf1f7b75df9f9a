"""TRL's GRPOTrainer and DPOTrainer: one optimizer step of the trainer's own loop an iteration, everything between two steps counted.

    peer_trl.py --case grpo|grpo-varied|dpo-live|dpo-cached|dpo-cached-both [--threads N] [--set OPTION=JSON ...]

fp32, SDPA attention, no gradient checkpointing. `--set` overrides options of GRPOConfig or DPOConfig, to look for a faster setting.
"""

import copy
import functools
import json
import os
import pathlib
import random
import tempfile
import time

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
scratch = tempfile.TemporaryDirectory()
os.environ["HF_HOME"] = scratch.name

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LogitsProcessor, LogitsProcessorList, PreTrainedTokenizerFast, TrainerCallback
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer

from cases import CASES, varied_lengths
from server import Server, arguments
from shapes import random_model

PACKAGES = ["torch", "transformers", "trl"]
# Sequences (GRPO) or pairs (DPO) of a forward and backward pass: of 4, 8, 16 and 64 the fastest, or as fast as any.
MICRO_BATCH = 8
# Batches in the data: the warm-up and the usual number of iterations pass through them once.
BATCHES = 6


class OneStepAtATime(TrainerCallback):
    """Holds the trainer between two optimizer steps until the next one is asked for. The first step is the warm-up."""

    def __init__(self, server, tokens, threads):
        self.server, self.tokens, self.threads = server, tokens, threads
        self.start = None

    def on_step_end(self, args, state, control, **kwargs):
        if self.start is None:
            self.server.ready(PACKAGES, self.threads)
        else:
            self.server.measured(time.perf_counter() - self.start, self.tokens)
        if self.server.wait():
            self.start = time.perf_counter()
        else:
            control.should_training_stop = True


class EndAt(LogitsProcessor):
    """Makes each sequence end where it should, with the end-of-sequence token as its last token, and nowhere else."""

    def __init__(self, lengths, prompt, eos):
        self.lengths, self.prompt, self.eos = torch.tensor(lengths), prompt, eos

    def __call__(self, input_ids, scores):
        last = self.lengths == input_ids.shape[1] - self.prompt + 1
        scores = scores.masked_fill(last[:, None], -torch.inf)
        scores[:, self.eos] = torch.where(last, 0.0, -torch.inf)
        return scores


def word_tokenizer(size):
    """A tokenizer whose tokens are the words t0, t1, ...; the last two are padding and end of sequence."""
    words = Tokenizer(models.WordLevel({f"t{i}": i for i in range(size)}))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token=f"t{size - 2}", eos_token=f"t{size - 1}")
    # As a user's comes: from a folder.
    tokenizer.save_pretrained(scratch.name)
    return PreTrainedTokenizerFast.from_pretrained(scratch.name)


def texts(rng, vocabulary, count, words):
    return [" ".join(f"t{rng.randrange(vocabulary - 2)}" for _ in range(words)) for _ in range(count)]


def options(**more):
    """What both trainers are told. Everything else is their default."""
    return {
        "output_dir": scratch.name,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "max_steps": 1_000_000,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "seed": 0,
        **more,
    }


def grpo(model, tokenizer, sizes, overrides):
    prompts, group, new = sizes["prompts"], sizes["group"], sizes["new"]
    vocabulary, rng = model.config.vocab_size, random.Random(0)
    varied = sizes["lengths"] == "varied"
    lengths = varied_lengths(prompts * group, new) if varied else [new] * (prompts * group)
    if varied:
        ends = EndAt(lengths, sizes["prompt"], tokenizer.eos_token_id)
        model.generate = functools.partial(model.generate, logits_processor=LogitsProcessorList([ends]))

    def reward(completion_ids, **_):
        assert sorted(map(len, completion_ids)) == sorted(lengths), "the completions have other lengths than they should"
        return [float(i % group) for i in range(len(completion_ids))]

    config = options(
        per_device_train_batch_size=MICRO_BATCH,
        gradient_accumulation_steps=prompts * group // MICRO_BATCH,
        num_generations=group,
        max_completion_length=new,
        temperature=0.7,
        beta=0.0,
        # Full length: the end-of-sequence token can't be drawn.
        generation_kwargs={} if varied else {"min_new_tokens": new},
    )
    trainer = GRPOTrainer(
        model,
        reward_funcs=reward,
        args=GRPOConfig(**{**config, **overrides}),
        train_dataset=Dataset.from_dict({"prompt": texts(rng, vocabulary, prompts * BATCHES, sizes["prompt"])}),
        processing_class=tokenizer,
    )
    return trainer, sum(lengths)


def dpo(model, tokenizer, sizes, overrides):
    pairs, prompt, new = sizes["pairs"], sizes["prompt"], sizes["new"]
    vocabulary, rng = model.config.vocab_size, random.Random(0)
    rows = pairs * BATCHES

    def side():
        # The trainer would add the end-of-sequence token to a text without it.
        return [f" {text} {tokenizer.eos_token}" for text in texts(rng, vocabulary, rows, new - 1)]

    live = sizes["ref"] == "live"
    config = options(
        per_device_train_batch_size=MICRO_BATCH,
        gradient_accumulation_steps=pairs // MICRO_BATCH,
        precompute_ref_log_probs=not live,
    )
    trainer = DPOTrainer(
        model,
        ref_model=copy.deepcopy(model) if live else None,
        args=DPOConfig(**{**config, **overrides}),
        train_dataset=Dataset.from_dict({"prompt": texts(rng, vocabulary, rows, prompt), "chosen": side(), "rejected": side()}),
        processing_class=tokenizer,
    )
    row = trainer.train_dataset[0]
    assert (len(row["prompt_ids"]), len(row["chosen_ids"]), len(row["rejected_ids"])) == (prompt, new, new)
    return trainer, pairs * 2 * (prompt + new)


def main():
    server = Server()
    overrides = {"set": {"action": "append", "default": [], "metavar": "OPTION=JSON", "type": lambda text: text.partition("=")[::2]}}
    args = arguments(pathlib.Path(__file__).name, __doc__, **overrides)
    torch.set_num_threads(args.threads)
    case = CASES[args.case]
    model = random_model(case.shape)
    tokenizer = word_tokenizer(model.config.vocab_size)
    set_options = {name: json.loads(value) for name, value in args.set}
    trainer, tokens = {"grpo": grpo, "dpo": dpo}[case.kind](model, tokenizer, case.theirs(), set_options)
    trainer.add_callback(OneStepAtATime(server, tokens, torch.get_num_threads()))
    trainer.train()


if __name__ == "__main__":
    main()
