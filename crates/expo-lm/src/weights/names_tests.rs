use serde_json::{Map, Value, json};

use super::*;
use crate::model::Model;
use crate::model::tests::tiny;
use crate::weights::tensor_file::{SaveDtype, safetensors_header};

type Tensors = BTreeMap<String, HostTensor>;

/// The tensors of a random model.
fn tensors(config: &ModelConfig, seed: u64) -> Tensors {
    let mut tensors = Tensors::new();
    let model = Model::random(config.clone(), 0.3, seed);
    model
        .export(&mut |name, tensor| {
            tensors.insert(name.to_owned(), tensor);
            Ok(())
        })
        .unwrap();
    tensors
}

fn file(tensors: &Tensors) -> Vec<u8> {
    let specs: Vec<_> = tensors.iter().map(|(name, tensor)| (name.clone(), tensor.shape.clone())).collect();
    let mut bytes = safetensors_header(&specs, SaveDtype::F32, &[]);
    bytes.extend(tensors.values().flat_map(|t| &t.data).flat_map(|v| v.to_le_bytes()));
    bytes
}

/// The hash of the model that `tensors` make with `config`, whether its head is tied, and what is told.
fn load(tensors: &Tensors, config: &ModelConfig) -> Result<(String, bool, Vec<String>), String> {
    let (bytes, mut config, mut notices) = (file(tensors), config.clone(), Vec::new());
    let mut source = SafetensorsSource::from_bytes("m.safetensors", &bytes).unwrap();
    let model = resolve(&mut source, &mut config, &mut notices)
        .and_then(|mut weights| Model::load(config, &mut weights))
        .map_err(|error| error.to_string())?;
    Ok((model.base_sha256(), model.config.tie_word_embeddings, notices))
}

fn renamed(tensors: &Tensors, name: impl Fn(&str) -> String) -> Tensors {
    tensors.iter().map(|(old, tensor)| (name(old), tensor.clone())).collect()
}

fn untied() -> ModelConfig {
    ModelConfig { tie_word_embeddings: false, ..tiny() }
}

fn vector(values: &[f32]) -> HostTensor {
    HostTensor { shape: vec![values.len()], data: values.to_vec() }
}

#[test]
fn wrappers_in_names_change_nothing() {
    let bare = |name: &str| name.trim_start_matches("model.").to_owned();
    for config in [tiny(), untied()] {
        let plain = tensors(&config, 1);
        let (hash, _, notices) = load(&plain, &config).unwrap();
        assert!(notices.is_empty(), "{notices:?}");
        let names: [&dyn Fn(&str) -> String; 9] = [
            &|name| bare(name),
            &|name| format!("_orig_mod.{name}"),
            &|name| format!("module.{name}"),
            &|name| format!("module._orig_mod.{}", bare(name)),
            &|name| format!("base_model.model.{name}"),
            &|name| format!("language_model.{name}"),
            // As transformers 5 names the text part of a larger model: the head is outside.
            &|name| if name == HEAD { name.to_owned() } else { format!("model.language_model.{}", bare(name)) },
            &|name| name.replace(".self_attn.", "._orig_mod.self_attn.").replace("_proj.", "_proj.base_layer."),
            // Half with, half without.
            &|name| if name.contains("layers.1.") { bare(name) } else { name.to_owned() },
        ];
        for (i, name) in names.into_iter().enumerate() {
            let (found, _, notices) = load(&renamed(&plain, name), &config).unwrap_or_else(|e| panic!("{i}: {e}"));
            assert_eq!(found, hash, "{i}");
            assert!(
                notices.len() == 1 && notices[0].contains(" known by the end of ") && notices[0].contains("is read as `"),
                "{i}: {notices:?}"
            );
        }
    }
}

#[test]
fn a_tied_head_may_be_stored() {
    let plain = tensors(&tiny(), 1);
    let (hash, ..) = load(&plain, &tiny()).unwrap();
    let embedding = plain[EMBEDDING].clone();
    // Equal to the embedding, or there in its place: not a word.
    let equal: Tensors = plain.clone().into_iter().chain([(HEAD.to_owned(), embedding.clone())]).collect();
    assert_eq!(load(&equal, &tiny()), Ok((hash.clone(), true, vec![])));
    let mut alone = equal.clone();
    alone.remove(EMBEDDING);
    let (found, tied, notices) = load(&alone, &tiny()).unwrap();
    assert!(found == hash && tied && notices[0].contains("`lm_head.weight` is read as `model.embed_tokens.weight`"), "{notices:?}");
    // Another one: it is used, and told.
    let mut other = equal.clone();
    other.get_mut(HEAD).unwrap().data[0] += 1.0;
    let (found, tied, notices) = load(&other, &tiny()).unwrap();
    assert_eq!((found, tied), (load(&other, &untied()).unwrap().0, false));
    assert!(notices.len() == 1 && notices[0].contains("`lm_head.weight` is not the embedding, though config.json has"), "{notices:?}");
    // No head where one has to be.
    let error = load(&plain, &untied()).unwrap_err();
    assert!(error.starts_with("m.safetensors: no tensor lm_head.weight, and config.json has `tie_word_embeddings` = false"), "{error}");
    let error = load(&alone, &untied()).unwrap_err();
    assert!(error.starts_with("m.safetensors: no tensor model.embed_tokens.weight, and config.json has"), "{error}");
}

