//! AdamW, fused with gradient scaling in one pass over memory; its moments in full or in 8 bits a value.

mod state;

pub use state::MomentTensors;

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

/// Parameters with fewer values keep their moments in full, as in bitsandbytes; so does the embedding table, most of whose rows get no gradient in a step.
const MIN_8BIT_SIZE: usize = 4096;

/// AdamW's state: both moments of every parameter that training changes, and the step count.
pub struct AdamW<B: Backend = Cpu<f32>> {
    config: AdamWConfig,
    backend: B,
    moments: Vec<Moments<B>>,
    /// Whether each parameter decays.
    decays: Vec<bool>,
    step: u64,
}

/// The first and the second moment of a parameter.
#[derive(Clone)]
enum Moments<B: Backend> {
    Full([B::Buf; 2]),
    EightBit([B::Quantized; 2]),
}

impl<B: Backend> AdamW<B> {
    /// Zero moments for `model`; what [`NO_DECAY`] names doesn't decay.
    pub fn new(model: &LanguageModel<B>, config: AdamWConfig) -> Self {
        Self::with_moments(model, config, |_, len| Moments::Full([(); 2].map(|()| model.backend.zeros(len))))
    }

    /// The same with moments in 8 bits a value (arXiv 2110.02861): 2 bytes a parameter instead of 8, with rounding errors of up to 1 part in 140 of
    /// a block of 256 values' largest. The embedding table and small parameters keep theirs in full.
    pub fn new_8bit(model: &LanguageModel<B>, config: AdamWConfig) -> Self {
        let backend = model.backend;
        Self::with_moments(model, config, |i, len| match len < MIN_8BIT_SIZE || model.adapter().is_none() && i == model.table.embedding {
            true => Moments::Full([(); 2].map(|()| backend.zeros(len))),
            false => Moments::EightBit([true, false].map(|signed| backend.quantized_zeros(len, signed))),
        })
    }

    /// The moments of parameter `i` of `len` values in the backend's layout are what `moments` makes.
    fn with_moments(model: &LanguageModel<B>, config: AdamWConfig, moments: impl Fn(usize, usize) -> Moments<B>) -> Self {
        let moments = model.trained().iter().enumerate().map(|(i, param)| moments(i, model.backend.len(param))).collect();
        let decays = model.trained_specs().iter().map(|spec| !spec.parts.iter().any(|(name, _)| is_named(name, &NO_DECAY))).collect();
        Self { config, backend: model.backend, moments, decays, step: 0 }
    }

