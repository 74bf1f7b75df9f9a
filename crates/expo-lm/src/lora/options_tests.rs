use super::*;

fn read(change: impl Fn(&mut Map<String, Value>)) -> Result<AdapterFile, String> {
    // As PEFT 0.21 writes it, but for options that are off.
    let Value::Object(mut map) = json!({
        "alpha_pattern": {}, "auto_mapping": null, "base_model_name_or_path": "some/base", "bias": "none", "eva_config": null,
        "exclude_modules": null, "fan_in_fan_out": false, "inference_mode": true, "init_lora_weights": true, "layers_to_transform": null,
        "lora_alpha": 32, "lora_bias": false, "lora_dropout": 0.05, "modules_to_save": null, "peft_type": "LORA", "peft_version": "0.21.2",
        "qalora_group_size": 16, "megatron_core": "megatron.core", "loftq_config": {}, "r": 16, "rank_pattern": {},
        "target_modules": ["v_proj", "q_proj"], "task_type": "CAUSAL_LM", "use_dora": false, "use_rslora": false,
    }) else {
        unreachable!()
    };
    change(&mut map);
    AdapterFile::from_map(&map, "COMMAND")
}

#[test]
fn peft_s_file_is_read() {
    let file = read(|_| {}).unwrap();
    let config = LoraConfig { r: 16, lora_alpha: 32.0, lora_dropout: 0.05, target_modules: vec![], use_rslora: false };
    assert_eq!((&file.config, file.base_name.as_str(), &file.notices), (&config, "some/base", &vec![]));
    assert_eq!(file.targets.target_modules, Modules::Names(vec!["v_proj".into(), "q_proj".into()]));
    assert_eq!(file.config.scaling(), 2.0);
    assert_eq!(LoraConfig { use_rslora: true, ..file.config }.scaling(), 8.0);
    let set = |key: &str, value: Value| read(|map| drop(map.insert(key.into(), value.clone()))).unwrap();
    assert_eq!(set("target_modules", "all-linear".into()).targets.target_modules, Modules::All);
    assert_eq!(set("target_modules", ".*_proj".into()).targets.target_modules, Modules::Pattern(".*_proj".into()));
    assert_eq!(set("layers_to_transform", 3.into()).targets.layers_to_transform, Some(vec![3]));
    assert_eq!(set("layers_pattern", "h".into()).targets.layers_pattern, ["h"]);
    assert_eq!(set("rank_pattern", json!({"q_proj": 4})).ranks.0, [("q_proj".to_owned(), 4)]);
    assert_eq!(set("alpha_pattern", json!({"q_proj": 4})).alphas.0, [("q_proj".to_owned(), 4.0)]);
    // Linear layers have no such thing.
    assert_eq!(set("fan_in_fan_out", true.into()).notices, Vec::<String>::new());
    assert_eq!(
        set("new_option", true.into()).notices,
        ["adapter_config.json has options that are not known and not used: new_option = true"]
    );
}

#[test]
fn what_is_not_supported_is_named() {
    let cases: [(&str, Value, &str); 21] = [
        ("peft_type", "LOHA".into(), "peft_type is \"LOHA\"; only \"LORA\" is supported; merge it with PEFT: COMMAND"),
        ("peft_type", Value::Null, "has no peft_type"),
        ("task_type", "SEQ_CLS".into(), "task_type is \"SEQ_CLS\""),
        ("bias", "all".into(), "bias is \"all\"; only \"none\""),
        ("use_dora", true.into(), "use_dora is true, which is not supported; merge it with PEFT: COMMAND"),
        ("lora_bias", true.into(), "lora_bias is true, which is not supported"),
        ("layer_replication", json!([[0, 1]]), "layer_replication is [[0,1]]"),
        ("rank_pattern", json!({"q_proj": 0}), "rank_pattern: \"q_proj\" has 0, expected a rank from 1 to 65536"),
        ("alpha_pattern", json!({"q_proj": "x"}), "alpha_pattern: \"q_proj\" has \"x\", expected a number above 0"),
        ("rank_pattern", json!([]), "rank_pattern is [], expected an object"),
        (
            "init_lora_weights",
            "pissa".into(),
            "init_lora_weights is \"pissa\", which changes the base's weights; merge it with PEFT: COMMAND",
        ),
        ("target_modules", Value::Null, "has no target_modules; expected names of modules"),
        ("target_modules", json!([1]), "target_modules is [1], expected names of modules"),
        ("layers_to_transform", "x".into(), "layers_to_transform is \"x\", expected numbers of layers"),
        ("r", 0.into(), "r is 0, expected a rank of at least 1"),
        ("r", (1u64 << 60).into(), "r is 1152921504606846976, expected a rank of at most 65536"),
        ("r", (-1).into(), "r is -1, expected a whole number"),
        ("use_rslora", "yes".into(), "use_rslora is \"yes\", expected true or false"),
        ("fan_in_fan_out", "yes".into(), "fan_in_fan_out is \"yes\", expected true or false"),
        ("r", "x".into(), "r is \"x\", expected a whole number"),
        ("lora_dropout", 1.5.into(), "lora_dropout is 1.5"),
    ];
    for (key, value, expected) in cases {
        let error = read(|map| drop(map.insert(key.into(), value.clone()))).unwrap_err();
        assert!(error.contains(expected) && !error.contains('\n'), "{key}: {error}");
    }
}
