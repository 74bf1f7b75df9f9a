//! The output head: log-probabilities, entropies and their gradients, in chunks of rows, so that `[tokens, vocab]` never exists.

use rayon::prelude::*;

use super::divergence::diverge;
use super::float::{Float, Scratch};
use super::gemm::{Columns, linear_backward_input, linear_backward_weight, linear_forward};
use super::rows::{maximum, vectorized};
use crate::batch::{DistributionTarget, LossGradient, ScoreGradient, Target, TokenScore};
use crate::kernels::{HeadGradients, HeadScores, Teacher};

/// Logits kept at once: 2^24 f32 are 64 MiB. A teacher's are as many again, where every target has one.
const CHUNK_ELEMENTS: usize = 1 << 24;

/// Rows of fewer logits in all are done on the calling thread.
const SERIAL_BELOW: usize = 1 << 14;

/// Scores `targets` from `hidden[row]` (already normalised) and compares them with the teacher's distributions; with `gradients`, also runs the backward pass
/// of both. Several targets of one row (other tokens, other temperatures) are allowed.
pub fn score<F: Float>(
    width: usize,
    vocab: usize,
    hidden: &[F],
    weight: &[F],
    targets: &[Target],
    teacher: Option<&Teacher<'_, Vec<F>>>,
    gradients: Option<HeadGradients<'_, Vec<F>>>,
) -> HeadScores {
    // Losses of whole sequences need the whole batch's scores first: one chunk, where it fits, saves computing them twice. Otherwise a chunk stays
    // in the cache.
    let most = match gradients.as_ref().map(|g| &g.loss) {
        Some(LossGradient::PerBatch(_)) => (CHUNK_ELEMENTS / vocab).max(16),
        _ => (CHUNK_ELEMENTS / vocab).clamp(16, 2048),
    };
    score_in_chunks(most, width, vocab, hidden, weight, targets, teacher, gradients)
}

/// [`score`] in chunks of at most `most` targets.
fn score_in_chunks<F: Float>(
    most: usize,
    width: usize,
    vocab: usize,
    hidden: &[F],
    weight: &[F],
    targets: &[Target],
    teacher: Option<&Teacher<'_, Vec<F>>>,
    gradients: Option<HeadGradients<'_, Vec<F>>>,
) -> HeadScores {
    // Of about equal size, since a small last one would read and write the whole weight for little.
    let chunk = targets.len().div_ceil(targets.len().div_ceil(most).max(1)).max(1);
    let mut head = Head { width, vocab, weight, rows: Scratch::new(chunk * width), logits: Scratch::new(chunk * vocab) };
    let mut teaching = teacher.map(|teacher| Teaching::new(teacher, vocab, chunk));
    let mut rows = Vec::with_capacity(targets.len());
    let mut divergences = Vec::new();
    // What the losses of whole sequences say once all scores are known.
    let mut all = None;
    let Some(mut gradients) = gradients else {
        for (c, targets) in targets.chunks(chunk).enumerate() {
            head.logits(hidden, targets);
            divergences.extend(teaching.iter_mut().flat_map(|teaching| teaching.compare(c * chunk, targets, &head.logits)));
            rows.extend(head.exponentials(targets));
        }
        return HeadScores { tokens: rows.into_iter().map(|row| row.score).collect(), divergences };
    };
    let per_batch = matches!(gradients.loss, LossGradient::PerBatch(_));
    let fits = targets.len() <= chunk;
    if per_batch && !fits {
        for targets in targets.chunks(chunk) {
            head.logits(hidden, targets);
            rows.extend(head.exponentials(targets));
        }
    }
    for (c, targets) in targets.chunks(chunk).enumerate() {
        let first = c * chunk;
        head.logits(hidden, targets);
        divergences.extend(teaching.iter_mut().flat_map(|teaching| teaching.compare(first, targets, &head.logits)));
        let scored = head.exponentials(targets);
        if rows.len() == first {
            rows.extend(scored);
        }
        let by_score: Vec<ScoreGradient> = match &gradients.loss {
            LossGradient::PerToken(loss) => {
                let of = |(i, row): (usize, &Row)| ScoreGradient::by_log_prob(loss(first + i, row.score.log_prob));
                rows[first..].iter().enumerate().map(of).collect()
            }
            LossGradient::PerBatch(loss) => {
                let all = all.get_or_insert_with(|| loss(&rows.iter().map(|row| row.score).collect::<Vec<_>>()));
                all[first..first + targets.len()].to_vec()
            }
        };
        head.logit_gradients(targets, &rows[first..first + targets.len()], &by_score);
        if let Some(teaching) = &teaching {
            teaching.add_to(first, targets.len(), &mut head.logits);
        }
        head.backward(targets, gradients.dhidden, gradients.dweight.as_deref_mut().map(Vec::as_mut_slice));
    }
    HeadScores { tokens: rows.into_iter().map(|row| row.score).collect(), divergences }
}

