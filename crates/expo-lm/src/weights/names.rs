//! Stored tensors under the names that the engine knows. Training frameworks put wrappers into names (`_orig_mod.`, `module.`), bare decoders are stored
//! without `model.`, and a file may hold more than the configuration says. What such a name means is read from its end, which every writer leaves alone;
//! what is left over is told, or refused where the model that it comes from computes with it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::safetensors::SafetensorsSource;
use super::{HostTensor, TensorSource};
use crate::config::{ModelConfig, Rope};
use crate::error::{Error, Result};
use crate::model::params::{self, ParamTable};
use crate::model::rope::frequencies;
use crate::models::classes;

/// Parts of names that wrappers put anywhere: torch.compile, FSDP, activation checkpointing, DDP, and PEFT around a layer that it adapts.
const WRAPPERS: [&str; 5] = ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "module", "base_layer"];

/// Ends of the names of buffers that follow from the configuration, and that transformers leaves out as well.
const REDUNDANT: [&str; 7] = ["inv_freq", "original_inv_freq", "masked_bias", "causal_mask", "cos_cached", "sin_cached", "position_ids"];

const EMBEDDING: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";
/// Most names in one message.
const SHOWN: usize = 6;

/// The tensors of a source by the engine's names.
pub(crate) struct NamedWeights<'s, 'a> {
    /// Where they are stored.
    pub source: &'s mut SafetensorsSource<'a>,
    /// The engine's name to the stored one.
    pub stored: HashMap<String, String>,
}

impl TensorSource for NamedWeights<'_, '_> {
    fn tensor(&mut self, name: &str) -> Result<Option<HostTensor>> {
        match self.stored.get(name) {
            Some(stored) => self.source.tensor(stored),
            None => Ok(None),
        }
    }
    fn describe(&self) -> String {
        self.source.describe()
    }
}

/// A stored name, taken apart.
pub(crate) struct Name {
    stored: String,
    /// What stands before the decoder (`language_model`), without the `model` that the decoder itself is called; empty for a plain name.
    root: String,
    /// From `layers.`, `embed_tokens.`, `norm.` or `lm_head.` on.
    end: String,
}

impl Name {
    /// `None` for names that no decoder's tensor has.
    pub fn parse(stored: &str) -> Option<Self> {
        let parts: Vec<&str> = stored.split('.').filter(|part| !WRAPPERS.contains(part)).collect();
        let begins = |(i, part): (usize, &&str)| match *part {
            "layers" => parts.get(i + 1).is_some_and(|n| n.parse::<u32>().is_ok()),
            part => ["embed_tokens", "norm", "lm_head"].contains(&part),
        };
        let at = parts.iter().enumerate().position(begins)?;
        let root = parts[..at].join(".");
        let trimmed =
            root.strip_suffix("model").filter(|rest| rest.is_empty() || rest.ends_with('.')).map(|rest| rest.trim_end_matches('.'));
        Some(Self { stored: stored.to_owned(), root: trimmed.unwrap_or(&root).to_owned(), end: parts[at..].join(".") })
    }

    /// The engine's name for it.
    pub fn own(&self) -> String {
        match self.end.starts_with("lm_head.") {
            true => self.end.clone(),
            false => format!("model.{}", self.end),
        }
    }
}

/// Whether a head at `root` is that of the decoder at `decoder`: in the same model, or in one that wraps it.
fn holds(root: &str, decoder: &str) -> bool {
    root.is_empty() || root == decoder || decoder.strip_prefix(root).is_some_and(|rest| rest.starts_with('.'))
}

