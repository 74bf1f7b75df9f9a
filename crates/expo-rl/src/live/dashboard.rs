//! What the live view knows of its run.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::Message;
use expo_core::logs::completions::{CompletionRow, DrawnRow};
use expo_core::metrics::{Name, StepMetrics};
use expo_core::observe::Phase;

/// A run as far as it has been heard of.
pub struct Dashboard {
    pub label: String,
    pub steps: usize,
    /// Steps done.
    pub done: usize,
    /// The step that is under way, and in which phase.
    pub now: Option<(usize, Phase)>,
    started: Instant,
    /// When the first step was done, and which it was: what came before it says nothing about the rate.
    first: Option<(Instant, usize)>,
    curves: BTreeMap<Name, Vec<(f64, f64)>>,
    /// Questions with what was drawn for them, newest last.
    questions: VecDeque<Question>,
    /// How far back from the newest question the shown one is.
    back: usize,
    notices: Vec<String>,
}

/// A question of a step with what the run logged of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Question {
    pub step: u64,
    pub problem: String,
    pub question: String,
    pub answer: String,
    pub rollouts: Vec<Text>,
    pub explanations: Vec<Text>,
}

/// A completion or an explanation.
#[derive(Debug, Clone, PartialEq)]
pub struct Text {
    pub right: bool,
    /// Reward, outcome and what else is to be said in a line.
    pub score: String,
    pub text: String,
}

/// Questions kept to look back at.
const MOST_QUESTIONS: usize = 200;

impl Dashboard {
    /// Of a run that hasn't begun.
    pub fn new(label: &str, steps: usize) -> Self {
        Self {
            label: label.to_owned(),
            steps,
            done: 0,
            now: None,
            started: Instant::now(),
            first: None,
            curves: BTreeMap::new(),
            questions: VecDeque::new(),
            back: 0,
            notices: Vec::new(),
        }
    }

    /// Takes in what the run tells.
    pub(super) fn take(&mut self, message: Message) {
        match message {
            Message::Phase(step, phase) => self.now = Some((step, phase)),
            Message::Notice(notice) => self.notices.push(plain(&notice)),
            Message::Completions(rows) => self.add_questions(&rows),
            Message::Step(metrics) => self.add_step(&metrics),
        }
    }

    fn add_step(&mut self, metrics: &StepMetrics) {
        self.done = metrics.step;
        self.first.get_or_insert((Instant::now(), metrics.step));
        for (name, value) in metrics.iter().filter(|(_, value)| value.is_finite()) {
            self.curves.entry(name.clone()).or_default().push((metrics.step as f64, value));
        }
    }

    fn add_questions(&mut self, rows: &[CompletionRow]) {
        let mut new: Vec<Question> = Vec::new();
        for CompletionRow { step, drawn } in rows {
            let asked = drawn.question();
            let problem = plain(&asked.problem);
            let place = new.iter().position(|question| question.problem == problem).unwrap_or_else(|| {
                let (question, answer) = (plain(&asked.question), plain(&asked.answer));
                new.push(Question { step: *step, problem, question, answer, ..Question::default() });
                new.len() - 1
            });
            let right = drawn.is_correct();
            let mut score = vec![if right { "right".to_owned() } else { "wrong".to_owned() }];
            match drawn {
                DrawnRow::Rollout(row) => {
                    score.extend(row.truncated.then(|| "cut off".to_owned()));
                    score.extend(row.reward.map(|reward| format!("reward {reward:.2}")));
                    score.extend(row.advantage.map(|advantage| format!("advantage {advantage:+.2}")));
                }
                DrawnRow::Explanation(row) => score.extend(row.outcome.map(|outcome| outcome.to_string())),
            }
            let entry = Text { right, score: score.join(" · "), text: plain(drawn.text()) };
            let question = &mut new[place];
            match drawn {
                DrawnRow::Rollout(_) => question.rollouts.push(entry),
                DrawnRow::Explanation(_) => question.explanations.push(entry),
            }
        }
        // Who looks back goes on looking at the same question.
        if self.back > 0 {
            self.back += new.len();
        }
        self.questions.extend(new);
        let excess = self.questions.len().saturating_sub(MOST_QUESTIONS);
        self.questions.drain(..excess);
        self.back = self.back.min(self.questions.len().saturating_sub(1));
    }