/// What the forward pass leaves of a row of logits: its score, and the sum that its exponentials are to be divided by.
struct Row {
    score: TokenScore,
    sum: f64,
}

/// One chunk's memory.
struct Head<'a, F: Float> {
    width: usize,
    vocab: usize,
    weight: &'a [F],
    /// Hidden rows of the chunk's targets, later their gradients.
    rows: Scratch<F>,
    /// Logits, then their exponentials, then their gradients.
    logits: Scratch<F>,
}

impl<F: Float> Head<'_, F> {
    /// Makes a chunk's logits.
    fn logits(&mut self, hidden: &[F], targets: &[Target]) {
        let (width, vocab) = (self.width, self.vocab);
        for (target, row) in targets.iter().zip(self.rows.chunks_exact_mut(width)) {
            row.copy_from_slice(&hidden[target.row * width..][..width]);
        }
        linear_forward(targets.len(), width, vocab, &self.rows, self.weight, &mut self.logits, Columns::whole(vocab), false);
    }

    /// Scores the chunk whose logits were made last; their exponentials take their place.
    fn exponentials(&mut self, targets: &[Target]) -> Vec<Row> {
        let vocab = self.vocab;
        let each = |(target, logits): (&Target, &mut [F])| {
            vectorized(
                #[inline(always)]
                || exponentials(target, logits),
            )
        };
        let logits = &mut self.logits[..targets.len() * vocab];
        if logits.len() < SERIAL_BELOW {
            targets.iter().zip(logits.chunks_exact_mut(vocab)).map(each).collect()
        } else {
            targets.par_iter().zip(logits.par_chunks_exact_mut(vocab)).map(each).collect()
        }
    }

    /// From the gradient by the score of each target of the chunk to the gradients by its logits, which take the place of their exponentials.
    fn logit_gradients(&mut self, targets: &[Target], rows: &[Row], by_score: &[ScoreGradient]) {
        let vocab = self.vocab;
        let each = |(((target, row), by_score), logits): (((&Target, &Row), &ScoreGradient), &mut [F])| {
            vectorized(
                #[inline(always)]
                || logit_gradients(target, row, *by_score, logits),
            );
        };
        let logits = &mut self.logits[..targets.len() * vocab];
        if logits.len() < SERIAL_BELOW {
            targets.iter().zip(rows).zip(by_score).zip(logits.chunks_exact_mut(vocab)).for_each(each);
        } else {
            targets.par_iter().zip(rows).zip(by_score).zip(logits.par_chunks_exact_mut(vocab)).for_each(each);
        }
    }

    /// From the gradients by the chunk's logits to those of the hidden rows and of the weight, which are added to.
    fn backward(&mut self, targets: &[Target], dhidden: &mut [F], dweight: Option<&mut [F]>) {
        let (m, width, vocab) = (targets.len(), self.width, self.vocab);
        let whole = Columns::whole(vocab);
        if let Some(dweight) = dweight {
            linear_backward_weight(m, width, vocab, &self.logits, whole, &self.rows, dweight);
        }
        linear_backward_input(m, width, vocab, &self.logits, whole, self.weight, &mut self.rows, false);
        for (target, row) in targets.iter().zip(self.rows.chunks_exact(width)) {
            for (d, r) in dhidden[target.row * width..][..width].iter_mut().zip(row) {
                *d += *r;
            }
        }
    }
}

/// One chunk's memory of the teacher: as many rows as the chunk has distribution targets.
struct Teaching<'a, F: Float> {
    teacher: &'a Teacher<'a, Vec<F>>,
    vocab: usize,
    rows: Scratch<F>,
    /// The teacher's logits, then the gradients by the student's.
    logits: Scratch<F>,
}

impl<'a, F: Float> Teaching<'a, F> {
    fn new(teacher: &'a Teacher<'a, Vec<F>>, vocab: usize, chunk: usize) -> Self {
        // In any chunk's range of targets there are no more than this.
        let most = chunk.min(teacher.targets.len());
        Self { teacher, vocab, rows: Scratch::new(most * teacher.width), logits: Scratch::new(most * vocab) }
    }

