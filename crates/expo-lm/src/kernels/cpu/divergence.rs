//! The divergence of one row of a student's logits from a teacher's, and its gradient: what the head asks for each distribution target.

use super::float::Float;
use super::micro::PANEL;
use super::rows::{maximum, sum_lanes};
use crate::batch::Divergence;

/// `min(D(p, t), cap)` with p and t the softmaxes of `student` and `teacher` divided by the temperature. The teacher's logits are replaced by `weight` times the
/// gradient by the student's, 0 where the cap holds. Formulas: [`crate::batch::DistributionTarget`].
///
/// Equal logits give 0 and no gradient, to the bit. A tiny D has the rounding of one sum over the vocabulary: about 1e-7 in f32.
#[inline(always)]
pub fn diverge<F: Float>(divergence: Divergence, weight: f64, temperature: f64, student: &[F], teacher: &mut [F]) -> f64 {
    let Divergence { alpha, cap } = divergence;
    let (p, t) = (Softmax::new(temperature, student), Softmax::new(temperature, teacher));
    let slope = weight / temperature;
    let value = if alpha == 0.0 {
        let slope = F::of(slope);
        let [value] = for_each(student, teacher, |v, u| {
            let (of_p, of_t) = (p.at(v), t.at(*u));
            *u = slope * (of_p.probability - of_t.probability);
            // A probability of 0 counts nothing, however far its logarithm.
            [if of_t.probability == F::ZERO { F::ZERO } else { of_t.probability * (of_t.log() - of_p.log()) }]
        });
        value
    } else if alpha == 1.0 {
        let [value] = for_each(student, teacher, |v, u| {
            let (of_p, of_t) = (p.at(v), t.at(*u));
            *u = if of_p.probability == F::ZERO { F::ZERO } else { of_p.log() - of_t.log() };
            [of_p.probability * *u]
        });
        by_logits(&p, student, slope, value, teacher);
        value
    } else {
        let mixed = F::of(alpha);
        let [of_student, of_teacher] = for_each(student, teacher, |v, u| {
            let (p, t) = (p.at(v).probability, t.at(*u).probability);
            // In this form m is p where t is.
            let m = mixed.mul_add(t - p, p);
            let ratio = |probability: F| if probability == F::ZERO { F::ZERO } else { (probability / m).ln() };
            *u = ratio(p);
            [p * *u, t * ratio(t)]
        });
        by_logits(&p, student, slope * (1.0 - alpha), of_student, teacher);
        (1.0 - alpha) * of_student + alpha * of_teacher
    };
    // Not `f64::max`, which would lose a NaN. Below 0 there is only rounding.
    let value = if value < 0.0 { 0.0 } else { value };
    match cap {
        Some(cap) if value > cap => {
            teacher.fill(F::ZERO);
            cap
        }
        _ => value,
    }
}

/// `f_v`, which `by` holds, becomes `slope * p_v (f_v - mean)`, where `mean` is `sum_u p_u f_u`.
#[inline(always)]
fn by_logits<F: Float>(p: &Softmax<F>, student: &[F], slope: f64, mean: f64, by: &mut [F]) {
    let (slope, mean) = (F::of(slope), F::of(mean));
    for_each(student, by, |v, f| {
        *f = slope * (p.at(v).probability * (*f - mean));
        []
    });
}

/// Calls `each` with every logit and its counterpart, and adds up what it returns: in sixteen lanes, which vectorise, in a fixed order.
#[inline(always)]
fn for_each<F: Float, const N: usize>(student: &[F], teacher: &mut [F], each: impl Fn(F, &mut F) -> [F; N]) -> [f64; N] {
    let mut sums = [[F::ZERO; PANEL]; N];
    let (vs, mut us) = (student.chunks_exact(PANEL), teacher.chunks_exact_mut(PANEL));
    let rest = vs.remainder();
    for (vs, us) in vs.zip(&mut us) {
        for l in 0..PANEL {
            let parts = each(vs[l], &mut us[l]);
            for n in 0..N {
                sums[n][l] += parts[n];
            }
        }
    }
    for (l, (v, u)) in rest.iter().zip(us.into_remainder()).enumerate() {
        let parts = each(*v, u);
        for n in 0..N {
            sums[n][l] += parts[n];
        }
    }
    sums.map(|lanes| sum_lanes(&lanes).f64())
}

