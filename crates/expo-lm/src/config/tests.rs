use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::config::{Rope, RopeScaling};

fn parse(value: Value) -> Result<ConfigFile> {
    ConfigFile::parse(value.to_string().as_bytes(), Path::new("config.json"))
}

/// A small valid configuration with `changes` laid over it (a null removes the key).
fn with(class: &str, changes: Value) -> Value {
    let mut base = json!({
        "architectures": [class], "vocab_size": 100, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 128, "rope_theta": 5000.0,
        "sliding_window": 16, "bos_token_id": 1, "eos_token_id": [2, 3],
    });
    for (key, value) in changes.as_object().expect("object") {
        base[key] = value.clone();
    }
    base
}

fn without(mut value: Value, key: &str) -> Value {
    value.as_object_mut().expect("object").remove(key);
    value
}

#[test]
fn written_configs_read_back_the_same() {
    for class in FAMILIES.map(|family| family.class_name) {
        let yarn = json!({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32});
        let llama3 = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32});
        for scaling in [json!(null), json!({"type": "linear", "factor": 2.0}), yarn, llama3] {
            let read =
                parse(with(class, json!({"rope_scaling": scaling, "use_sliding_window": true, "max_window_layers": 2}))).expect(class);
            let again = parse(Value::Object(read.config.to_json())).expect(class);
            assert_eq!(read.config, again.config);
            assert_eq!(again.notices, Vec::<String>::new());
        }
    }
}

#[test]
fn both_rope_spellings_mean_the_same() {
    let old = parse(with("LlamaForCausalLM", json!({"rope_theta": 7.0, "rope_scaling": {"type": "linear", "factor": 2}}))).expect("old");
    let new = without(
        with("LlamaForCausalLM", json!({"rope_parameters": {"rope_theta": 7.0, "rope_type": "linear", "factor": 2.0}})),
        "rope_theta",
    );
    assert_eq!(old.config, parse(new).expect("new").config);
    assert_eq!(old.config.layers[0].rope, Rope { theta: 7.0, scaling: RopeScaling::Linear { factor: 2.0 } });
}

#[test]
fn a_missing_theta_is_the_default_and_is_told() {
    let read = parse(without(with("Qwen2ForCausalLM", json!({})), "rope_theta")).expect("config");
    assert_eq!(read.config.layers[3].rope.theta, 10_000.0);
    assert!(read.notices.iter().any(|n| n.contains("rope_theta") && n.contains("10000")), "{:?}", read.notices);
}

#[test]
fn yarn_attention_factor_follows_transformers() {
    let factor = |options: Value| match parse(with("LlamaForCausalLM", json!({"rope_scaling": options}))).expect("config").config.layers[0]
        .rope
        .scaling
        .clone()
    {
        RopeScaling::Yarn { attention_factor, .. } => attention_factor,
        other => panic!("{other:?}"),
    };
    assert_eq!(factor(json!({"rope_type": "yarn", "factor": 4.0})), 0.1 * 4f64.ln() + 1.0);
    assert_eq!(factor(json!({"rope_type": "yarn", "factor": 4.0, "attention_factor": 1.5})), 1.5);
    assert_eq!(factor(json!({"rope_type": "yarn", "factor": 40.0, "mscale": 1.0, "mscale_all_dim": 1.0})), 1.0);
    assert_eq!(
        factor(json!({"rope_type": "yarn", "factor": 40.0, "mscale": 0.707, "mscale_all_dim": 1.0})),
        (0.0707 * 40f64.ln() + 1.0) / (0.1 * 40f64.ln() + 1.0)
    );
}