    /// The distribution targets of the chunk of `len` targets from `first` on.
    fn targets(&self, first: usize, len: usize) -> &'a [DistributionTarget] {
        let all = self.teacher.targets;
        let until = |target: usize| all.partition_point(|d| d.target < target);
        &all[until(first)..until(first + len)]
    }

    /// The divergences of a chunk from the student's logits, which are left alone; the gradients stay here.
    fn compare(&mut self, first: usize, targets: &[Target], student: &[F]) -> Vec<f64> {
        let (width, vocab, distributions) = (self.teacher.width, self.vocab, self.targets(first, targets.len()));
        if distributions.is_empty() {
            return Vec::new();
        }
        for (d, row) in distributions.iter().zip(self.rows.chunks_exact_mut(width)) {
            for (to, from) in row.iter_mut().zip(&self.teacher.hidden[d.teacher_row * width..][..width]) {
                *to = F::of(f64::from(*from));
            }
        }
        let whole = Columns::whole(vocab);
        linear_forward(distributions.len(), width, vocab, &self.rows, self.teacher.weight, &mut self.logits, whole, false);
        let each = |(d, logits): (&DistributionTarget, &mut [F])| {
            let of_chunk = d.target - first;
            let (target, student) = (&targets[of_chunk], &student[of_chunk * vocab..][..vocab]);
            vectorized(
                #[inline(always)]
                || diverge(d.divergence, d.weight, f64::from(target.temperature), student, logits),
            )
        };
        let logits = &mut self.logits[..distributions.len() * vocab];
        if logits.len() < SERIAL_BELOW {
            distributions.iter().zip(logits.chunks_exact_mut(vocab)).map(each).collect()
        } else {
            distributions.par_iter().zip(logits.par_chunks_exact_mut(vocab)).map(each).collect()
        }
    }

    /// Adds the gradients of the chunk that was compared last to those by its scores.
    fn add_to(&self, first: usize, len: usize, logits: &mut [F]) {
        for (d, from) in self.targets(first, len).iter().zip(self.logits.chunks_exact(self.vocab)) {
            for (to, from) in logits[(d.target - first) * self.vocab..][..self.vocab].iter_mut().zip(from) {
                *to += *from;
            }
        }
    }
}

/// Replaces the exponentials e_j of one row by the gradients by its logits z_j: with p the distribution and H its entropy,
/// `d log p_t / dz_j = (1[j = t] - p_j) / T` for the target t, and `dH / dz_j = -p_j (log p_j + H) / T`.
#[inline(always)]
fn logit_gradients<F: Float>(target: &Target, row: &Row, by_score: ScoreGradient, exponentials: &mut [F]) {
    let temperature = f64::from(target.temperature);
    let (g, h) = (by_score.log_prob / temperature, by_score.entropy / temperature);
    if h == 0.0 {
        let factor = F::of(-g / row.sum);
        exponentials.iter_mut().for_each(|e| *e *= factor);
    } else {
        // log p_j + H = log e_j - log sum + H
        let (factor, slope) = (F::of(-1.0 / row.sum), F::of(h));
        let constant = F::of(g + h * (row.score.entropy - row.sum.ln()));
        for e in exponentials.iter_mut() {
            // p log p is 0 where p has become 0.
            let log = if *e > F::ZERO { e.ln() } else { F::ZERO };
            *e *= factor * slope.mul_add(log, constant);
        }
    }
    exponentials[target.token as usize] += F::of(g);
}

/// Score of one row of logits, which are replaced by their exponentials (divided by the temperature, the largest one 1).
#[inline(always)]
fn exponentials<F: Float>(target: &Target, logits: &mut [F]) -> Row {
    let scale = F::of(1.0 / f64::from(target.temperature));
    let shift = maximum(logits) * scale;
    let chosen = (logits[target.token as usize] * scale - shift).f64();
    let mut sums = [F::ZERO; 16];
    let mut weighted = [F::ZERO; 16];
    let mut chunks = logits.chunks_exact_mut(16);
    for z in &mut chunks {
        for l in 0..16 {
            let centred = z[l].mul_add(scale, -shift);
            let e = centred.exp();
            sums[l] += e;
            // exp may round to 0 where `centred` is infinite; 0 * inf would be NaN.
            weighted[l] += if e > F::ZERO { e * centred } else { F::ZERO };
            z[l] = e;
        }
    }
    for (l, z) in chunks.into_remainder().iter_mut().enumerate() {
        let centred = z.mul_add(scale, -shift);
        *z = centred.exp();
        sums[l] += *z;
        weighted[l] += if *z > F::ZERO { *z * centred } else { F::ZERO };
    }
    let sum = super::rows::sum_lanes(&sums).f64();
    let log_sum = sum.ln();
    let entropy = log_sum - super::rows::sum_lanes(&weighted).f64() / sum;
    Row { score: TokenScore { log_prob: chosen - log_sum, entropy }, sum }
}

