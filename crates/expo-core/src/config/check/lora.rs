//! Contradictions among the options of adapters.

use super::report::Report;
use crate::config::*;
use expo_lm::lora::TargetModule;

/// What a new adapter has and one that goes on brings along.
const OF_NEW: [&str; 5] = ["lora.r", "lora.lora_alpha", "lora.lora_dropout", "lora.target_modules", "lora.use_rslora"];

pub(super) fn check(config: &Config, report: &mut Report) {
    let lora = &config.lora;
    if !lora.adapter.is_empty() {
        if let Some(key) = OF_NEW.into_iter().find(|key| report.given(key)) {
            report.add(&[key], "set, but the adapter that lora.adapter names brings its own; remove one of the two".into());
        }
    } else if !report.given("lora.r")
        && let Some(key) = OF_NEW.into_iter().find(|key| report.wanted(key, &["lora.r"]))
    {
        report.add(
            &[key],
            "set, but without lora.r there is no adapter; set the rank (usual: 16), or lora.r = 0 to train all weights".into(),
        );
    }
    if let Err(message) = TargetModule::parse_all(&lora.target_modules.0) {
        report.add(&["lora.target_modules"], message);
    }
    if config.model.init == Init::Random && (lora.r > 0 || !lora.adapter.is_empty()) {
        let key = if lora.r > 0 { "lora.r" } else { "lora.adapter" };
        report.add(
            &[key, "model.init"],
            "contradicts model.init = \"random\": an adapter is of no use without its base, and random weights are kept nowhere".into(),
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::Error;
    use crate::config::Config;

    #[test]
    fn each_contradiction_is_found_and_located() {
        let cases = [
            ("[lora]\nlora_alpha = 16", "c.toml:2: lora.lora_alpha: set, but without lora.r there is no adapter"),
            ("[lora]\nadapter = \"a\"\nr = 8", "c.toml:3: lora.r: set, but the adapter that lora.adapter names brings its own"),
            (
                "[lora]\nr = 8\ntarget_modules = [\"q_proj\", \"proj\"]",
                "c.toml:3: lora.target_modules: unknown target module \"proj\"; valid are \"all-linear\" alone, or some of q_proj, k_proj, v_proj, o_proj, \
                 gate_proj, up_proj, down_proj",
            ),
            ("[lora]\nr = 8\ntarget_modules = \"lm_head\"", "c.toml:3: lora.target_modules: \"lm_head\" can't be adapted"),
            ("[lora]\nr = 8\n[model]\ninit = \"random\"", "c.toml:2: lora.r: contradicts model.init = \"random\""),
        ];
        for (text, expected) in cases {
            let Err(Error::Config(found)) = Config::from_toml(text, "c.toml", &[]) else { panic!("no problem in {text}") };
            assert!(found.len() == 1 && found[0].starts_with(expected), "{text:?}: {found:#?}");
        }
        // The rank of 0 turns it all off, so that a file with an adapter can be run without.
        let off = "[lora]\nr = 0\nlora_alpha = 16\ntarget_modules = \"v_proj\"";
        Config::from_toml(off, "c.toml", &[]).unwrap();
        Config::from_toml("[lora]\nr = 8\ntarget_modules = [\"q_proj\", \"v_proj\"]", "c.toml", &[]).unwrap();
    }
}