    /// The same where the parameters that don't decay are those with one of `no_decay` in their Hugging Face name.
    /// Errors: one of `no_decay` (those of [`NO_DECAY`] excepted) is in no name; they are in the names of only some of the tensors that are one matrix
    /// here (q, k and v; gate and up).
    pub fn with_no_decay(mut self, model: &LanguageModel<B>, no_decay: &[String]) -> Result<Self> {
        let names = || model.trained_specs().iter().flat_map(|spec| &spec.parts).map(|(name, _)| name);
        let unknown = no_decay.iter().find(|part| !NO_DECAY.contains(&part.as_str()) && !names().any(|name| name.contains(part.as_str())));
        if let Some(unknown) = unknown {
            let mut known: Vec<&str> =
                names().filter(|name| !name.contains(".layers.") || name.contains(".layers.0.")).map(String::as_str).collect();
            known.dedup();
            return Err(Error::Invalid(format!(
                "no_decay: {unknown:?} is in no parameter's name; expected a part of {}",
                known.join(", ")
            )));
        }
        self.decays.clear();
        for spec in model.trained_specs() {
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
        let trained = model.trained_mut().iter_mut().zip(&gradients.bufs).zip(&mut self.moments).zip(&self.decays);
        for (((param, gradient), moments), decays) in trained {
            let weight_decay = if *decays { weight_decay } else { 0.0 };
            let step = AdamWStep { lr, beta1, beta2, eps, weight_decay, step: self.step, gradient_scale };
            match moments {
                Moments::Full([first, second]) => self.backend.adamw(&step, param, gradient, first, second),
                Moments::EightBit([first, second]) => self.backend.adamw_8bit(&step, param, gradient, first, second),
            }
        }
    }

    /// Number of updates so far.
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// Calls `each` with every first moment (`second` false) or second moment, named and laid out as in [`LanguageModel::export`].
    pub fn export(&self, model: &LanguageModel<B>, second: bool, each: &mut dyn FnMut(&str, HostTensor) -> Result<()>) -> Result<()> {
        for (spec, moments) in model.trained_specs().iter().zip(&self.moments) {
            match moments {
                Moments::Full(both) => spec.export(self.backend, &both[usize::from(second)], each)?,
                Moments::EightBit(both) => spec.export(self.backend, &self.backend.dequantize(&both[usize::from(second)]), each)?,
            }
        }
        Ok(())
    }
}

fn is_named<S: AsRef<str>>(name: &str, parts: &[S]) -> bool {
    parts.iter().any(|part| name.contains(part.as_ref()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::config::{Activation, LayerAttention, Mlp, ModelConfig, Rope};
    use crate::model::Model;

    fn model() -> Model {
        let config = ModelConfig {
            family: &crate::model::tests::BIASES_AND_NORMS,
            vocab_size: 20,
            hidden_size: 16,
            intermediate_size: 16,
            num_hidden_layers: 1,
            num_attention_heads: 2,
            num_key_value_heads: 1,
            head_dim: 8,
            rms_norm_eps: 1e-6,
            mlp: Mlp::Dense(Activation::Silu),
            query_pre_attn_scalar: None,
            tie_word_embeddings: false,
            max_position_embeddings: 16,
            layers: vec![LayerAttention { window: None, rope: Rope::plain(10_000.0) }],
            bos_token_id: None,
            eos_token_ids: vec![1],
        };
        Model::random(config, 0.3, 1)
    }

    pub const CONFIG: AdamWConfig = AdamWConfig { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.5 };

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
        for param in model.trained_mut() {
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

    /// A model with matrices large enough for 8 bits.
    pub fn large_model() -> Model {
        let mut config = model().config;
        (config.hidden_size, config.intermediate_size, config.head_dim, config.vocab_size) = (64, 128, 32, 80);
        Model::random(config, 0.1, 3)
    }

    #[test]
    fn eight_bits_stay_near_full_precision() {
        let config = AdamWConfig { weight_decay: 0.01, ..CONFIG };
        let mut losses = Vec::new();
        for eight_bit in [false, true] {
            let mut model = large_model();
            let mut optimizer = if eight_bit { AdamW::new_8bit(&model, config) } else { AdamW::new(&model, config) };
            let eight = optimizer.moments.iter().filter(|moments| matches!(moments, Moments::EightBit(_))).count();
            // Of qkv, o, gate_up, down and the head; the embedding, norms and biases are in full.
            assert_eq!(eight, if eight_bit { 5 } else { 0 });
            let mut batch = crate::PackedBatch::new();
            for sequence in 0..4u32 {
                let tokens: Vec<u32> = (0..12).map(|t| (sequence * 17 + t * t * 5) % 80).collect();
                batch.push(&tokens[..1], &tokens[1..], 1.0);
            }
            let (mut workspace, mut gradients) = (crate::model::Workspace::default(), model.new_gradients());
            let mut loss = Vec::new();
            for _ in 0..30 {
                gradients.zero();
                let scores = model
                    .forward_backward(&mut workspace, &batch, &mut gradients, crate::LossGradient::PerToken(&|_, _| -1.0 / 44.0))
                    .unwrap();
                loss.push(-scores.iter().map(|score| score.log_prob).sum::<f64>() / 44.0);
                optimizer.step(&mut model, &gradients, 3e-3, 1.0);
            }
            losses.push(loss);
            let mut finite = true;
            for second in [false, true] {
                let check = &mut |_: &str, tensor: HostTensor| {
                    finite &= tensor.data.iter().all(|value| value.is_finite() && (!second || *value >= 0.0));
                    Ok(())
                };
                optimizer.export(&model, second, check).unwrap();
            }
            assert!(finite);
        }
        let (full, eight) = (&losses[0], &losses[1]);
        assert!(full[29] < 0.5 * full[0], "{full:?}");
        let worst = full.iter().zip(eight).map(|(a, b)| (a - b).abs() / a).fold(0.0, f64::max);
        assert!(worst < 0.05 && full != eight, "{worst}: {full:?} {eight:?}");
    }

    #[test]
    fn a_name_that_fits_nothing_or_a_part_of_a_matrix_is_refused() {
        let message = decayed(Some(&["norm", "mlp.fc1"])).unwrap_err().to_string();
        assert!(
            message.contains("\"mlp.fc1\" is in no parameter's name") && message.contains("model.layers.0.mlp.up_proj.weight"),
            "{message}"
        );
        let message = decayed(Some(&["v_proj.weight"])).unwrap_err().to_string();
        assert!(message.contains("v_proj.weight are one matrix"), "{message}");
    }
}
