//! AdamW, fused with gradient scaling in one pass over memory.

use crate::error::{Error, Result};
use crate::kernels::{AdamWStep, Backend, Cpu};
use crate::model::{Gradients, LanguageModel};
use crate::weights::HostTensor;

/// AdamW (arXiv 1711.05101), as PyTorch computes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWConfig {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
}

/// Parameters whose Hugging Face name has one of these in it don't decay: biases and norms, as transformers' `Trainer` has it.
pub const NO_DECAY: [&str; 2] = ["bias", "norm"];

/// AdamW's state: both moments of every parameter, and the step count.
pub struct AdamW<B: Backend = Cpu<f32>> {
    config: AdamWConfig,
    backend: B,
    first: Vec<B::Buf>,
    second: Vec<B::Buf>,
    /// Whether each parameter decays.
    decays: Vec<bool>,
    step: u64,
}

impl<B: Backend> AdamW<B> {
    /// Zero moments for `model`; what [`NO_DECAY`] names doesn't decay.
    pub fn new(model: &LanguageModel<B>, config: AdamWConfig) -> Self {
        let [first, second] = [(); 2].map(|()| model.new_gradients().bufs);
        let decays = model.table.specs.iter().map(|spec| !spec.parts.iter().any(|(name, _)| is_named(name, &NO_DECAY))).collect();
        Self { config, backend: model.backend, first, second, decays, step: 0 }
    }

    /// The same where the parameters that don't decay are those with one of `no_decay` in their Hugging Face name.
    /// Errors: one of `no_decay` (those of [`NO_DECAY`] excepted) is in no name; they are in the names of only some of the tensors that are one matrix
    /// here (q, k and v; gate and up).
    pub fn with_no_decay(mut self, model: &LanguageModel<B>, no_decay: &[String]) -> Result<Self> {
        let names = || model.table.specs.iter().flat_map(|spec| &spec.parts).map(|(name, _)| name);
        let unknown = no_decay.iter().find(|part| !NO_DECAY.contains(&part.as_str()) && !names().any(|name| name.contains(part.as_str())));
        if let Some(unknown) = unknown {
            let mut known: Vec<&str> = names().filter(|name| !name.contains(".layers.") || name.contains(".layers.0.")).map(String::as_str).collect();
            known.dedup();
            return Err(Error::Invalid(format!("no_decay: {unknown:?} is in no parameter's name; expected a part of {}", known.join(", "))));
        }
        self.decays.clear();
        for spec in &model.table.specs {
            let exempt: Vec<bool> = spec.parts.iter().map(|(name, _)| is_named(name, no_decay)).collect();
            if exempt.iter().any(|one| *one != exempt[0]) {
                let parts: Vec<&str> = spec.parts.iter().map(|(name, _)| name.as_str()).collect();
                let together = parts.join(", ");
                return Err(Error::Invalid(format!("no_decay: {together} are one matrix and decay together; name all of them or none")));
            }
            self.decays.push(!exempt[0]);
        }
        Ok(self)
    }

    /// One update with learning rate `lr`; every gradient is multiplied by `gradient_scale` first (clipping: min(1, max_norm / norm)).
    pub fn step(&mut self, model: &mut LanguageModel<B>, gradients: &Gradients<B>, lr: f64, gradient_scale: f64) {
        self.step += 1;
        let AdamWConfig { beta1, beta2, eps, weight_decay } = self.config;
        for i in 0..model.params.len() {
            let weight_decay = if self.decays[i] { weight_decay } else { 0.0 };
            let step = AdamWStep { lr, beta1, beta2, eps, weight_decay, step: self.step, gradient_scale };
            self.backend.adamw(&step, &mut model.params[i], &gradients.bufs[i], &mut self.first[i], &mut self.second[i]);
        }
    }

    /// Calls `each` with every first moment (`second` false) or second moment, in Hugging Face's naming and layout.
    pub fn export(&self, model: &LanguageModel<B>, second: bool, each: &mut dyn FnMut(&str, HostTensor) -> Result<()>) -> Result<()> {
        model.table.export(self.backend, if second { &self.second } else { &self.first }, each)
    }
}

