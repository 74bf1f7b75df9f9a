//! Adapters in PEFT's format.

use serde_json::{Value, json};

use crate::{Case, Files, check};

const ARGS: [&str; 7] = ["generate", "--model", "embedded:tiny", "--adapter", "FOLDER/a", "--prompt", "12/3?"];

fn config() -> Value {
    json!({"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], "base_model_name_or_path": "x", "bias": "none"})
}

/// The first layer's matrices for `q_proj` of inputs of size `inputs`, zero.
fn weights(inputs: usize) -> Vec<u8> {
    let tensor = |name: &str| format!("base_model.model.model.layers.0.self_attn.q_proj.lora_{name}.weight");
    let (a, b) = (4 * inputs * 4, 64 * 4 * 4);
    let header = json!({
        tensor("A"): {"dtype": "F32", "shape": [4, inputs], "data_offsets": [0, a]},
        tensor("B"): {"dtype": "F32", "shape": [64, 4], "data_offsets": [a, a + b]},
    });
    let header = header.to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; a + b]].concat()
}

/// Another option; with none that is wrong, the other layers are missing.
#[test]
fn options_of_an_adapter() {
    let cases: [(&str, Value, &str); 13] = [
        (
            "peft_type",
            json!("IA3"),
            "FOLDER/a/adapter_config.json: peft_type is \"IA3\"; only \"LORA\" is supported; merge it with PEFT: python -c \"from peft import AutoPeftModelForCausalLM as M; M.from_pretrained('FOLDER/a').merge_and_unload().save_pretrained('merged')\", and load the folder `merged`",
        ),
        ("r", json!(0), "FOLDER/a/adapter_config.json: r is 0, expected a rank of at least 1"),
        ("r", json!(-1), "FOLDER/a/adapter_config.json: r is -1, expected a whole number"),
        ("r", json!(1000000000000u64), "FOLDER/a/adapter_config.json: r is 1000000000000, expected a rank of at most 65536"),
        (
            "r",
            json!(8),
            "FOLDER/a/adapter_model.safetensors: tensor base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight has shape [4, 64], expected [8, 64]; is the adapter for another base? (it names x)",
        ),
        ("lora_alpha", json!("x"), "FOLDER/a/adapter_config.json: lora_alpha is \"x\", expected a number"),
        (
            "target_modules",
            json!(["x_proj"]),
            "FOLDER/a/adapter_config.json: target_modules, exclude_modules and layers_to_transform leave no module of this model's 4 layers; those that can be adapted are q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj",
        ),
        (
            "target_modules",
            json!([]),
            "FOLDER/a/adapter_config.json: target_modules, exclude_modules and layers_to_transform leave no module of this model's 4 layers; those that can be adapted are q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj",
        ),
        (
            "use_dora",
            json!(true),
            "FOLDER/a/adapter_config.json: use_dora is true, which is not supported; merge it with PEFT: python -c \"from peft import AutoPeftModelForCausalLM as M; M.from_pretrained('FOLDER/a').merge_and_unload().save_pretrained('merged')\", and load the folder `merged`",
        ),
        (
            "bias",
            json!("all"),
            "FOLDER/a/adapter_config.json: bias is \"all\"; only \"none\" is supported (biases are frozen); merge it with PEFT: python -c \"from peft import AutoPeftModelForCausalLM as M; M.from_pretrained('FOLDER/a').merge_and_unload().save_pretrained('merged')\", and load the folder `merged`",
        ),
        (
            "rank_pattern",
            json!({"q_proj": 3}),
            "FOLDER/a/adapter_model.safetensors: tensor base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight has shape [4, 64], expected [3, 64]; is the adapter for another base? (it names x)",
        ),
        (
            "modules_to_save",
            json!(["lm_head"]),
            "FOLDER/a/adapter_model.safetensors: has no tensor of \"lm_head\", one of modules_to_save in adapter_config.json; save the adapter anew with PEFT",
        ),
        (
            "r",
            json!(4),
            "FOLDER/a/adapter_model.safetensors: no tensor base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight (expected with shape [4, 64]); is the adapter for another base? (it names x)",
        ),
    ];
    for (key, value, message) in cases {
        let mut config = config();
        config[key] = value;
        let (config, weights) = (config.to_string(), weights(64));
        let files: [(&str, &[u8]); 2] = [("a/adapter_config.json", config.as_bytes()), ("a/adapter_model.safetensors", &weights)];
        check(&Case { files: &files, args: &ARGS, message });
    }
}

#[test]
fn files_of_an_adapter() {
    let good = config().to_string();
    let cases: [(Files<'_>, &str); 8] = [
        (&[], "FOLDER/a/adapter_config.json: does not exist; an adapter is a folder in PEFT's format, with this file in it"),
        (
            &[("a/adapter_config.json", good.as_bytes())],
            "FOLDER/a/adapter_model.safetensors: does not exist; the folder lacks the adapter's weights",
        ),
        (
            &[("a/adapter_model.safetensors", &weights(64))],
            "FOLDER/a/adapter_config.json: does not exist; an adapter is a folder in PEFT's format, with this file in it",
        ),
        (
            &[("a/adapter_config.json", b"{"), ("a/adapter_model.safetensors", &weights(64))],
            "FOLDER/a/adapter_config.json: is not valid JSON (EOF while parsing an object at line 1 column 1); download or write it again",
        ),
        (&[("a/adapter_config.json", b"[]")], "FOLDER/a/adapter_config.json: holds JSON, but no object; expected {...}"),
        (
            &[("a/adapter_config.json", good.as_bytes()), ("a/adapter_model.bin", b"x")],
            "FOLDER/a/adapter_model.safetensors: does not exist; the folder lacks the adapter's weights; adapter_model.bin can't be read: save the adapter anew with PEFT",
        ),
        (
            &[("a/adapter_config.json", good.as_bytes()), ("a/adapter_model.safetensors", &[255; 64])],
            "FOLDER/a/adapter_model.safetensors: is not a valid safetensors file (header too large); download or export it again",
        ),
        (
            &[("a/adapter_config.json", good.as_bytes()), ("a/adapter_model.safetensors", &weights(32))],
            "FOLDER/a/adapter_model.safetensors: tensor base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight has shape [4, 32], expected [4, 64]; is the adapter for another base? (it names x)",
        ),
    ];
    for (files, message) in cases {
        check(&Case { files, args: &ARGS, message });
    }
}