#[test]
fn sliding_windows_follow_the_architecture() {
    let windows = |class: &str, changes: Value| {
        parse(with(class, changes)).expect(class).config.layers.iter().map(|layer| layer.window).collect::<Vec<_>>()
    };
    assert_eq!(windows("LlamaForCausalLM", json!({})), [None; 4]);
    assert_eq!(windows("MistralForCausalLM", json!({})), [Some(16); 4]);
    assert_eq!(windows("MistralForCausalLM", json!({"sliding_window": null})), [None; 4]);
    for class in ["Qwen2ForCausalLM", "Qwen3ForCausalLM"] {
        assert_eq!(windows(class, json!({"max_window_layers": 0})), [None; 4], "use_sliding_window is off by default");
        let half = [None, None, Some(16), Some(16)];
        assert_eq!(windows(class, json!({"use_sliding_window": true, "max_window_layers": 2})), half);
        let types = json!(["sliding_attention", "full_attention", "full_attention", "sliding_attention"]);
        let by_type = windows(class, json!({"use_sliding_window": true, "max_window_layers": 2, "layer_types": types}));
        assert_eq!(by_type, [Some(16), None, None, Some(16)]);
    }
}

#[test]
fn layers_of_two_kinds_have_a_rope_each() {
    let layers = |changes: Value| {
        let layers = parse(without(with("Gemma3ForCausalLM", changes), "rope_theta")).expect("gemma3").config.layers;
        layers.into_iter().map(|layer| (layer.window, layer.rope)).collect::<Vec<_>>()
    };
    let (local, global) = (|theta| (Some(16), Rope::plain(theta)), |theta| (None, Rope::plain(theta)));
    // The defaults of transformers' class: a window on all but every sixth of the four layers.
    assert_eq!(layers(json!({})), [local(1e4), local(1e4), local(1e4), local(1e4)]);
    let old = json!({"sliding_window_pattern": 2, "rope_local_base_freq": 7.0, "rope_scaling": {"type": "linear", "factor": 8.0}});
    let scaled = |theta: f64| (None, Rope { theta, scaling: RopeScaling::Linear { factor: 8.0 } });
    assert_eq!(layers(old), [local(7.0), scaled(1e6), local(7.0), scaled(1e6)]);
    let types = json!(["full_attention", "sliding_attention", "sliding_attention", "full_attention"]);
    let parameters = json!({
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 50.0}, "sliding_attention": {"rope_type": "default", "rope_theta": 7.0},
    });
    let new = json!({"layer_types": types, "rope_parameters": parameters});
    assert_eq!(layers(new), [scaled(50.0), local(7.0), local(7.0), scaled(50.0)]);
    // As transformers has it: `rope_scaling` is that of the full layers, beside what else stands there.
    let both = json!({"sliding_window_pattern": 4, "rope_parameters": {"full_attention": {"rope_theta": 50.0}}, "rope_scaling": {"type": "linear", "factor": 8.0}});
    assert_eq!(layers(both), [local(1e4), local(1e4), local(1e4), scaled(50.0)]);
    assert_eq!(layers(json!({"sliding_window_pattern": 1, "sliding_window": null})), [global(1e6), global(1e6), global(1e6), global(1e6)]);

    let refused = |changes: Value| parse(with("Gemma3ForCausalLM", changes)).expect_err("refused").to_string();
    let error = refused(json!({"sliding_window": null}));
    assert!(error.contains("`sliding_window` is null, but some layers slide"), "{error}");
    let error = refused(json!({"rope_parameters": {"rope_type": "default", "rope_theta": 5.0}}));
    assert!(error.contains("expected an object for each of full_attention and sliding_attention"), "{error}");
    let error = refused(json!({"rope_parameters": {"sliding_attention": {"rope_type": "linear", "factor": 2.0}}}));
    assert!(error.contains("RoPE scaling: of sliding_attention"), "{error}");
}

#[test]
fn gemma3_has_options_of_its_own() {
    let config = |changes: Value| parse(with("Gemma3ForCausalLM", changes)).expect("gemma3").config;
    let plain = config(json!({"tie_word_embeddings": null}));
    assert_eq!((plain.query_pre_attn_scalar, plain.mlp, plain.tie_word_embeddings), (Some(256), Mlp::Dense(Activation::GeluTanh), true));
    assert_eq!((plain.attention_scale(), plain.embedding_scale()), (1.0 / 16.0, 32f64.sqrt()));
    let other = config(json!({"query_pre_attn_scalar": 100, "hidden_activation": "silu", "tie_word_embeddings": false}));
    assert_eq!((other.attention_scale(), other.mlp, other.tie_word_embeddings), (0.1, Mlp::Dense(Activation::Silu), false));
    let without_sizes = without(without(with("Gemma3ForCausalLM", json!({})), "head_dim"), "num_key_value_heads");
    let defaults = parse(without_sizes).expect("gemma3").config;
    assert_eq!((defaults.head_dim, defaults.num_key_value_heads), (256, 4));
}

