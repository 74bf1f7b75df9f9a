//! Whether a run learns: from the metrics of its steps, by name, what is wrong with one that doesn't, and the option that helps.
//!
//! It knows nothing of the loop: [`Learning::push`] is fed each row of `metrics.jsonl`, and says of each [`Fault`] once that it is there; [`Learning::at_end`]
//! says which are there in the last steps. What can only follow from a fault that was told is not told beside it: where every completion is wrong, rewards don't
//! differ, and nothing is trained.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::metrics::name::Name;
use crate::objective::term::Term;
use crate::statistics::mean;

/// Steps that are looked at together.
pub const WINDOW: usize = 10;
/// The step from which on a fault is told: by then the window is full, and the first steps are not in it.
pub const FIRST_JUDGED: usize = 12;
/// A run that has ended earlier is judged by as many steps.
const FEWEST: usize = 3;
/// Measured steps without one explanation kept that count.
const STEPS_WITHOUT_EXPLANATION: usize = 3;
/// Steps that stand for a run's beginning.
const BEGINNING: usize = 3;
/// A run of so many steps should solve something, also where it learns from explanations alone.
const LONG_RUN: usize = 100;

/// Why a run learns nothing, or less than it did. Causes come before what follows from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// At least half of the completions are cut off.
    Truncated,
    /// In fewer than a tenth of the completions an answer was found.
    NoAnswer,
    /// All completions of nearly all questions are wrong, and nothing else teaches.
    AllWrong,
    /// No explanation passed the filters.
    NoExplanation,
    /// Rewards do not differ within any group.
    EqualRewards,
    /// Entropy has fallen to less than a tenth.
    EntropyCollapsed,
    /// Explanations reach the answer half as often as at the beginning, or less.
    ExplanationsFail,
    /// The gradient is zero.
    NoGradient,
    /// No step had a loss, or the learning rate is zero.
    NothingTrained,
}

/// A fault with its figure and what helps.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What is wrong.
    pub fault: Fault,
    /// The figure that says so; what it is of stands in `text`.
    pub figure: f64,
    /// What is wrong, with the figure and the metric's name, and which option helps.
    pub text: String,
}

/// One row of `metrics.jsonl`, by names.
pub type Metrics = BTreeMap<String, f64>;

fn of(row: &Metrics, name: &Name) -> Option<f64> {
    row.get(&*name.as_str()).copied()
}

/// The steps of a run, looked at.
#[derive(Debug, Clone, Default)]
pub struct Learning {
    /// The last [`WINDOW`] rows.
    rows: VecDeque<Metrics>,
    /// Rows so far.
    steps: usize,
    /// The first entropy.
    entropy: Option<f64>,
    /// `exp/answer_match_fraction` at the beginning, at most [`BEGINNING`] of them.
    explained: Vec<f64>,
    /// `exp/kept_fraction` where it was last measured.
    kept: VecDeque<f64>,
    told: BTreeSet<Fault>,
}

impl Learning {
    /// Takes the metrics of the next step (a row of step 0, an evaluation before the first, is none). Returns the faults that hold now and were not told yet; none
    /// before step [`FIRST_JUDGED`].
    pub fn push(&mut self, step: u64, metrics: &Metrics) -> Vec<Finding> {
        if step == 0 {
            return Vec::new();
        }
        self.steps += 1;
        if self.rows.len() == WINDOW {
            self.rows.pop_front();
        }
        self.rows.push_back(metrics.clone());
        self.entropy = self.entropy.or(of(metrics, &Name::Entropy));
        if let Some(fraction) = of(metrics, &Name::ExpAnswerMatchFraction).filter(|_| self.explained.len() < BEGINNING) {
            self.explained.push(fraction);
        }
        if let Some(kept) = of(metrics, &Name::ExpKeptFraction) {
            if self.kept.len() == STEPS_WITHOUT_EXPLANATION {
                self.kept.pop_front();
            }
            self.kept.push_back(kept);
        }
        if self.steps < FIRST_JUDGED {
            return Vec::new();
        }
        let mut found = self.judge(false);
        found.retain(|finding| self.told.insert(finding.fault));
        found
    }

    /// The faults that hold in the last steps of a run that has ended, whether they were told or not. Of fewer than three steps nothing can be said.
    pub fn at_end(&self) -> Vec<Finding> {
        if self.steps < FEWEST { Vec::new() } else { self.judge(true) }
    }

    /// Mean of a metric over the window, where at least `least` rows of it have it.
    fn mean(&self, name: &Name, least: usize) -> Option<f64> {
        let values: Vec<f64> = self.rows.iter().filter_map(|row| of(row, name)).collect();
        (values.len() >= least.min(self.rows.len()).max(1)).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }

