"""The shapes of `expo-rl bench --shape` as transformers models with random weights, built from a configuration: nothing is downloaded."""

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config

COMMON = {"rms_norm_eps": 1e-6, "tie_word_embeddings": True, "bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
CONFIGS = {
    "small": (
        Qwen2Config,
        {"hidden_size": 256, "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 2, "intermediate_size": 768, "vocab_size": 512},
        {"max_position_embeddings": 4096, "rope_theta": 1e6},
    ),
    "smollm2-135m": (
        LlamaConfig,
        {"hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "intermediate_size": 1536, "vocab_size": 49_152},
        {"max_position_embeddings": 8192, "rope_theta": 1e5},
    ),
    "qwen2.5-0.5b": (
        Qwen2Config,
        {"hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2, "intermediate_size": 4864, "vocab_size": 151_936},
        {"max_position_embeddings": 32_768, "rope_theta": 1e6},
    ),
}


def random_model(name):
    """fp32, SDPA attention, weights from seed 0."""
    torch.manual_seed(0)
    config, sizes, context = CONFIGS[name]
    return AutoModelForCausalLM.from_config(config(**sizes, **context, **COMMON), attn_implementation="sdpa", dtype=torch.float32)


def random_tokens(model, *size):
    """Token ids, from seed 1."""
    return torch.randint(model.config.vocab_size, size, generator=torch.Generator().manual_seed(1))