#[test]
fn two_tensors_of_one_name_must_be_equal() {
    let plain = tensors(&untied(), 1);
    let (hash, ..) = load(&plain, &untied()).unwrap();
    let twice: Tensors = plain.clone().into_iter().chain(renamed(&plain, |name| format!("_orig_mod.{name}"))).collect();
    assert_eq!(load(&twice, &untied()).unwrap().0, hash);
    let mut differing = twice;
    differing.get_mut("_orig_mod.model.norm.weight").unwrap().data[0] += 1.0;
    let error = load(&differing, &untied()).unwrap_err();
    assert!(
        error.contains("`_orig_mod.model.norm.weight` and `model.norm.weight` both are `model.norm.weight` to this model, and they differ"),
        "{error}"
    );
    let error = load(&renamed(&plain, |name| name.replace('.', "/")), &untied()).unwrap_err();
    assert!(
        error.contains("none of its tensors has a name of this model's") && error.contains("it has `lm_head/weight`, `model/"),
        "{error}"
    );
    // A policy and its reference in one file.
    let both: Tensors = renamed(&plain, |name| format!("policy.{name}"))
        .into_iter()
        .chain(renamed(&tensors(&untied(), 2), |name| format!("ref.{name}")))
        .collect();
    let error = load(&both, &untied()).unwrap_err();
    assert!(error.contains("holds two models, `policy.model.layers.0.") && error.contains("save the one that is meant alone"), "{error}");
}

#[test]
fn what_is_not_used_is_told_or_refused() {
    let with =
        |name: &str, values: &[f32]| -> Tensors { tensors(&tiny(), 1).into_iter().chain([(name.to_owned(), vector(values))]).collect() };
    let (hash, ..) = load(&tensors(&tiny(), 1), &tiny()).unwrap();
    // Follows from the configuration.
    let frequencies = [1.0, 0.2154, 0.0464];
    for name in ["model.layers.0.self_attn.rotary_emb.inv_freq", "model.rotary_emb.inv_freq", "model.layers.1.self_attn.masked_bias"] {
        assert_eq!(load(&with(name, &frequencies), &tiny()), Ok((hash.clone(), true, vec![])), "{name}");
    }
    // Unless it doesn't: told.
    let (found, _, notices) = load(&with("model.rotary_emb.inv_freq", &[1.0, 0.01, 0.0001]), &tiny()).unwrap();
    let told = "`model.rotary_emb.inv_freq` is not what `rope_theta` and `rope_scaling` in config.json make; config.json counts";
    assert!(found == hash && notices.len() == 1 && notices[0].contains(told), "{notices:?}");
    let mut masked = tensors(&tiny(), 1);
    masked.insert("model.layers.0.self_attn.bias".into(), HostTensor { shape: vec![1, 1, 2, 2], data: vec![1.0, 0.0, 1.0, 1.0] });
    assert_eq!(load(&masked, &tiny()), Ok((hash.clone(), true, vec![])));
    // Changes nothing, or lies beside the language model.
    for (name, values, told) in [
        ("model.layers.0.self_attn.q_proj.bias", [0.0, -0.0], "1 tensor of zeros left out, which change nothing: `model.layers.0."),
        ("v_head.summary.weight", [1.0, 2.0], "1 tensor beside the language model not used, and not written when it is saved: `v_head."),
        ("vision_tower.layers.0.norm.weight", [1.0, 2.0], "1 tensor beside the language model not used"),
        ("score.weight", [1.0, 2.0], "beside the language model"),
    ] {
        let (found, _, notices) = load(&with(name, &values), &tiny()).unwrap();
        assert!(found == hash && notices.len() == 1 && notices[0].contains(told), "{name}: {notices:?}");
    }
    for (name, meaning) in [
        ("model.layers.0.self_attn.q_norm.weight", "`self_attn.q_norm.weight` belongs to Qwen3ForCausalLM, Gemma3ForCausalLM"),
        ("model.layers.1.self_attn.q_proj.bias", "`self_attn.q_proj.bias` belongs to Qwen2ForCausalLM"),
        ("model.layers.1.self_attn.o_proj.bias", "no class that is implemented has such a bias"),
        ("lm_head.bias", "no class that is implemented has such a bias"),
        ("model.layers.2.input_layernorm.weight", "config.json has `num_hidden_layers` = 2, the weights have 3"),
        ("model.layers.0.mlp.experts.3.up_proj.weight", "this is a mixture of experts"),
        ("model.layers.0.pre_feedforward_layernorm.weight", "`pre_feedforward_layernorm.weight` belongs to Gemma3ForCausalLM"),
        ("model.layers.0.self_attn.q_proj.lora_A.default.weight", "merge it with PEFT's `merge_and_unload`"),
        ("model.layers.0.self_attn.q_proj.qweight", "these are quantised weights"),
        ("model.embed_positions.weight", "config.json and the weights must be of the same model"),
    ] {
        let error = load(&with(name, &[1.0, 2.0]), &tiny()).unwrap_err();
        let begin = format!(
            "m.safetensors: 1 tensor that the stored model computes with and LlamaForCausalLM with this config.json doesn't: `{name}`; "
        );
        assert!(error.starts_with(&begin) && error.contains(meaning) && !error.contains('\n'), "{error}");
    }
}

#[test]
fn what_is_saved_says_how_the_head_is() {
    let read = |json: Value| -> Map<String, Value> { untied().portable_json(json.as_object().unwrap()) };
    assert_eq!(read(json!({"tie_word_embeddings": true}))["tie_word_embeddings"], json!(false));
    assert!(!read(json!({})).contains_key("tie_word_embeddings"));
    assert_eq!(tiny().portable_json(&Map::new())["tie_word_embeddings"], json!(true));
}
