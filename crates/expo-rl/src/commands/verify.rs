//! `expo-rl verify`: judging answers, one or a file of them.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use expo_core::data::read_text;
use mathverify::{ExtractConfig, Kind, Outcome, Verdict, VerifyConfig, grade};
use rayon::prelude::*;
use serde_json::Value;

use crate::output::{self, JsonRow, tell};

/// Rows that are judged at once, between two writes.
const CHUNK: usize = 4096;
/// Most characters of a side that a reason shows.
const MAX_SHOWN: usize = 300;

/// Judge whether answers are mathematically equal to the known ones.
///
/// With --gold and --answer, one answer: prints verdict and reason; exit code 0 equal, 1 different, 3 undecided, 2 wrong usage or an unreadable
/// file. With --data and --out, each row of a JSON-lines file, on all cores, written with `correct` (true, false, or null where undecided)
/// and `reason` added. "Equal, not worked out": the gold is a number and the answer arithmetic or an equation with its value, such as `4+6` for 10;
/// `unevaluated` is true in such rows, and a run's reward counts them as `reward.unevaluated` says.
///
/// A row has `gold` (a bare expression, or text with `$...$` or `\boxed{}`) and `answer` (text whose final answer is extracted), each text or a number; optional, as
/// Math-Verify means them: `kinds` (what may be extracted: a list of "latex", "expr", "string" for choice letters A to E; default latex and expr),
/// `decimals` (default 6), `strict` (default true), `allow_set_relation` (default false), `boxed_priority` (boxes go first with 0,
/// behind "final answer is" with more, are not looked for with less; by default the last announced answer counts, in a box or not).
#[derive(Debug, clap::Args)]
#[command(override_usage = "expo-rl verify --gold <G> --answer <TEXT>\n       expo-rl verify --data <FILE.jsonl> --out <FILE.jsonl>")]
pub struct Verify {
    /// The known answer.
    #[arg(long, value_name = "G", requires = "answer", required_unless_present = "data", allow_hyphen_values = true)]
    gold: Option<String>,
    /// Text with the answer to judge.
    #[arg(long, value_name = "TEXT", requires = "gold", allow_hyphen_values = true)]
    answer: Option<String>,
    /// JSON-lines file with the rows.
    #[arg(long, value_name = "FILE.jsonl", requires = "out", conflicts_with = "gold")]
    data: Option<PathBuf>,
    /// File to write; it appears when all rows are done.
    #[arg(long, value_name = "FILE.jsonl", requires = "data", conflicts_with = "gold")]
    out: Option<PathBuf>,
}

impl Verify {
    /// Judges, and says with which code to exit.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let done = match (self.gold, self.answer, self.data, self.out) {
            (Some(gold), Some(answer), ..) => judge_one(&gold, &answer),
            (_, _, Some(data), Some(out)) => judge_file(&data, &out),
            _ => unreachable!("clap requires either pair"),
        };
        // 1 means different here, so that an error is 2.
        done.or_else(|error| {
            tell!("error: {}", output::describe(&error));
            Ok(ExitCode::from(2))
        })
    }
}

fn judge_one(gold: &str, answer: &str) -> anyhow::Result<ExitCode> {
    let (verdict, _) = grade(gold, answer, &ExtractConfig::default(), &VerifyConfig::default());
    let (word, code) = match verdict.outcome {
        Outcome::Equal if verdict.unevaluated => ("equal, not worked out", 0),
        Outcome::Equal => ("equal", 0),
        Outcome::Different => ("different", 1),
        Outcome::Undecided => ("undecided", 3),
    };
    match writeln!(std::io::stdout().lock(), "{word}: {}", reason(&verdict)) {
        // The exit code says it even where nobody reads.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => return Err(error.into()),
        _ => {}
    }
    Ok(ExitCode::from(code))
}

/// The rule that decided, and what each side was read as.
fn reason(verdict: &Verdict) -> String {
    let [gold, answer] = [&verdict.gold_parsed, &verdict.prediction_parsed].map(|side| match side.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{} ...", &side[..end]).replace('\n', " "),
        None => side.replace('\n', " "),
    });
    format!("{}; gold: {gold}; answer: {answer}", verdict.reason)
}