/// What turns logits into probabilities: `exp(z * scale - shift) / sum`.
struct Softmax<F> {
    scale: F,
    shift: F,
    reciprocal: F,
    log_sum: F,
}

/// One token of a distribution.
struct Likely<F> {
    probability: F,
    centred: F,
    log_sum: F,
}

impl<F: Float> Likely<F> {
    /// From the logit, so that it is right where the probability itself has become 0.
    #[inline(always)]
    fn log(&self) -> F {
        self.centred - self.log_sum
    }
}

impl<F: Float> Softmax<F> {
    #[inline(always)]
    fn new(temperature: f64, logits: &[F]) -> Self {
        let scale = F::of(1.0 / temperature);
        let shift = maximum(logits) * scale;
        let mut lanes = [F::ZERO; PANEL];
        let chunks = logits.chunks_exact(PANEL);
        let rest = chunks.remainder();
        for chunk in chunks {
            for l in 0..PANEL {
                lanes[l] += chunk[l].mul_add(scale, -shift).exp();
            }
        }
        for (l, z) in rest.iter().enumerate() {
            lanes[l] += z.mul_add(scale, -shift).exp();
        }
        let sum = sum_lanes(&lanes).f64();
        Self { scale, shift, reciprocal: F::of(1.0 / sum), log_sum: F::of(sum.ln()) }
    }