/// Finds what `config` needs in `source`. Where a tied head is stored and differs from the embedding, `config` is changed: it is then a head of its own, as in
/// transformers 5. `notices` gets what a user should know.
/// Errors: two tensors for one name that differ, or tensors that the stored model computes with and this configuration doesn't.
pub(crate) fn resolve<'s, 'a>(
    source: &'s mut SafetensorsSource<'a>,
    config: &mut ModelConfig,
    notices: &mut Vec<String>,
) -> Result<NamedWeights<'s, 'a>> {
    let all: BTreeSet<String> = source.names().map(str::to_owned).collect();
    let names: Vec<Name> = all.iter().filter_map(|name| Name::parse(name)).collect();
    let wanted: BTreeSet<String> = params::shapes(&ParamTable::new(config).specs).into_iter().map(|(name, _)| name).collect();

    if names.iter().all(|name| !wanted.contains(&name.own())) && !all.is_empty() {
        let some: Vec<String> = all.iter().cloned().collect();
        let message = format!(
            "{}: none of its tensors has a name of this model's ({HEAD}, model.layers.0.input_layernorm.weight, ...); it has {}; save the model with \
             transformers' `save_pretrained`",
            source.describe(),
            list(&some)
        );
        return Err(Error::Invalid(message));
    }
    let mut found = Found { source, names: &names, stored: HashMap::new(), used: BTreeSet::new() };
    let root = found.decoder(&wanted)?;
    for name in names.iter().filter(|name| name.root == root && !name.end.starts_with("lm_head.")) {
        if wanted.contains(&name.own()) {
            found.take(&name.own(), &name.stored)?;
        }
    }
    for name in names.iter().filter(|name| name.end == HEAD && holds(&name.root, &root)) {
        found.take(HEAD, &name.stored)?;
    }
    found.head(config, notices)?;
    found.tell_aliases(notices);
    let Found { source, stored, used, .. } = found;
    let left: Vec<&String> = all.difference(&used).collect();
    Leftovers::sort(source, &left, &names, &root, &stored, config)?.tell(source, config, notices)?;
    Ok(NamedWeights { source, stored })
}

struct Found<'s, 'a, 'n> {
    source: &'s mut SafetensorsSource<'a>,
    names: &'n [Name],
    stored: HashMap<String, String>,
    /// Stored names that are read, or that are a second copy of one that is.
    used: BTreeSet<String>,
}

impl Found<'_, '_, '_> {
    /// The root with the most of the decoder's tensors. Errors: two whole decoders that differ.
    fn decoder(&mut self, wanted: &BTreeSet<String>) -> Result<String> {
        let mut ends: BTreeMap<&str, BTreeMap<String, &Name>> = BTreeMap::new();
        for name in self.names.iter().filter(|name| name.end.starts_with("layers.")) {
            let own = name.own();
            if wanted.contains(&own) {
                ends.entry(&name.root).or_default().insert(own, name);
            }
        }
        let Some(most) = ends.values().map(BTreeMap::len).max() else { return Ok(String::new()) };
        let whole: Vec<_> = ends.into_iter().filter(|(_, names)| names.len() == most).collect();
        let (root, first) = &whole[0];
        for (other, names) in &whole[1..] {
            for (own, name) in names {
                if let Some(first) = first.get(own)
                    && !self.source.equal(&first.stored, &name.stored)?
                {
                    let message = format!(
                        "{}: holds two models, `{}` and `{}` differ; save the one that is meant alone",
                        self.source.describe(),
                        first.stored,
                        name.stored
                    );
                    return Err(Error::Invalid(message));
                }
                self.used.insert(name.stored.clone());
            }
            self.used.extend(self.names.iter().filter(|name| name.root == *other).map(|name| name.stored.clone()));
        }
        Ok((*root).to_owned())
    }

    /// Takes the stored tensor for `own`. Errors: there is another one, which differs.
    fn take(&mut self, own: &str, stored: &str) -> Result<()> {
        self.used.insert(stored.to_owned());
        let Some(first) = self.stored.get(own) else {
            self.stored.insert(own.to_owned(), stored.to_owned());
            return Ok(());
        };
        if self.source.equal(first, stored)? {
            if own == stored {
                self.stored.insert(own.to_owned(), stored.to_owned());
            }
        } else {
            let message = format!(
                "{}: `{first}` and `{stored}` both are `{own}` to this model, and they differ; remove the one that isn't meant",
                self.source.describe()
            );
            return Err(Error::Invalid(message));
        }
        Ok(())
    }

    /// Embedding and head, tied or not.
    fn head(&mut self, config: &mut ModelConfig, notices: &mut Vec<String>) -> Result<()> {
        let file = self.source.describe();
        match (config.tie_word_embeddings, self.stored.get(EMBEDDING), self.stored.get(HEAD)) {
            (true, None, Some(head)) => {
                let head = head.clone();
                self.stored.insert(EMBEDDING.to_owned(), head);
            }
            (true, Some(embedding), Some(head)) if !self.source.equal(embedding, head)? => {
                config.tie_word_embeddings = false;
                notices.push(format!(
                    "{file}: `{head}` is not the embedding, though config.json has `tie_word_embeddings` = true; the stored head is used, as transformers 5 \
                     does, and what is saved here says false"
                ));
            }
            (false, Some(_), None) | (false, None, Some(_)) => {
                let missing = if self.stored.contains_key(HEAD) { EMBEDDING } else { HEAD };
                return Err(Error::Invalid(format!(
                    "{file}: no tensor {missing}, and config.json has `tie_word_embeddings` = false (which is also meant where the key is missing); \
                     if the head is the embedding, set it to true, else save the model again with both"
                )));
            }
            _ => {}
        }
        Ok(())
    }

    /// One line where stored names aren't the engine's.
    fn tell_aliases(&self, notices: &mut Vec<String>) {
        let renamed: BTreeMap<&String, &String> = self.stored.iter().filter(|(own, stored)| own != stored).collect();
        // A tied model that is stored under its head's name alone has one tensor of another name, and that is no wrapper's.
        if let Some((own, stored)) = renamed.iter().find(|(own, _)| own.starts_with("model.layers.")).or(renamed.first_key_value()) {
            let file = self.source.describe();
            let whose = if renamed.len() == 1 {
                "1 tensor is known by the end of its name".to_owned()
            } else {
                format!("{} tensors are known by the end of their names", renamed.len())
            };
            notices.push(format!("{file}: {whose}: `{stored}` is read as `{own}`"));
        }
    }
}