fn judge_file(data: &std::path::Path, out: &std::path::Path) -> anyhow::Result<ExitCode> {
    let text = read_text(data, "JSON lines, one object a line")?;
    let lines: Vec<(usize, &str)> = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).collect();
    let (mut equal, mut different) = (0, 0);
    output::check_writable(out)?;
    output::write_atomically(out, |writer| {
        for chunk in lines.chunks(CHUNK) {
            let judged: Vec<anyhow::Result<(Outcome, Vec<u8>)>> = chunk
                .par_iter()
                .map(|(index, line)| judge_row(line).map_err(|e| anyhow!("{}:{}: {}", data.display(), index + 1, output::describe(&e))))
                .collect();
            for row in judged {
                let (outcome, row) = row?;
                equal += usize::from(outcome == Outcome::Equal);
                different += usize::from(outcome == Outcome::Different);
                writer.write_all(&row)?;
            }
        }
        Ok(())
    })?;
    tell!("{} rows: {equal} equal, {different} different, {} undecided", lines.len(), lines.len() - equal - different);
    Ok(ExitCode::SUCCESS)
}

/// The row with `correct` and `reason`, as a line.
fn judge_row(line: &str) -> anyhow::Result<(Outcome, Vec<u8>)> {
    let mut fields = JsonRow::read(line)?;
    let text = |name: &str| fields.text(name)?.with_context(|| format!("expected a field `{name}` (text)"));
    let (extraction, config) = options(&fields)?;
    let (verdict, _) = grade(&text("gold")?, &text("answer")?, &extraction, &config);
    let correct = match verdict.outcome {
        Outcome::Equal => Some(true),
        Outcome::Different => Some(false),
        Outcome::Undecided => None,
    };
    fields.set("correct", &correct)?;
    let worked = if verdict.unevaluated { "equal, not worked out: " } else { "" };
    fields.set("reason", &format!("{worked}{}", reason(&verdict)))?;
    if verdict.outcome == Outcome::Equal {
        fields.set("unevaluated", &verdict.unevaluated)?;
    }
    let mut row = Vec::new();
    fields.write(&mut row)?;
    Ok((verdict.outcome, row))
}

/// The options of a row; what it doesn't say is the default.
fn options(fields: &JsonRow) -> anyhow::Result<(ExtractConfig, VerifyConfig)> {
    let flag = |name: &str, default| {
        fields.get(name).map_or(Ok(default), |v| v.as_bool().with_context(|| format!("`{name}`: found {v}, expected true or false")))
    };
    let mut config = VerifyConfig::default();
    config.strict = flag("strict", config.strict)?;
    config.allow_set_relation = flag("allow_set_relation", config.allow_set_relation)?;
    if let Some(value) = fields.get("decimals") {
        let decimals = value.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| *n <= 1000);
        config.decimals = decimals.with_context(|| format!("`decimals`: found {value}, expected a number of places from 0 to 1000"))?;
    }
    let mut extraction = ExtractConfig::default();
    if let Some(value) = fields.get("kinds") {
        let kind = |kind: &Value| match kind.as_str() {
            Some("latex") => Some(Kind::Latex),
            Some("expr") => Some(Kind::Expr),
            Some("string") => Some(Kind::String),
            _ => None,
        };
        let kinds = value.as_array().filter(|kinds| !kinds.is_empty()).and_then(|kinds| kinds.iter().map(kind).collect());
        extraction.kinds = kinds.with_context(|| format!("`kinds`: found {value}, expected a list of \"latex\", \"expr\", \"string\""))?;
    }
    if let Some(value) = fields.get("boxed_priority") {
        let priority = value.as_i64().with_context(|| format!("`boxed_priority`: found {value}, expected a whole number"))?;
        extraction = extraction.with_boxed_priority(priority);
    }
    Ok((extraction, config))
}