    /// Moves on by `by` questions; negative: to older ones.
    pub fn browse(&mut self, by: isize) {
        self.back = self.back.saturating_add_signed(-by).min(self.questions.len().saturating_sub(1));
    }

    /// The question that is shown.
    pub fn question(&self) -> Option<&Question> {
        self.questions.iter().rev().nth(self.back)
    }

    /// A metric's steps and values.
    pub fn curve(&self, name: &Name) -> &[(f64, f64)] {
        self.curves.get(name).map_or(&[], Vec::as_slice)
    }

    /// Everything that the run had to say.
    pub fn notices(self) -> Vec<String> {
        self.notices
    }

    /// What it said last.
    pub fn last_notice(&self) -> Option<&str> {
        self.notices.last().map(String::as_str)
    }

    /// Time since the view was opened.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Time left at the rate of the steps so far; `None` before the second.
    pub fn left(&self) -> Option<Duration> {
        let (since, first) = self.first?;
        let made = self.done.checked_sub(first).filter(|made| *made > 0)?;
        Some(since.elapsed().mul_f64(self.steps.saturating_sub(self.done) as f64 / made as f64))
    }
}

/// Text without characters that a terminal would obey.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '·' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expo_core::logs::completions::{ExplanationRow, QuestionRow, RolloutRow};
    use expo_core::objective::ExplanationOutcome;

    fn rows(step: u64, problems: std::ops::Range<usize>) -> Vec<CompletionRow> {
        let of = |i: usize| {
            let question = QuestionRow { problem: format!("p{i}"), question: "q".into(), answer: "a".into(), ..QuestionRow::default() };
            let text = "t\u{1b}[2J".to_owned();
            let rollout =
                RolloutRow { question: question.clone(), text: text.clone(), correct: true, reward: Some(1.0), ..RolloutRow::default() };
            let outcome = Some(ExplanationOutcome::Leak);
            let explanation = ExplanationRow { question, text, correct: true, outcome, ..ExplanationRow::default() };
            [DrawnRow::Rollout(rollout), DrawnRow::Explanation(explanation)].map(|drawn| CompletionRow { step, drawn })
        };
        problems.flat_map(of).collect()
    }

    #[test]
    fn questions_are_put_together_and_looked_back_at() {
        let mut dashboard = Dashboard::new("grpo", 10);
        assert_eq!(dashboard.question(), None);
        dashboard.browse(-1);
        dashboard.take(Message::Completions(rows(1, 0..2)));
        let shown = dashboard.question().unwrap();
        assert_eq!((shown.problem.as_str(), shown.rollouts.len(), shown.explanations.len()), ("p1", 1, 1));
        assert_eq!((shown.rollouts[0].score.as_str(), shown.rollouts[0].text.as_str()), ("right · reward 1.00", "t·[2J"));
        assert_eq!(shown.explanations[0].score, "right · leak");
        dashboard.browse(-5);
        assert_eq!(dashboard.question().unwrap().problem, "p0");
        dashboard.take(Message::Completions(rows(2, 5..6)));
        assert_eq!(dashboard.question().unwrap().problem, "p0", "still");
        dashboard.browse(9);
        assert_eq!((dashboard.question().unwrap().problem.as_str(), dashboard.question().unwrap().step), ("p5", 2));
        dashboard.take(Message::Completions(rows(3, 0..500)));
        assert_eq!(dashboard.questions.len(), MOST_QUESTIONS);
    }

    #[test]
    fn steps_become_curves() {
        let mut dashboard = Dashboard::new("grpo", 10);
        for step in 1..=3 {
            let mut metrics = StepMetrics::new(step);
            metrics.set(Name::Loss, step as f64);
            metrics.set(Name::Kl, f64::NAN);
            dashboard.take(Message::Step(metrics));
        }
        assert_eq!((dashboard.curve(&Name::Loss).len(), dashboard.curve(&Name::Kl).len(), dashboard.done), (3, 0, 3));
        assert!(dashboard.left().is_some());
    }
}