    #[inline(always)]
    fn at(&self, logit: F) -> Likely<F> {
        let centred = logit.mul_add(self.scale, -self.shift);
        Likely { probability: centred.exp() * self.reciprocal, centred, log_sum: self.log_sum }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    const ALPHAS: [f64; 4] = [0.0, 0.25, 0.5, 1.0];

    #[derive(Deserialize)]
    struct Trl {
        student: Vec<Vec<f64>>,
        teacher: Vec<Vec<f64>>,
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        alpha: f64,
        temperature: f64,
        values: Vec<f64>,
        gradients: Vec<f64>,
    }

    /// Value, and gradient by the student's logits.
    fn run<F: Float>(divergence: Divergence, weight: f64, temperature: f64, student: &[f64], teacher: &[f64]) -> (f64, Vec<f64>) {
        let of = |values: &[f64]| values.iter().map(|v| F::of(*v)).collect::<Vec<F>>();
        let mut gradient = of(teacher);
        let value = diverge(divergence, weight, temperature, &of(student), &mut gradient);
        (value, gradient.into_iter().map(F::f64).collect())
    }

    fn plain(alpha: f64) -> Divergence {
        Divergence { alpha, cap: None }
    }

    /// The reference numbers of scripts/fixtures/divergence_trl.py, in both precisions.
    #[test]
    fn values_and_gradients_are_trl_s() {
        let trl: Trl = serde_json::from_str(include_str!("../../../tests/fixtures/divergence_trl.json")).unwrap();
        assert!(trl.cases.len() == 12 && trl.cases.iter().any(|case| case.values[0] > 0.5));
        for case in &trl.cases {
            let rows = trl.student.iter().zip(&trl.teacher).enumerate();
            for (i, (student, teacher)) in rows {
                let expected = &case.gradients[i * student.len()..][..student.len()];
                let exact = run::<f64>(plain(case.alpha), 1.0, case.temperature, student, teacher);
                let single = run::<f32>(plain(case.alpha), 1.0, case.temperature, student, teacher);
                for ((value, gradient), tolerance) in [(exact, 2e-13), (single, 2e-6)] {
                    let scale = case.values[i].max(1.0);
                    let what = format!("alpha {}, temperature {}, row {i}", case.alpha, case.temperature);
                    assert!((value - case.values[i]).abs() < tolerance * scale, "{what}: {value}, expected {}", case.values[i]);
                    for (found, expected) in gradient.iter().zip(expected) {
                        assert!((found - expected).abs() < tolerance * scale, "{what}: {found}, expected {expected}");
                    }
                }
            }
        }
    }

    /// A teacher of one's own opinion: nothing, to the bit.
    #[test]
    fn equal_logits_give_nothing() {
        let logits: Vec<f64> = (0..45).map(|i| f64::from((i * 37) % 101) / 7.0 - 5.0).collect();
        for alpha in ALPHAS {
            assert_eq!(run::<f32>(plain(alpha), 3.0, 0.7, &logits, &logits), (0.0, vec![0.0; 45]), "alpha {alpha}");
            assert_eq!(run::<f64>(plain(alpha), 3.0, 0.7, &logits, &logits), (0.0, vec![0.0; 45]), "alpha {alpha}");
        }
    }

    /// A teacher who is certain of one token, with alpha 0, is cross-entropy on that token.
    #[test]
    fn a_certain_teacher_is_cross_entropy() {
        let student: Vec<f64> = (0..21).map(|i| f64::from((i * 13) % 21) / 5.0).collect();
        let mut teacher = vec![-500.0; 21];
        teacher[4] = 500.0;
        let sum: f64 = student.iter().map(|z| (z / 2.0).exp()).sum();
        for (v, gradient) in [run::<f64>(plain(0.0), 1.0, 2.0, &student, &teacher), run::<f32>(plain(0.0), 1.0, 2.0, &student, &teacher)] {
            assert!((v - (sum.ln() - student[4] / 2.0)).abs() < 1e-6);
            for (i, found) in gradient.iter().enumerate() {
                let expected = ((student[i] / 2.0).exp() / sum - f64::from(u8::from(i == 4))) / 2.0;
                assert!((found - expected).abs() < 1e-7, "{found}, expected {expected}");
            }
        }
    }

    /// Probabilities too small for the type don't make values infinite or lose what a logarithm says.
    #[test]
    fn probabilities_that_vanish_keep_their_logarithms() {
        let (student, teacher) = ([0.0, -200.0, 1.0], [-200.0, 0.0, 1.0]);
        for alpha in ALPHAS {
            let (exact, single) =
                (run::<f64>(plain(alpha), 1.0, 1.0, &student, &teacher), run::<f32>(plain(alpha), 1.0, 1.0, &student, &teacher));
            assert!(
                exact.0.is_finite() && (exact.0 - single.0).abs() < 1e-5 * exact.0.max(1.0),
                "alpha {alpha}: {} and {}",
                exact.0,
                single.0
            );
            assert!(exact.1.iter().zip(&single.1).all(|(a, b)| (a - b).abs() < 1e-4 * exact.0.max(1.0)), "{exact:?} {single:?}");
        }
        assert!(run::<f32>(plain(0.0), 1.0, 1.0, &student, &teacher).0 > 50.0);
    }

    #[test]
    fn a_cap_takes_value_and_gradient() {
        let (student, teacher) = ([0.0, 1.0, 2.0, -1.0], [2.0, 0.0, 0.5, 1.0]);
        for alpha in ALPHAS {
            let free = run::<f64>(plain(alpha), 1.0, 1.0, &student, &teacher);
            let capped = |cap: f64| run::<f64>(Divergence { alpha, cap: Some(cap) }, 1.0, 1.0, &student, &teacher);
            assert_eq!(capped(free.0 * 0.99), (free.0 * 0.99, vec![0.0; 4]));
            assert_eq!(capped(free.0 * 1.01), free);
        }
    }

    /// A model that broke is to be seen in the loss.
    #[test]
    fn what_is_not_a_number_stays_so() {
        for alpha in ALPHAS {
            for cap in [None, Some(0.1)] {
                let broken = |student: f64, teacher: f64| run::<f32>(Divergence { alpha, cap }, 1.0, 1.0, &[student; 20], &[teacher; 20]).0;
                assert!(broken(f64::NAN, 1.0).is_nan() && broken(1.0, f64::NAN).is_nan(), "alpha {alpha}");
            }
        }
    }
}