/// Stored tensors that nothing reads.
#[derive(Default)]
struct Leftovers {
    /// In the decoder: the stored model computes with them.
    inside: Vec<String>,
    /// Biases of nothing but zeros.
    zero: Vec<String>,
    /// Beside the decoder: other heads, other towers.
    beside: Vec<String>,
    /// Frequencies of the rotary embedding that are not those of the configuration.
    frequencies: Vec<String>,
}

impl Leftovers {
    fn sort(
        source: &mut SafetensorsSource<'_>,
        left: &[&String],
        names: &[Name],
        root: &str,
        stored: &HashMap<String, String>,
        config: &ModelConfig,
    ) -> Result<Self> {
        // What the decoder's names begin with: `model.`, or nothing.
        let first = stored.iter().find(|(own, _)| own.starts_with("model.layers.")).map(|(_, stored)| stored);
        let prefix = first.and_then(|stored| Some(&stored[..stored.find("layers.")?])).unwrap_or_default();
        let parsed: HashMap<&str, &Name> = names.iter().map(|name| (name.stored.as_str(), name)).collect();
        let mut sorted = Self::default();
        for name in left {
            let last = name.rsplit('.').next().unwrap_or_default();
            let rank = source.shape(name).map_or(0, <[usize]>::len);
            // GPT-2's kind of causal mask is called `attn.bias`, and is a matrix.
            let is_mask = ["attn.bias", "attention.bias"].iter().any(|end| name.ends_with(end)) && rank > 1;
            if last == "inv_freq" && source.tensor(name)?.is_some_and(|tensor| !are_frequencies(&tensor.data, config)) {
                sorted.frequencies.push((*name).clone());
            }
            if REDUNDANT.contains(&last) || is_mask {
                continue;
            }
            let inside = match parsed.get(name.as_str()) {
                Some(parsed) if parsed.end.starts_with("lm_head.") => holds(&parsed.root, root),
                Some(parsed) => parsed.root == root,
                None => !prefix.is_empty() && name.starts_with(prefix),
            };
            let list = match inside {
                false => &mut sorted.beside,
                true if last == "bias" && rank == 1 && source.tensor(name)?.is_some_and(|t| t.data.iter().all(|v| *v == 0.0)) => {
                    &mut sorted.zero
                }
                true => &mut sorted.inside,
            };
            list.push((*name).clone());
        }
        Ok(sorted)
    }