fn is_named<S: AsRef<str>>(name: &str, parts: &[S]) -> bool {
    parts.iter().any(|part| name.contains(part.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Architecture, ModelConfig, Rope, RopeScaling};
    use crate::model::Model;

    fn model() -> Model {
        let config = ModelConfig {
            architecture: Architecture::Qwen3,
            vocab_size: 20,
            hidden_size: 16,
            intermediate_size: 16,
            num_hidden_layers: 1,
            num_attention_heads: 2,
            num_key_value_heads: 1,
            head_dim: 8,
            rms_norm_eps: 1e-6,
            qkv_bias: true,
            qk_norm: true,
            tie_word_embeddings: false,
            max_position_embeddings: 16,
            rope: Rope { theta: 10000.0, scaling: RopeScaling::Default },
            sliding_window: vec![None],
            bos_token_id: None,
            eos_token_ids: vec![1],
        };
        Model::random(config, 0.3, 1)
    }

    const CONFIG: AdamWConfig = AdamWConfig { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.5 };

    /// Names of the tensors that one update with zero gradients moves.
    fn decayed(no_decay: Option<&[&str]>) -> Result<Vec<String>> {
        let mut model = model();
        let mut optimizer = AdamW::new(&model, CONFIG);
        if let Some(no_decay) = no_decay {
            let names: Vec<String> = no_decay.iter().map(|name| (*name).to_owned()).collect();
            optimizer = optimizer.with_no_decay(&model, &names)?;
        }
        let tensors = |model: &Model| {
            let mut all = Vec::new();
            model.export(&mut |name, tensor| {
                all.push((name.to_owned(), tensor.data));
                Ok(())
            })?;
            Ok::<_, Error>(all)
        };
        // Biases start as zeros, which decay would not show.
        for param in &mut model.params {
            param.iter_mut().for_each(|value| *value += 1.0);
        }
        let before = tensors(&model)?;
        let gradients = model.new_gradients();
        optimizer.step(&mut model, &gradients, 0.1, 1.0);
        let after = tensors(&model)?;
        Ok(before.into_iter().zip(after).filter(|(before, after)| before != after).map(|(before, _)| before.0).collect())
    }

    #[test]
    fn the_parameters_that_decay_are_those_of_transformers_trainer() {
        // `Trainer.get_decay_parameter_names` of transformers 5 on a model of this shape.
        let expected = [
            "model.embed_tokens.weight",
            "model.layers.0.self_attn.q_proj.weight",
            "model.layers.0.self_attn.k_proj.weight",
            "model.layers.0.self_attn.v_proj.weight",
            "model.layers.0.self_attn.o_proj.weight",
            "model.layers.0.mlp.gate_proj.weight",
            "model.layers.0.mlp.up_proj.weight",
            "model.layers.0.mlp.down_proj.weight",
            "lm_head.weight",
        ];
        assert_eq!(decayed(None).unwrap(), expected);
        assert_eq!(decayed(Some(&NO_DECAY)).unwrap(), expected);
    }

    #[test]
    fn the_parameters_that_decay_can_be_chosen() {
        let chosen = decayed(Some(&["bias", "norm", "embed_tokens", "lm_head", "mlp", "o_proj"])).unwrap();
        assert_eq!(chosen, ["q", "k", "v"].map(|p| format!("model.layers.0.self_attn.{p}_proj.weight")));
        assert!(decayed(Some(&[])).unwrap().iter().any(|name| name == "model.norm.weight"));
    }

    #[test]
    fn a_name_that_fits_nothing_or_a_part_of_a_matrix_is_refused() {
        let message = decayed(Some(&["norm", "mlp.fc1"])).unwrap_err().to_string();
        assert!(message.contains("\"mlp.fc1\" is in no parameter's name") && message.contains("model.layers.0.mlp.up_proj.weight"), "{message}");
        let message = decayed(Some(&["v_proj.weight"])).unwrap_err().to_string();
        assert!(message.contains("v_proj.weight are one matrix"), "{message}");
    }
}