#[test]
fn a_text_part_is_named_with_what_saves_it() {
    let config =
        json!({"architectures": ["Gemma3ForConditionalGeneration"], "text_config": {"model_type": "gemma3_text"}, "vision_config": {}});
    let error = ConfigFile::from_map(config.as_object().expect("object"), Path::new("dir/config.json")).expect_err("refused").to_string();
    let expected = "dir/config.json says `Gemma3ForConditionalGeneration`; its text part is a Gemma3ForCausalLM, which has to be saved by itself: python -c";
    assert!(
        error.contains(expected) && error.contains("AutoModelForImageTextToText.from_pretrained('dir')") && !error.contains('\n'),
        "{error}"
    );
}

/// A head of its own is written where the class's default is a tied one, and the other way round.
#[test]
fn tying_is_written_where_it_is_not_what_was_read() {
    for family in FAMILIES {
        let read = without(with(family.class_name, json!({})), "tie_word_embeddings");
        for tied in [false, true] {
            let config = ModelConfig { tie_word_embeddings: tied, ..parse(read.clone()).expect("config").config };
            let written = config.portable_json(read.as_object().expect("object"));
            assert_eq!(parse(Value::Object(written)).expect("again").config.tie_word_embeddings, tied, "{family:?}");
        }
    }
}

#[test]
fn class_defaults_fill_what_is_missing() {
    let qwen3 = parse(without(with("Qwen3ForCausalLM", json!({})), "head_dim")).expect("qwen3");
    assert_eq!(qwen3.config.head_dim, 128);
    let llama = parse(without(without(with("LlamaForCausalLM", json!({})), "head_dim"), "num_key_value_heads")).expect("llama");
    assert_eq!((llama.config.head_dim, llama.config.num_key_value_heads), (8, 4));
    assert_eq!(llama.config.rms_norm_eps, 1e-6);
    assert_eq!(llama.config.eos_token_ids, [2, 3]);
}

