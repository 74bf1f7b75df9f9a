//! A language model's judgement of the compared chains of thought.

use std::time::Duration;

use expo_core::Error;
use expo_core::analysis::ProblemRow;
use expo_core::analysis::judge::{Contest, Judge, JudgeOptions, Judgement, Progress as Told, WinRate};
use serde_json::{Value, json};

use crate::progress::Progress;
use crate::sampling::at_least_one;

use super::tables::Table;

/// Which judge, if any.
#[derive(Debug, clap::Args)]
pub struct JudgeArgs {
    /// OpenAI-compatible endpoint of a judge, such as `http://localhost:8000/v1`: it counts the correct steps of a kept explanation and of the completion of the
    /// question alone, and of the expert's chain of thought.
    #[arg(long, value_name = "URL", requires = "judge_model")]
    judge_url: Option<String>,
    /// The judge's name at that endpoint.
    #[arg(long, value_name = "NAME", requires = "judge_url")]
    judge_model: Option<String>,
    /// Environment variable that holds the endpoint's key [default: no key is sent].
    #[arg(long, value_name = "VARIABLE", default_value = "", hide_default_value = true)]
    judge_api_key_env: String,
    /// Only the first N problems.
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub judge_limit: Option<usize>,
    /// Requests at the same time.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = at_least_one)]
    judge_concurrency: usize,
    /// Longest wait for one answer, in seconds.
    #[arg(long, value_name = "S", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    judge_timeout: u64,
    /// How often a request is sent again after a rate limit, a failing server or no answer.
    #[arg(long, value_name = "N", default_value_t = 5)]
    judge_max_retries: usize,
}

impl JudgeArgs {
    /// The judge, where one is asked for. Nothing is sent yet.
    pub fn judge(&self) -> anyhow::Result<Option<Judge>> {
        let (Some(url), Some(model)) = (&self.judge_url, &self.judge_model) else { return Ok(None) };
        Ok(Some(Judge::new(JudgeOptions {
            url: url.clone(),
            model: model.clone(),
            api_key_env: self.judge_api_key_env.clone(),
            timeout: Duration::from_secs(self.judge_timeout),
            max_retries: self.judge_max_retries,
            concurrency: self.judge_concurrency,
        })?))
    }
}

/// The chains of thought that explanations are judged against.
const OPPONENTS: [&str; 2] = ["own", "expert"];

/// What a judge said.
pub struct Judged {
    /// Place of the problem, which of [`OPPONENTS`], and the judgement, where the judge got that far.
    contests: Vec<(usize, usize, Option<Judgement>)>,
    /// Why it stopped early.
    pub stopped: Option<Error>,
}

/// Lets `judge` compare the first kept explanation of each of the first `limit` problems with the other two sources.
pub fn judge(judge: &Judge, rows: &[ProblemRow], limit: Option<usize>) -> Judged {
    let mut places = Vec::new();
    let mut contests = Vec::new();
    for (place, row) in rows.iter().enumerate().take(limit.unwrap_or(rows.len())) {
        let Some(explanation) = row.kept().next() else { continue };
        for (opponent, cot) in [Some(&row.own), row.expert.as_ref()].into_iter().enumerate() {
            let Some(cot) = cot else { continue };
            places.push((place, opponent));
            contests.push(Contest {
                question: row.question.clone(),
                answer: row.answer.clone(),
                candidate: explanation.text.clone(),
                opponent: cot.text.clone(),
            });
        }
    }
    let progress = std::sync::Mutex::new(Progress::new("judge", contests.len(), "contest"));
    let result = judge.judge(&contests, &|told| {
        let mut progress = progress.lock().expect("no panic with the lock");
        match told {
            Told::Done(done) => progress.set(done, String::new()),
            Told::Again(notice) => progress.note(&notice),
        }
    });
    let done = result.judgements.iter().flatten().count();
    progress.into_inner().expect("no panic with the lock").finish(&format!("{done} of {} contests", contests.len()));
    let contests = places.into_iter().zip(result.judgements).map(|((place, opponent), judgement)| (place, opponent, judgement)).collect();
    Judged { contests, stopped: result.stopped }
}

impl Judged {
    fn rates(&self) -> Vec<(&'static str, WinRate)> {
        let of = |opponent: usize| {
            let judgements: Vec<&Judgement> =
                self.contests.iter().filter(|contest| contest.1 == opponent).filter_map(|contest| contest.2.as_ref()).collect();
            (!judgements.is_empty()).then(|| (OPPONENTS[opponent], WinRate::of(judgements)))
        };
        (0..OPPONENTS.len()).filter_map(of).collect()
    }

    /// Win rates.
    pub fn table(&self) -> Table {
        let head = ["self-explanation against", "win rate", "wins", "ties", "losses", "order decided", "unreadable", "not judged"]
            .map(str::to_owned);
        let row = |(opponent, name): (usize, &&str)| {
            let of = || self.contests.iter().filter(|contest| contest.1 == opponent);
            let rate = WinRate::of(of().filter_map(|contest| contest.2.as_ref()));
            let left = of().filter(|contest| contest.2.is_none()).count();
            let win_rate = if rate.contests == 0 { "-".to_owned() } else { format!("{:.3}", rate.win_rate) };
            let counts = [rate.wins, rate.ties, rate.losses, rate.inconsistent, rate.unreadable, left].map(|count| count.to_string());
            of().next().is_some().then(|| [(*name).to_owned(), win_rate].into_iter().chain(counts).collect())
        };
        (head.to_vec(), OPPONENTS.iter().enumerate().filter_map(row).collect())
    }

    /// Win rates by opponent.
    pub fn to_json(&self) -> Value {
        json!({
            "win_rates": self.rates().into_iter().map(|(name, rate)| (name.to_owned(), json!(rate))).collect::<serde_json::Map<_, _>>(),
            "not_judged": self.contests.iter().filter(|contest| contest.2.is_none()).count(),
        })
    }

    /// The judgements of the problem at `place`, by opponent.
    pub fn of_problem(&self, place: usize) -> Value {
        let judgements =
            self.contests.iter().filter(|contest| contest.0 == place).filter_map(|contest| Some((contest.1, contest.2.as_ref()?)));
        judgements.map(|(opponent, judgement)| (OPPONENTS[opponent].to_owned(), json!(judgement))).collect::<serde_json::Map<_, _>>().into()
    }
}