#[cfg(test)]
mod tests {
    use super::super::micro::PANEL;
    use super::super::panels::{from_panels, panels_len, to_panels};
    use super::*;
    use crate::batch::Divergence;
    use serde::Deserialize;

    /// A head and what it is asked, in numbers that f32 holds exactly.
    #[derive(Deserialize)]
    struct Case {
        width: usize,
        vocab: usize,
        hidden: Vec<f32>,
        weight: Vec<f32>,
        rows: Vec<usize>,
        tokens: Vec<u32>,
        temperatures: Vec<f32>,
    }

    /// Scores, gradient of the hidden rows, and of the weight.
    type Found = (Vec<TokenScore>, Vec<f64>, Vec<f64>);

    impl Case {
        fn made() -> Self {
            let (width, vocab, rows) = (24, 37, 11);
            let value = |i: usize| ((i * 2_654_435_761) % 1000) as f32 / 512.0 - 1.0;
            Self {
                width,
                vocab,
                hidden: (0..rows * width).map(value).collect(),
                weight: (0..vocab * width).map(|i| value(i + 5)).collect(),
                rows: (0..23).map(|i| i * 7 % rows).collect(),
                tokens: (0..23).map(|i| (i * 5 % vocab) as u32).collect(),
                temperatures: (0..23usize).map(|i| if i.is_multiple_of(3) { 0.7 } else { 1.0 }).collect(),
            }
        }

        fn targets(&self) -> Vec<Target> {
            let target = |i: usize| Target { row: self.rows[i], token: self.tokens[i], temperature: self.temperatures[i] };
            (0..self.rows.len()).map(target).collect()
        }

        fn buffers<F: Float>(&self) -> (Vec<F>, Vec<F>) {
            let mut weight = vec![F::ZERO; panels_len(self.vocab, self.width)];
            to_panels(self.vocab, self.width, &self.weight, &mut weight);
            (self.hidden.iter().map(|h| F::of(f64::from(*h))).collect(), weight)
        }

        fn run<F: Float>(&self, most: usize, loss: LossGradient<'_>) -> Found {
            let (hidden, weight) = self.buffers::<F>();
            let (mut dhidden, mut dweight) = (vec![F::ZERO; hidden.len()], vec![F::ZERO; weight.len()]);
            let gradients = HeadGradients { loss, dhidden: &mut dhidden, dweight: Some(&mut dweight) };
            let scores = score_in_chunks(most, self.width, self.vocab, &hidden, &weight, &self.targets(), None, Some(gradients));
            let dweight = from_panels(0..self.vocab, self.width, &dweight);
            (scores.tokens, dhidden.into_iter().map(F::f64).collect(), dweight)
        }
    }

