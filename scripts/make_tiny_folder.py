#!/usr/bin/env python3
"""Writes the embedded model's folder but for its weights: tokenizer, chat template, shape.

    python3 scripts/make_tiny_folder.py assets/tiny

Standard library only. One token a character, the answer's delimiter "#### " as one token. The folder loads in transformers as
PreTrainedTokenizerFast and LlamaForCausalLM.
"""
import json
import pathlib
import sys

SPECIAL = ["<|pad|>", "<|unk|>", "<|user|>", "<|assistant|>", "<|end|>"]
CHARACTERS = "0123456789+-*/=?:;[]#.,() \n"
TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'user' -%}{{- '<|user|>' + message['content'] -}}"
    "{%- elif message['role'] == 'assistant' -%}{{- '<|assistant|>' + message['content'] + '<|end|>' -}}"
    "{%- else -%}{{- raise_exception('this model has no ' + message['role'] + ' turn: leave prompt.system empty') -}}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)


def added(content):
    return {"content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}


def main(folder):
    vocab = {token: i for i, token in enumerate([*SPECIAL, "#### ", *CHARACTERS])}
    end = vocab["<|end|>"]
    files = {
        "tokenizer.json": {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [{"id": vocab[token], **added(token)} for token in SPECIAL],
            "normalizer": None,
            "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "#### |[\\s\\S]"}, "behavior": "Isolated", "invert": False},
            "post_processor": None,
            "decoder": {"type": "Fuse"},
            "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<|unk|>"},
        },
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": "<|end|>",
            "pad_token": "<|pad|>",
            "unk_token": "<|unk|>",
            "model_max_length": 512,
            "clean_up_tokenization_spaces": False,
            "added_tokens_decoder": {str(vocab[token]): added(token) for token in SPECIAL},
            "chat_template": TEMPLATE,
        },
        "generation_config.json": {"eos_token_id": end, "pad_token_id": 0, "do_sample": True, "temperature": 1.0},
        "config.json": {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": len(vocab),
            "hidden_size": 64,
            "intermediate_size": 176,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "head_dim": 16,
            "hidden_act": "silu",
            "max_position_embeddings": 512,
            "initializer_range": 0.02,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "rope_scaling": None,
            "attention_bias": False,
            "mlp_bias": False,
            "tie_word_embeddings": True,
            "bos_token_id": None,
            "eos_token_id": end,
            "pad_token_id": 0,
            "torch_dtype": "float32",
        },
    }
    for name, content in files.items():
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        (pathlib.Path(folder) / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