#[test]
fn what_is_not_computed_is_refused_by_name() {
    let cases = [
        (with("GPT2LMHeadModel", json!({})), "GPT2LMHeadModel"),
        (with("LlamaForCausalLM", json!({"attention_bias": true})), "attention_bias"),
        (with("Qwen3ForCausalLM", json!({"attention_bias": true})), "attention_bias"),
        (with("LlamaForCausalLM", json!({"mlp_bias": true})), "mlp_bias"),
        (with("LlamaForCausalLM", json!({"hidden_act": "gelu"})), "gelu"),
        (with("LlamaForCausalLM", json!({"rope_scaling": {"type": "dynamic", "factor": 2.0}})), "dynamic"),
        (with("LlamaForCausalLM", json!({"rope_scaling": {"rope_type": "longrope"}})), "longrope"),
        (with("LlamaForCausalLM", json!({"partial_rotary_factor": 0.5})), "partial_rotary_factor"),
        (with("LlamaForCausalLM", json!({"rope_parameters": {"partial_rotary_factor": 0.5}})), "partial_rotary_factor"),
        (
            with("LlamaForCausalLM", json!({"final_logit_softcapping": 30.0})),
            "`final_logit_softcapping` = 30.0: LlamaForCausalLM has no such option",
        ),
        (with("Qwen2ForCausalLM", json!({"attn_logit_softcapping": 50.0})), "attn_logit_softcapping"),
        (with("MistralForCausalLM", json!({"query_pre_attn_scalar": 256})), "query_pre_attn_scalar"),
        (with("Qwen3ForCausalLM", json!({"rope_local_base_freq": 1e4})), "rope_local_base_freq"),
        (with("Qwen3ForCausalLM", json!({"use_bidirectional_attention": true})), "use_bidirectional_attention"),
        (with("LlamaForCausalLM", json!({"residual_multiplier": 0.22})), "residual_multiplier"),
        (with("Gemma3ForCausalLM", json!({"final_logit_softcapping": 30.0})), "final_logit_softcapping"),
        (with("Gemma3ForCausalLM", json!({"use_bidirectional_attention": true})), "use_bidirectional_attention"),
        (with("Gemma3ForCausalLM", json!({"attention_bias": true})), "attention_bias"),
        (with("Gemma3ForCausalLM", json!({"hidden_activation": "gelu"})), "`gelu`; implemented are: silu, gelu_pytorch_tanh"),
        (with("Gemma3ForConditionalGeneration", json!({})), "Gemma3ForConditionalGeneration"),
        (with("LlamaForCausalLM", json!({"rope_parameters": {"full_attention": {}}})), "full_attention"),
        (with("Qwen2ForCausalLM", json!({"layer_types": ["x", "x", "x", "x"]})), "layer type"),
        (with("MistralForCausalLM", json!({"num_local_experts": 8})), "num_local_experts"),
        (with("LlamaForCausalLM", json!({"quantization_config": {"quant_method": "gptq"}})), "gptq"),
    ];
    for (config, name) in cases {
        match parse(config) {
            Err(error @ Error::Unsupported { .. }) => assert!(error.to_string().contains(name), "{error}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn options_that_are_off_or_ignored_change_nothing() {
    let plain = |class: &str| parse(with(class, json!({}))).expect(class);
    let off = json!({
        "attention_bias": false, "final_logit_softcapping": null, "residual_multiplier": 1, "use_bidirectional_attention": false, "num_experts": 0,
        "partial_rotary_factor": 1.0,
    });
    for class in FAMILIES.map(|family| family.class_name) {
        assert_eq!(parse(with(class, off.clone())).expect(class), plain(class));
    }
    for class in ["Qwen2ForCausalLM", "MistralForCausalLM"] {
        assert_eq!(parse(with(class, json!({"attention_bias": true, "mlp_bias": true}))).expect(class), plain(class));
    }
}

#[test]
fn malformed_values_name_the_key() {
    let cases = [
        (with("LlamaForCausalLM", json!({"vocab_size": "many"})), "vocab_size"),
        (with("LlamaForCausalLM", json!({"hidden_size": 0})), "hidden_size"),
        (with("LlamaForCausalLM", json!({"hidden_size": -4})), "hidden_size"),
        (without(with("LlamaForCausalLM", json!({})), "num_hidden_layers"), "num_hidden_layers"),
        (with("LlamaForCausalLM", json!({"num_key_value_heads": 3})), "num_key_value_heads"),
        (with("LlamaForCausalLM", json!({"rope_scaling": {"type": "linear"}})), "factor"),
        (with("LlamaForCausalLM", json!({"rope_scaling": 3})), "rope_scaling"),
        (with("LlamaForCausalLM", json!({"rope_theta": -1.0})), "rope_theta"),
        (with("LlamaForCausalLM", json!({"eos_token_id": "</s>"})), "eos_token_id"),
        (with("LlamaForCausalLM", json!({"head_dim": 7})), "head size of 7"),
        (with("LlamaForCausalLM", json!({"hidden_act": 3})), "`hidden_act` is 3"),
        (with("Qwen2ForCausalLM", json!({"layer_types": ["full_attention"]})), "layer_types"),
    ];
    for (config, key) in cases {
        let error = parse(config).expect_err(key);
        assert!(error.to_string().contains(key), "{key}: {error}");
    }
    let error = ConfigFile::parse(b"{", Path::new("dir/config.json")).expect_err("broken JSON");
    assert!(error.to_string().starts_with("dir/config.json: is not valid JSON"), "{error}");
}