    /// The largest difference, relative to values of more than 1.
    fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).map(|(a, b)| (a - b).abs() / b.abs().max(1.0)).fold(0.0, f64::max)
    }

    /// One chunk or several, token by token or for the whole batch: the same scores to the bit, the same gradients but for the order of sums.
    #[test]
    fn chunks_change_nothing() {
        let case = Case::made();
        let per_token = |i: usize, log_prob: f64| (1.0 + i as f64 * 0.1) * (0.3 * log_prob).exp();
        let per_batch = |scores: &[TokenScore]| {
            scores.iter().enumerate().map(|(i, s)| ScoreGradient::by_log_prob(per_token(i, s.log_prob))).collect::<Vec<_>>()
        };
        let with_entropy = |scores: &[TokenScore]| {
            scores.iter().map(|s| ScoreGradient { log_prob: s.log_prob.exp(), entropy: 0.5 - s.entropy }).collect::<Vec<_>>()
        };
        let check = |losses: [LossGradient<'_>; 2], most: usize, expected: &Found| {
            for loss in losses {
                let found = case.run::<f64>(most, loss);
                assert_eq!(found.0, expected.0, "chunks of {most}");
                assert!(largest_difference(&found.1, &expected.1) < 1e-12, "chunks of {most}");
                assert!(largest_difference(&found.2, &expected.2) < 1e-12, "chunks of {most}");
            }
        };
        let whole = case.run::<f64>(100, LossGradient::PerToken(&per_token));
        let whole_with_entropy = case.run::<f64>(100, LossGradient::PerBatch(&with_entropy));
        assert!(whole.1.iter().chain(&whole.2).any(|d| d.abs() > 0.1), "nothing to compare");
        assert!(largest_difference(&whole.2, &whole_with_entropy.2) > 0.1);
        for most in [1, 4, 22, 100] {
            check([LossGradient::PerToken(&per_token), LossGradient::PerBatch(&per_batch)], most, &whole);
            check([LossGradient::PerBatch(&with_entropy), LossGradient::PerBatch(&with_entropy)], most, &whole_with_entropy);
        }
        let (hidden, weight) = case.buffers::<f64>();
        assert_eq!(score_in_chunks(4, case.width, case.vocab, &hidden, &weight, &case.targets(), None, None).tokens, whole.0);
    }

    /// A loss that is not linear in log-probabilities and entropies, against central differences by hidden rows and weights.
    #[test]
    fn gradients_match_finite_differences() {
        let case = Case::made();
        let scale = |i: usize| 1.0 + 0.1 * i as f64;
        let loss = |scores: &[TokenScore]| -> f64 {
            scores.iter().enumerate().map(|(i, s)| scale(i) * ((0.2 * s.log_prob).exp() + (0.3 * s.entropy).sin())).sum()
        };
        let gradient = |scores: &[TokenScore]| {
            let of = |(i, s): (usize, &TokenScore)| ScoreGradient {
                log_prob: scale(i) * 0.2 * (0.2 * s.log_prob).exp(),
                entropy: scale(i) * 0.3 * (0.3 * s.entropy).cos(),
            };
            scores.iter().enumerate().map(of).collect::<Vec<_>>()
        };
        let (_, dhidden, dweight) = case.run::<f64>(5, LossGradient::PerBatch(&gradient));
        let targets = case.targets();
        let (hidden, _) = case.buffers::<f64>();
        let value = |hidden: &[f64], weight: &[f64]| {
            let mut panels = vec![0.0; panels_len(case.vocab, case.width)];
            // The panels are made of f32: here of f64, element by element.
            for (i, w) in weight.iter().enumerate() {
                panels[(i / case.width / PANEL * case.width + i % case.width) * PANEL + i / case.width % PANEL] = *w;
            }
            loss(&score(case.width, case.vocab, hidden, &panels, &targets, None, None).tokens)
        };
        let weight: Vec<f64> = case.weight.iter().map(|w| f64::from(*w)).collect();
        let h = 1e-5;
        let differ = |values: &[f64], i: usize, value: &dyn Fn(&[f64]) -> f64| {
            let at = |step: f64| {
                let mut moved = values.to_vec();
                moved[i] += step;
                value(&moved)
            };
            (at(h) - at(-h)) / (2.0 * h)
        };
        for i in (0..hidden.len()).step_by(7) {
            let expected = differ(&hidden, i, &|hidden| value(hidden, &weight));
            assert!((dhidden[i] - expected).abs() < 1e-7 * (1.0 + expected.abs()), "hidden[{i}]: {} {expected}", dhidden[i]);
        }
        for i in (0..weight.len()).step_by(13) {
            let expected = differ(&weight, i, &|weight| value(&hidden, weight));
            assert!((dweight[i] - expected).abs() < 1e-7 * (1.0 + expected.abs()), "weight[{i}]: {} {expected}", dweight[i]);
        }
    }

    /// A teacher of another width, and every other target but some drawn to its distributions.
    struct Taught {
        width: usize,
        hidden: Vec<f32>,
        weight: Vec<f64>,
        targets: Vec<DistributionTarget>,
    }

    impl Taught {
        fn of(case: &Case) -> Self {
            let (width, rows) = (9, 7);
            let value = |i: usize| ((i * 40_503) % 1009) as f32 / 512.0 - 1.0;
            let mut weight = vec![0.0; panels_len(case.vocab, width)];
            to_panels(case.vocab, width, &(0..case.vocab * width).map(|i| value(i + 77)).collect::<Vec<_>>(), &mut weight);
            let target = |target: usize| DistributionTarget {
                target,
                teacher_row: target * 3 % rows,
                divergence: Divergence { alpha: [0.0, 0.25, 0.5, 1.0][target % 4], cap: (target == 5).then_some(0.01) },
                weight: 0.5 + target as f64 * 0.1,
            };
            let targets = (0..case.rows.len()).filter(|i| i % 5 != 2 && !(9..13).contains(i)).map(target).collect();
            Self { width, hidden: (0..rows * width).map(value).collect(), weight, targets }
        }

        fn teacher(&self) -> Teacher<'_, Vec<f64>> {
            Teacher { width: self.width, hidden: &self.hidden, weight: &self.weight, targets: &self.targets }
        }
    }

    /// Distributions change no score; their divergences and gradients are the same in one chunk or several, beside losses of either kind.
    #[test]
    fn chunks_change_nothing_of_distributions() {
        let case = Case::made();
        let taught = Taught::of(&case);
        let (hidden, weight) = case.buffers::<f64>();
        let per_token = |i: usize, log_prob: f64| (1.0 + i as f64 * 0.1) * (0.3 * log_prob).exp();
        let per_batch = |scores: &[TokenScore]| {
            scores.iter().enumerate().map(|(i, s)| ScoreGradient::by_log_prob(per_token(i, s.log_prob))).collect::<Vec<_>>()
        };
        let run = |most: usize, loss: LossGradient<'_>| {
            let (mut dhidden, mut dweight) = (vec![0.0; hidden.len()], vec![0.0; weight.len()]);
            let gradients = HeadGradients { loss, dhidden: &mut dhidden, dweight: Some(&mut dweight) };
            let (width, vocab, teacher) = (case.width, case.vocab, taught.teacher());
            let scores = score_in_chunks(most, width, vocab, &hidden, &weight, &case.targets(), Some(&teacher), Some(gradients));
            (scores, dhidden, dweight)
        };
        let whole = run(100, LossGradient::PerToken(&per_token));
        let alone = case.run::<f64>(100, LossGradient::PerToken(&per_token));
        assert_eq!(whole.0.tokens, alone.0);
        assert!(largest_difference(&whole.1, &alone.1) > 0.1, "distributions have a gradient");
        assert_eq!(whole.0.divergences.len(), taught.targets.len());
        for most in [1, 2, 4, 22, 100] {
            for loss in [LossGradient::PerToken(&per_token), LossGradient::PerBatch(&per_batch)] {
                let found = run(most, loss);
                assert_eq!(found.0, whole.0, "chunks of {most}");
                assert!(
                    largest_difference(&found.1, &whole.1) < 1e-12 && largest_difference(&found.2, &whole.2) < 1e-12,
                    "chunks of {most}"
                );
            }
            let scored = score_in_chunks(most, case.width, case.vocab, &hidden, &weight, &case.targets(), Some(&taught.teacher()), None);
            assert_eq!(scored, whole.0, "chunks of {most}, no gradient");
        }
    }

    #[derive(Deserialize)]
    struct Torch {
        #[serde(flatten)]
        case: Case,
        by_log_prob: Vec<f64>,
        by_entropy: Vec<f64>,
        log_probs: Vec<f64>,
        entropies: Vec<f64>,
        dhidden: Vec<f64>,
        dweight: Vec<f64>,
    }

    /// The reference numbers of scripts/fixtures/head_torch.py, in both precisions.
    #[test]
    fn scores_and_gradients_are_torch_s() {
        let torch: Torch = serde_json::from_str(include_str!("../../../tests/fixtures/head_torch.json")).unwrap();
        let by_score = |_: &[TokenScore]| {
            let pairs = torch.by_log_prob.iter().zip(&torch.by_entropy);
            pairs.map(|(log_prob, entropy)| ScoreGradient { log_prob: *log_prob, entropy: *entropy }).collect::<Vec<_>>()
        };
        let loss = || LossGradient::PerBatch(&by_score);
        for ((scores, dhidden, dweight), tolerance) in [(torch.case.run::<f64>(9, loss()), 1e-9), (torch.case.run::<f32>(9, loss()), 1e-5)]
        {
            let log_probs: Vec<f64> = scores.iter().map(|s| s.log_prob).collect();
            let entropies: Vec<f64> = scores.iter().map(|s| s.entropy).collect();
            for (found, expected) in
                [(log_probs, &torch.log_probs), (entropies, &torch.entropies), (dhidden, &torch.dhidden), (dweight, &torch.dweight)]
            {
                assert!(largest_difference(&found, expected) < tolerance, "{}", largest_difference(&found, expected));
            }
        }
    }
}