    /// Errors: some are in the decoder.
    fn tell(&self, source: &SafetensorsSource<'_>, config: &ModelConfig, notices: &mut Vec<String>) -> Result<()> {
        let file = source.describe();
        if !self.inside.is_empty() {
            let message = format!(
                "{file}: {} that the stored model computes with and {} with this config.json doesn't: {}; {}",
                count(&self.inside),
                config.family.class_name,
                list(&self.inside),
                meaning(&self.inside, config)
            );
            return Err(Error::Invalid(message));
        }
        if !self.zero.is_empty() {
            notices.push(format!("{file}: {} of zeros left out, which change nothing: {}", count(&self.zero), list(&self.zero)));
        }
        if !self.frequencies.is_empty() {
            notices.push(format!(
                "{file}: {} is not what `rope_theta` and `rope_scaling` in config.json make; config.json counts, as in transformers",
                list(&self.frequencies)
            ));
        }
        if !self.beside.is_empty() {
            notices.push(format!(
                "{file}: {} beside the language model not used, and not written when it is saved: {}",
                count(&self.beside),
                list(&self.beside)
            ));
        }
        Ok(())
    }
}

/// Whether `stored`, rounded to any format, are the frequencies of a layer's rotary embedding, scaled or (as older transformers stored them) not.
fn are_frequencies(stored: &[f32], config: &ModelConfig) -> bool {
    let scaled = config.ropes().into_iter().flatten();
    scaled.flat_map(|rope| [rope.clone(), Rope::plain(rope.theta)]).any(|rope| {
        let expected = frequencies(&rope, config.head_dim).0;
        let close = |(found, expected): (&f32, &f64)| (f64::from(*found) - expected).abs() <= 1e-6 + 1e-2 * expected;
        stored.len() == expected.len() && stored.iter().zip(&expected).all(close)
    })
}

fn count(names: &[String]) -> String {
    if names.len() == 1 { "1 tensor".to_owned() } else { format!("{} tensors", names.len()) }
}

fn list(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    let more = if names.len() > SHOWN { ", ..." } else { "" };
    format!("{}{more}", shown.join(", "))
}

/// What tensors in the decoder that the configuration has no place for are a sign of, and what to do.
fn meaning(names: &[String], config: &ModelConfig) -> String {
    let any = |parts: &[&str]| names.iter().any(|name| parts.iter().any(|part| name.contains(part)));
    let layers = config.num_hidden_layers;
    let layer = |name: &String| Name::parse(name)?.end.split('.').nth(1)?.parse::<usize>().ok();
    if any(&["lora_", "modules_to_save", "original_module"]) {
        return "this is a model with an adapter on it: merge it with PEFT's `merge_and_unload` and save that".to_owned();
    }
    if any(&["qweight", "qzeros", "scales", "weight_scale", "absmax", "quant_state", "weight_packed", "SCB", "g_idx"]) {
        return "these are quantised weights: use the unquantised model in f32, f16 or bf16".to_owned();
    }
    if let Some(last) = names.iter().filter_map(layer).filter(|l| *l >= layers).max() {
        return format!(
            "config.json has `num_hidden_layers` = {layers}, the weights have {}; correct it, or save the model without the further layers",
            last + 1
        );
    }
    if any(&["experts", "mlp.gate.", "router"]) {
        return "this is a mixture of experts, which is not implemented".to_owned();
    }
    // Behind the layer's number.
    let in_block = |name: &String| Name::parse(name)?.end.splitn(3, '.').nth(2).map(str::to_owned);
    for name in names.iter().filter_map(in_block) {
        let families = classes(|family| family.tensors.has(&name));
        if !families.is_empty() {
            return format!("`{name}` belongs to {families}: set `architectures` in config.json to the class that wrote the weights");
        }
    }
    if any(&[".bias"]) {
        return "no class that is implemented has such a bias: set `architectures` in config.json to the class that wrote the weights"
            .to_owned();
    }
    "config.json and the weights must be of the same model: set `architectures` to the class that wrote them".to_owned()
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
