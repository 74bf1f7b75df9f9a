//! Models: a copy of the one in assets/tiny with something wrong.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{copy_folder, root};
use crate::{Case, check, check_in};

/// `change` is made to a copy of the model, which then can't be used.
fn check_model(change: impl FnOnce(&Path), message: &str) {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("m");
    copy_folder(&root().join("assets/tiny"), &model);
    change(&model);
    let args = ["generate", "--model", "FOLDER/m", "--prompt", "a<|end|>", "--max-new-tokens", "4"];
    check_in(&folder, &Case { files: &[], args: &args, message });
}

/// Another file, or none, in the place of one.
#[test]
fn files_of_a_model() {
    let cases: [(&str, Option<&[u8]>, &str); 21] = [
        ("config.json", None, "FOLDER/m/config.json: cannot read: No such file or directory (os error 2)"),
        (
            "config.json",
            Some(b"{"),
            "FOLDER/m/config.json: is not valid JSON (EOF while parsing an object at line 1 column 1); download or write it again",
        ),
        ("config.json", Some(b"[]"), "FOLDER/m/config.json: holds JSON, but no object; expected {...}"),
        (
            "model.safetensors",
            None,
            "FOLDER/m: has neither model.safetensors nor model.safetensors.index.json; download the model again or export it",
        ),
        (
            "model.safetensors",
            Some(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
            "FOLDER/m/model.safetensors: is not a valid safetensors file (header too large); download or export it again",
        ),
        ("model.safetensors", Some(b""), "FOLDER/m/model.safetensors: is empty; download or export it again"),
        (
            "model.safetensors",
            Some(b"\x00\x00\x00\x00\x00\x01\x00\x00{}"),
            "FOLDER/m/model.safetensors: is not a valid safetensors file (header too large); download or export it again",
        ),
        ("tokenizer.json", None, "FOLDER/m has no tokenizer.json; text needs one (token ids work without)"),
        ("tokenizer.json", Some(b"{}"), "FOLDER/m/tokenizer.json: can't be read as a tokenizer: Model missing. at line 1 column 2"),
        ("tokenizer.json", Some(b"x"), "FOLDER/m/tokenizer.json: can't be read as a tokenizer: expected value at line 1 column 1"),
        (
            "chat_template.jinja",
            Some(b"{% if %}"),
            "FOLDER/m/chat_template.jinja: the chat template does not compile (line 1): found the end of the tag, expected an expression",
        ),
        (
            "chat_template.jinja",
            Some(b"{{ raise_exception('no') }}"),
            "FOLDER/m/chat_template.jinja: the chat template fails on this conversation (line 1): no",
        ),
        (
            "chat_template.jinja",
            Some(b"{{ 'a' * 1000000000 }}"),
            "FOLDER/m/chat_template.jinja: the chat template fails on this conversation (line 1): it does more work, or writes more, than a conversation takes",
        ),
        (
            "chat_template.jinja",
            Some(b"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"),
            "FOLDER/m/chat_template.jinja: the chat template fails on this conversation (line 1): recursion limit exceeded",
        ),
        (
            "chat_template.jinja",
            Some(b"\xff"),
            "FOLDER/m/chat_template.jinja: is not UTF-8 text (invalid utf-8 sequence of 1 bytes from index 0); download or write it again",
        ),
        (
            "chat_template.jinja",
            Some(b"{{ messages[0].content[:3] }}"),
            "FOLDER/m/chat_template.jinja: the chat template alters messages, and one of them has the text of the special token `<|end|>`: it can't be kept text; remove it from the message",
        ),
        ("generation_config.json", Some(b"[]"), "FOLDER/m/generation_config.json: holds JSON, but no object; expected {...}"),
        (
            "generation_config.json",
            Some(b"{\"eos_token_id\": \"x\"}"),
            "FOLDER/m/generation_config.json: `eos_token_id` is \"x\"; it has to be a token id or a list of them",
        ),
        (
            "generation_config.json",
            Some(b"{\"eos_token_id\": 99}"),
            "FOLDER/m: the end-of-sequence id 99 (`eos_token_id` in generation_config.json or config.json, or `eos_token` in tokenizer_config.json) is outside the vocabulary of 33; correct it",
        ),
        (
            "tokenizer_config.json",
            Some(b"{\"chat_template\": 3}"),
            "FOLDER/m/tokenizer_config.json: `chat_template` is 3; it has to be a string or a list of {name, template}",
        ),
        (
            "tokenizer_config.json",
            Some(b"{}"),
            "FOLDER/m has no chat template (chat_template.jinja, or `chat_template` in tokenizer_config.json)",
        ),
    ];
    for (name, content, message) in cases {
        let change = |model: &Path| match content {
            Some(content) => std::fs::write(model.join(name), content).unwrap(),
            None => std::fs::remove_file(model.join(name)).unwrap(),
        };
        check_model(change, message);
    }
}

/// Another value in config.json.
#[test]
fn configurations_of_a_model() {
    let cases: [(&str, Value, &str); 11] = [
        (
            "architectures",
            json!(["MambaForCausalLM"]),
            "unsupported architecture: FOLDER/m/config.json says `MambaForCausalLM`; supported: LlamaForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM, MistralForCausalLM, Gemma3ForCausalLM",
        ),
        (
            "vocab_size",
            json!(5),
            "FOLDER/m/tokenizer.json: does not fit the model: token \"\\n\" has id 32, but config.json has `vocab_size` = 5; use the tokenizer that the model was trained with",
        ),
        (
            "intermediate_size",
            json!(208),
            "FOLDER/m/model.safetensors: tensor model.layers.0.mlp.gate_proj.weight has shape [176, 64], expected [208, 64]; config.json and the weights must be of the same model",
        ),
        ("num_attention_heads", json!(3), "FOLDER/m/config.json: `num_key_value_heads` = 4 does not divide `num_attention_heads` = 3"),
        ("num_hidden_layers", json!(1000000000), "FOLDER/m/config.json: `num_hidden_layers` is 1000000000; it has to be at most 4096"),
        ("hidden_size", json!(-1), "FOLDER/m/config.json: `hidden_size` is -1; it has to be a positive integer"),
        ("hidden_size", json!(null), "FOLDER/m/config.json: lacks `hidden_size`"),
        (
            "rope_scaling",
            json!({"rope_type": "yarn2", "factor": 2}),
            "unsupported RoPE scaling: `yarn2` (in FOLDER/m/config.json); supported: default, linear, llama3, yarn",
        ),
        ("max_position_embeddings", json!(0), "FOLDER/m/config.json: `max_position_embeddings` is 0; it has to be a positive integer"),
        ("hidden_act", json!("relu"), "unsupported hidden_act: `relu`; implemented are: silu, gelu_pytorch_tanh (in FOLDER/m/config.json)"),
        ("rms_norm_eps", json!("small"), "FOLDER/m/config.json: `rms_norm_eps` is \"small\"; it has to be a number"),
    ];
    for (key, value, message) in cases {
        let change = |model: &Path| {
            let path = model.join("config.json");
            let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            config[key] = value;
            std::fs::write(&path, config.to_string()).unwrap();
        };
        check_model(change, message);
    }
}

/// Another value in the header of the weights.
#[test]
fn headers_of_weights() {
    let cases: [(&str, Value, &str); 6] = [
        (
            "/data_offsets/1",
            json!(1152921504606846976u64),
            "FOLDER/m/model.safetensors: is not a valid safetensors file (invalid shape, data type, or offset for tensor); download or export it again",
        ),
        (
            "/data_offsets/0",
            json!(1),
            "FOLDER/m/model.safetensors: is not a valid safetensors file (invalid offset for tensor `model.embed_tokens.weight`); download or export it again",
        ),
        (
            "/dtype",
            json!("F8_E4M3"),
            "FOLDER/m/model.safetensors: is not a valid safetensors file (invalid shape, data type, or offset for tensor); download or export it again",
        ),
        (
            "/dtype",
            json!("I32"),
            "FOLDER/m/model.safetensors: is not a valid safetensors file (invalid shape, data type, or offset for tensor); download or export it again",
        ),
        (
            "/shape/0",
            json!(1099511627776u64),
            "FOLDER/m/model.safetensors: is not a valid safetensors file (invalid shape, data type, or offset for tensor); download or export it again",
        ),
        (
            "/shape",
            json!([1099511627776u64, 1099511627776u64]),
            "FOLDER/m/model.safetensors: is not a valid safetensors file (overflow computing buffer size from shape and/or element type); download or export it again",
        ),
    ];
    for (place, value, message) in cases {
        let change = |model: &Path| {
            let path = model.join("model.safetensors");
            let bytes = std::fs::read(&path).unwrap();
            let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            let mut header: Value = serde_json::from_slice(&bytes[8..end]).unwrap();
            *header["model.embed_tokens.weight"].pointer_mut(place).unwrap() = value;
            let header = header.to_string();
            let length = (header.len() as u64).to_le_bytes();
            std::fs::write(&path, [&length, header.as_bytes(), &bytes[end..]].concat()).unwrap();
        };
        check_model(change, message);
    }
}

#[test]
fn weights() {
    let weights = |model: &Path| model.join("model.safetensors");
    let cut = |model: &Path| {
        let bytes = std::fs::read(weights(model)).unwrap();
        std::fs::write(weights(model), &bytes[..bytes.len() / 2]).unwrap();
    };
    check_model(
        cut,
        "FOLDER/m/model.safetensors: is not a valid safetensors file (incomplete metadata, file not fully covered); download or export it again",
    );
    let not_a_number = |model: &Path| {
        let mut bytes = std::fs::read(weights(model)).unwrap();
        let end = bytes.len();
        bytes[end - 4..].fill(0xff);
        std::fs::write(weights(model), bytes).unwrap();
    };
    check_model(not_a_number, "FOLDER/m/model.safetensors: tensor model.norm.weight holds NaN at element 62; the weights are damaged");
    let instead = [
        (
            "pytorch_model.bin",
            "x",
            "FOLDER/m: has neither model.safetensors nor model.safetensors.index.json; pytorch_model.bin can't be read: save the model with transformers' `save_pretrained`",
        ),
        (
            "model.safetensors.index.json",
            "{\"weight_map\": {\"x\": \"../../etc/passwd\"}}",
            "FOLDER/m/model.safetensors.index.json: `weight_map` gives \"../../etc/passwd\" for `x`; it has to be the name of a file beside it",
        ),
        (
            "model.safetensors.index.json",
            "{\"weight_map\": {\"x\": \"model-1.safetensors\"}}",
            "FOLDER/m/model-1.safetensors: is missing, but model.safetensors.index.json names it; download the model again",
        ),
    ];
    for (name, content, message) in instead {
        let change = |model: &Path| {
            std::fs::remove_file(weights(model)).unwrap();
            std::fs::write(model.join(name), content).unwrap();
        };
        check_model(change, message);
    }
}

#[test]
fn gguf_files() {
    let cases: [(&[u8], &str); 5] = [
        (b"", "FOLDER/g.gguf: is not a GGUF file: it has only 0 bytes"),
        (
            b"GGUX\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
            "FOLDER/g.gguf: is not a GGUF file: it does not begin with `GGUF`",
        ),
        (
            b"GGUFc\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
            "FOLDER/g.gguf: is GGUF version 99; versions 2 and 3, little-endian, can be read",
        ),
        (
            b"GGUF\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\x10",
            "FOLDER/g.gguf: ends in the middle of its header; download it again",
        ),
        (
            b"GGUF\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
            "FOLDER/g.gguf: lacks the metadata `general.architecture`",
        ),
    ];
    for (content, message) in cases {
        check(&Case { files: &[("g.gguf", content)], args: &["import", "FOLDER/g.gguf", "FOLDER/out"], message });
    }
}