    fn has(&self, name: &Name) -> bool {
        self.rows.iter().any(|row| of(row, name).is_some())
    }

    /// Whether something else than the reward of completions teaches the task: explanations, expert chains of thought, preferences, documents.
    fn other_teacher(&self) -> bool {
        let terms = [Term::Explanation, Term::ExpertCot, Term::Preference, Term::Documents];
        terms.into_iter().map(Name::Term).chain([Name::OffPolicyNll]).any(|name| self.has(&name))
    }

    fn judge(&self, ended: bool) -> Vec<Finding> {
        let mut found = Vec::new();
        // A few steps are too few for means that may have one step in them, not for what never happened.
        let enough = self.rows.len() >= WINDOW.min(5);
        if enough {
            self.causes(ended, &mut found);
        }
        self.consequences(&mut found);
        found
    }

    fn causes(&self, ended: bool, found: &mut Vec<Finding>) {
        let over = format!("over the last {} steps", self.rows.len());
        let mut add = |fault, figure: f64, text: String| found.push(Finding { fault, figure, text });
        let percent = |fraction: f64| format!("{:.0} %", 100.0 * fraction);
        // Where they become shorter by themselves, the newest rows say so.
        let newest: Vec<f64> = self.rows.iter().rev().take(FEWEST).filter_map(|row| of(row, &Name::CompletionsTruncatedFraction)).collect();
        let newest = mean(&newest);
        if let Some(figure) = self.mean(&Name::CompletionsTruncatedFraction, 1).filter(|figure| *figure >= 0.5 && newest >= 0.5) {
            add(
                Fault::Truncated,
                figure,
                format!(
                    "{} of the completions were cut off {over} (completions/truncated_fraction), most of them before an answer; raise rollout.max_new_tokens, or \
                     ask for shorter answers in prompt.question",
                    percent(figure)
                ),
            );
        }
        if let Some(figure) = self.mean(&Name::CompletionsAnswerFoundFraction, 1).filter(|figure| *figure < 0.1) {
            add(
                Fault::NoAnswer,
                figure,
                format!(
                    "in {} of the completions an answer was found {over} (completions/answer_found_fraction); let prompt.question ask for it as the verifier reads it, such as \\boxed{{}}, \
                     or set reward.unannounced = true",
                    percent(figure)
                ),
            );
        }
        let long = ended && self.steps >= LONG_RUN;
        let teaches = self.other_teacher() && !long;
        if let Some(figure) = self.mean(&Name::GroupsAllWrong, 1).filter(|figure| *figure >= 0.95 && !teaches) {
            add(
                Fault::AllWrong,
                figure,
                format!(
                    "all completions were wrong for {} of the questions {over} (groups/all_wrong), so rewards teach nothing; take easier problems \
                     (data.levels), recipe \"exp-grpo\", which learns from explanations, or more completions (rollout.num_generations); `expo-rl verify` and \
                     completions.jsonl show why they count as wrong",
                    percent(figure)
                ),
            );
        }
        if self.kept.len() == STEPS_WITHOUT_EXPLANATION && self.kept.iter().all(|kept| *kept == 0.0) {
            add(
                Fault::NoExplanation,
                0.0,
                format!(
                    "no explanation was kept in the last {STEPS_WITHOUT_EXPLANATION} steps that made some (exp/kept_fraction); `outcome` in completions.jsonl says \
                     which filter drops them: exp.max_new_tokens for `truncated`, prompt.explanation or exp.on_mismatch = \"replace_answer\" for `mismatch`, \
                     exp.drop_leaks and exp.leak_phrases for `leak`"
                ),
            );
        }
        if let Some((first, figure)) = self.entropy.zip(self.mean(&Name::Entropy, 1)).filter(|(first, figure)| *figure < first / 10.0) {
            // Of documents a falling entropy is what is wanted.
            if self.has(&Name::Term(Term::PolicyGradient)) {
                add(
                    Fault::EntropyCollapsed,
                    figure,
                    format!(
                        "entropy fell from {first:.3} to {figure:.3} nats {over}, to less than a tenth: completions hardly differ; lower optim.learning_rate, or set \
                         grpo.entropy_coef, grpo.epsilon_high or watchdog.min_entropy"
                    ),
                );
            }
        }
        let beginning = self.explained.iter().sum::<f64>() / self.explained.len().max(1) as f64;
        // Half of next to nothing is noise.
        if let Some(figure) = self.mean(&Name::ExpAnswerMatchFraction, 1).filter(|figure| beginning >= 0.1 && *figure <= beginning / 2.0) {
            add(
                Fault::ExplanationsFail,
                figure,
                format!(
                    "{} of the explanations reach the answer {over} (exp/answer_match_fraction), {} did at the beginning: the ability to explain is lost; set \
                     rehearsal.data, exp.hinted_kl_beta or exp.explainer = \"initial\"",
                    percent(figure),
                    percent(beginning)
                ),
            );
        }
    }

