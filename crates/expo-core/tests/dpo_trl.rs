//! The preference losses, their derivatives and metrics against TRL's own function (scripts/fixtures/dpo_trl.py): several lengths and betas.

use expo_core::config::{DpoSection, PairLoss};
use expo_core::objective::Scores;
use expo_core::objective::dpo::Preferences;
use expo_core::objective::preference::{Pair, Reference};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    loss_type: String,
    beta: f64,
    label_smoothing: f64,
    rpo_alpha: f64,
    chosen: Vec<Vec<f64>>,
    rejected: Vec<Vec<f64>>,
    reference_chosen: Vec<f64>,
    reference_rejected: Vec<f64>,
    loss: f64,
    gradient_chosen: Vec<Vec<f64>>,
    gradient_rejected: Vec<Vec<f64>>,
}

#[test]
fn losses_and_derivatives_are_trls() {
    let fixture: Fixture = serde_json::from_str(include_str!("fixtures/dpo_trl.json")).unwrap();
    let mut forms = std::collections::BTreeSet::new();
    for case in &fixture.cases {
        let name = format!("{} beta {} smoothing {} rpo {}", case.loss_type, case.beta, case.label_smoothing, case.rpo_alpha);
        let loss_type = match case.loss_type.as_str() {
            "sigmoid" => PairLoss::Sigmoid,
            "robust" => PairLoss::Robust,
            "ipo" => PairLoss::Ipo,
            "hinge" => PairLoss::Hinge,
            "sigmoid_norm" => PairLoss::SigmoidNorm,
            other => panic!("loss type {other}"),
        };
        forms.insert(loss_type.as_str());
        let &Case { beta, label_smoothing, rpo_alpha, .. } = case;
        let options = DpoSection { loss_type, beta, label_smoothing, rpo_alpha, ..DpoSection::default() };
        let pairs: Vec<Pair> = (0..case.chosen.len())
            .map(|i| Pair {
                id: String::new(),
                prompt: vec![0; 3],
                chosen: vec![0; case.chosen[i].len()],
                rejected: vec![0; case.rejected[i].len()],
                reference: Reference { chosen: case.reference_chosen[i], rejected: case.reference_rejected[i] },
                ..Pair::default()
            })
            .collect();
        let preferences = Preferences::new(&options);
        let sequences = preferences.sequences(&pairs);
        let mut loss = 0.0;
        for (i, both) in sequences.chunks(2).enumerate() {
            let scores = |log_probs| Scores { log_probs, entropies: &[], divergences: &[] };
            let (chosen, rejected) = (scores(&case.chosen[i]), scores(&case.rejected[i]));
            let sides = [(chosen, rejected, &case.gradient_chosen[i]), (rejected, chosen, &case.gradient_rejected[i])];
            for (sequence, (own, other, gradient)) in both.iter().zip(sides) {
                loss += sequence.losses.iter().map(|l| l.weight() * l.kind.evaluate(own, Some(other)).value).sum::<f64>();
                let found = sequence.gradients(own, Some(other));
                assert_eq!(found.len(), gradient.len(), "{name}");
                for (found, expected) in found.iter().zip(gradient) {
                    assert!((found.log_prob - expected).abs() < 1e-9, "{name}: derivative {found:?}, TRL {expected}");
                }
            }
        }
        assert!((loss - case.loss).abs() < 1e-9, "{name}: loss {loss}, TRL {}", case.loss);
    }
    assert_eq!((forms.len(), fixture.cases.len()), (5, 22));
}