    /// Faults that follow from others, where none of these was found.
    fn consequences(&self, found: &mut Vec<Finding>) {
        let rows = self.rows.len();
        let over = format!("over the last {rows} steps");
        let all = |name: &Name, value: f64| {
            let values: Vec<f64> = self.rows.iter().filter_map(|row| of(row, name)).collect();
            values.len() == rows && values.iter().all(|found| *found == value)
        };
        let explained = |found: &[Finding]| {
            let causes = [Fault::Truncated, Fault::NoAnswer, Fault::AllWrong, Fault::EntropyCollapsed, Fault::EqualRewards];
            found.iter().any(|finding| causes.contains(&finding.fault))
        };
        if all(&Name::RewardStd, 0.0) && !self.other_teacher() && !explained(found) {
            let right = self.mean(&Name::GroupsAllRight, 1).unwrap_or_default();
            let help = if right >= 0.95 {
                "all completions are right, so there is nothing left to learn; take harder problems (data.levels)"
            } else {
                "raise rollout.num_generations or rollout.temperature, or take problems that are solved sometimes (data.levels)"
            };
            let text =
                format!("within no group rewards differed {over} (reward/std is 0), so no completion is better than another: {help}");
            found.push(Finding { fault: Fault::EqualRewards, figure: 0.0, text });
        }
        let trained = self.rows.iter().filter(|row| of(row, &Name::Loss).is_some() && of(row, &Name::WatchdogSkipped) != Some(1.0)).count();
        let still = |text: String| Finding { fault: Fault::NothingTrained, figure: 0.0, text };
        if trained == 0 {
            if !found.iter().any(|finding| finding.fault == Fault::NoExplanation) {
                let help = "there was nothing to train on: `note:` lines and completions.jsonl say what was left out (exp's filters, data.on_bad_row, the watchdog)";
                found.push(still(format!("no step was trained on {over} (none has a loss); {help}")));
            }
        } else if all(&Name::LearningRate, 0.0) {
            found.push(still(format!(
                "the learning rate was 0 {over} (learning_rate); set optim.learning_rate, or lower optim.warmup_steps"
            )));
        } else if all(&Name::GradNorm, 0.0) && !explained(found) {
            let help = "every term of the loss is without effect: rewards that don't differ, or weights of 0 (exp.beta, rehearsal.weight, grpo.beta)";
            let text = format!("the gradient was 0 {over} (grad_norm), so no weight moved; {help}");
            found.push(Finding { fault: Fault::NoGradient, figure: 0.0, text });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A healthy step of ExP-GRPO.
    fn healthy() -> Metrics {
        let values = [
            ("loss", 0.3),
            ("loss/policy_gradient", 0.01),
            ("loss/explanation", 0.4),
            ("grad_norm", 0.7),
            ("learning_rate", 1e-4),
            ("reward/std", 0.3),
            ("groups/all_wrong", 0.4),
            ("groups/all_right", 0.1),
            ("completions/truncated_fraction", 0.05),
            ("completions/answer_found_fraction", 0.9),
            ("entropy", 0.5),
            ("exp/kept_fraction", 0.7),
            ("exp/answer_match_fraction", 0.8),
        ];
        values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// What is said at which step of a run of `steps` healthy rows that `change` alters, and at its end.
    fn said(steps: u64, change: impl Fn(u64, &mut Metrics)) -> (Vec<(u64, Fault)>, Vec<Finding>) {
        let mut learning = Learning::default();
        let mut told = Vec::new();
        for step in 1..=steps {
            let mut row = healthy();
            change(step, &mut row);
            told.extend(learning.push(step, &row).into_iter().map(|finding| (step, finding.fault)));
        }
        (told, learning.at_end())
    }

    fn set(row: &mut Metrics, name: &str, value: f64) {
        row.insert(name.to_owned(), value);
    }

    /// Without the term on explanations: a run of `grpo`.
    fn without_explanations(row: &mut Metrics) {
        row.retain(|name, _| !name.starts_with("exp/") && name != "loss/explanation");
    }

    /// What a fault does to the row of a step.
    type Change<'a> = &'a dyn Fn(u64, &mut Metrics);

    #[test]
    fn nine_planted_faults_are_told_by_step_12_and_at_the_end_with_figure_and_option() {
        let cases: [(Fault, &str, Change); 11] = [
            (Fault::Truncated, "55 % of the completions were cut off", &|_, row| set(row, "completions/truncated_fraction", 0.55)),
            (Fault::NoAnswer, "prompt.question", &|_, row| set(row, "completions/answer_found_fraction", 0.04)),
            (Fault::AllWrong, "97 % of the questions", &|_, row| {
                without_explanations(row);
                set(row, "groups/all_wrong", 0.97);
            }),
            (Fault::NoExplanation, "exp.on_mismatch", &|step, row| set(row, "exp/kept_fraction", if step < 9 { 0.5 } else { 0.0 })),
            (Fault::EqualRewards, "rollout.temperature", &|_, row| {
                without_explanations(row);
                set(row, "reward/std", 0.0);
            }),
            (Fault::EqualRewards, "nothing left to learn", &|_, row| {
                without_explanations(row);
                set(row, "reward/std", 0.0);
                set(row, "groups/all_right", 1.0);
                set(row, "groups/all_wrong", 0.0);
            }),
            (Fault::EntropyCollapsed, "from 0.500 to 0.040", &|step, row| set(row, "entropy", if step == 1 { 0.5 } else { 0.04 })),
            (Fault::ExplanationsFail, "30 % of the explanations", &|step, row| {
                set(row, "exp/answer_match_fraction", if step <= 2 { 0.8 } else { 0.3 })
            }),
            (Fault::NoGradient, "exp.beta", &|_, row| set(row, "grad_norm", 0.0)),
            (Fault::NothingTrained, "no step was trained on", &|_, row| {
                row.retain(|name, _| !name.starts_with("loss") && name != "grad_norm")
            }),
            (Fault::NothingTrained, "optim.learning_rate", &|_, row| set(row, "learning_rate", 0.0)),
        ];
        for (fault, expected, change) in cases {
            let (told, end) = said(20, change);
            assert_eq!(told, [(12, fault)], "{fault:?}");
            assert!(end.len() == 1 && end[0].fault == fault && end[0].text.contains(expected), "{fault:?}: {end:?}");
        }
        assert_eq!(cases.iter().map(|(fault, ..)| fault).collect::<BTreeSet<_>>().len(), 9);
    }

    #[test]
    fn a_fault_that_comes_later_is_told_once_and_one_that_goes_is_not_there_at_the_end() {
        let collapse = |step: u64, row: &mut Metrics| set(row, "completions/truncated_fraction", if step > 30 { 1.0 } else { 0.0 });
        let (told, end) = said(60, collapse);
        assert_eq!((told, end.len()), (vec![(35, Fault::Truncated)], 1));
        let passing = |step: u64, row: &mut Metrics| set(row, "completions/truncated_fraction", if step < 20 { 1.0 } else { 0.0 });
        let (told, end) = said(60, passing);
        assert_eq!((told, end), (vec![(12, Fault::Truncated)], vec![]));
    }

    #[test]
    fn what_follows_from_a_fault_is_not_told_beside_it() {
        let (told, end) = said(15, |_, row| {
            without_explanations(row);
            for (name, value) in [("groups/all_wrong", 1.0), ("reward/std", 0.0), ("grad_norm", 0.0)] {
                set(row, name, value);
            }
        });
        assert_eq!((told, end.len()), (vec![(12, Fault::AllWrong)], 1));
    }

    #[test]
    fn explanations_teach_where_all_completions_are_wrong() {
        let hard = |_: u64, row: &mut Metrics| {
            set(row, "groups/all_wrong", 1.0);
            set(row, "reward/std", 0.0);
        };
        assert_eq!(said(50, hard), (vec![], vec![]));
        // But not without end.
        let (told, end) = said(100, hard);
        assert_eq!((told, end.iter().map(|finding| finding.fault).collect::<Vec<_>>()), (vec![], vec![Fault::AllWrong]));
    }

    #[test]
    fn short_runs_and_rows_of_evaluations() {
        // Of what never happened three steps tell enough, of fractions they don't.
        assert_eq!(said(3, |_, row| set(row, "completions/truncated_fraction", 1.0)).1, []);
        assert_eq!(said(3, |_, row| set(row, "grad_norm", 0.0)).1[0].fault, Fault::NoGradient);
        assert_eq!(said(2, |_, row| set(row, "grad_norm", 0.0)).1, []);
        let mut learning = Learning::default();
        assert_eq!(learning.push(0, &Metrics::new()), []);
        assert_eq!((learning.steps, learning.at_end()), (0, vec![]));
        assert_eq!(said(40, |_, _| ()), (vec![], vec![]));
    }
}
