//! The shapes of problem rows: GSM8K's, MATH's, or fields that the configuration names.

use mathverify::{Delimiter, ExtractConfig, extract};

use super::Problem;
use super::messages::problem_context;
use super::rows::{Row, scalar};
use super::shown::shown;
use crate::config::{DataFormat, DataSection, ExpertCotFormat};
use crate::error::Result;

/// The problem of `row` in `format` (not [`DataFormat::Auto`]); `None` where the row has no answer, as two of MATH's published training set.
/// Errors: a field that is missing or not what it should be.
pub fn problem_of(row: &Row<'_>, format: DataFormat, section: &DataSection) -> Result<Option<Problem>> {
    match format {
        DataFormat::Gsm8k => gsm8k(row, section).map(Some),
        DataFormat::Math => math(row, section),
        DataFormat::Auto | DataFormat::Fields => by_fields(row, section).map(Some),
    }
}

/// A row's shape by its fields: MATH's, GSM8K's, or the configuration's names.
pub fn detect(row: &Row<'_>) -> DataFormat {
    let text = |field: &str| row.fields.get(field).and_then(|value| value.as_str());
    if text("problem").is_some() && (row.fields.contains_key("answer") || text("solution").is_some()) {
        DataFormat::Math
    } else if text("question").is_some() && text("answer").is_some_and(|answer| answer.contains("####")) {
        DataFormat::Gsm8k
    } else {
        DataFormat::Fields
    }
}

fn gsm8k(row: &Row<'_>, section: &DataSection) -> Result<Problem> {
    let advice = "expected GSM8K's `question` and `answer`; for other names set data.format = \"fields\" and data.question_field, ...";
    let question = row.required("question", advice)?;
    let whole = row.required("answer", advice)?;
    let Some((cot, answer)) = whole.rsplit_once("####") else {
        return Err(row.error("field `answer` has no `#### ` before the final answer, as GSM8K's has; set data.format = \"fields\" if it is the answer itself"));
    };
    let answer = answer.trim().replace(',', "");
    if answer.is_empty() {
        return Err(row.error("field `answer` has nothing after `####`"));
    }
    let cot = match section.expert_cot_format {
        ExpertCotFormat::Prompt => without_calculations(cot).trim().to_owned(),
        ExpertCotFormat::Original => whole.clone(),
    };
    let expert_cot = Some(cot).filter(|cot| !cot.is_empty());
    problem(
        row,
        section,
        question,
        answer,
        expert_cot,
        row.optional("level")?,
        row.optional("subject")?,
        &["question", "answer", "level", "subject"],
    )
}

/// `None` where `answer` is there but empty: two rows of the published training set are so (`\boxed{}`).
fn math(row: &Row<'_>, section: &DataSection) -> Result<Option<Problem>> {
    let advice =
        "expected MATH's `problem`, `solution`, `answer`; for other names set data.format = \"fields\" and data.question_field, ...";
    let question = row.required("problem", advice)?;
    let solution = row.optional("solution")?;
    let boxed = solution
        .as_deref()
        .and_then(|text| extract(text, &ExtractConfig { delimiters: vec![Delimiter::Boxed], ..ExtractConfig::default() }).pop());
    let answer = match (row.optional("answer")?, &boxed) {
        (None, Some(boxed)) => boxed.items().to_owned(),
        (Some(empty), _) if empty.trim().is_empty() => return Ok(None),
        _ => row.required("answer", "expected it, or a `\\boxed{}` in `solution`")?,
    };
    // The box is the answer's delimiter: the chain of thought keeps only its content.
    let expert_cot = solution.map(|text| match &boxed {
        Some(found) if section.expert_cot_format == ExpertCotFormat::Prompt => {
            let command = text[found.range.clone()].find("\\boxed").or_else(|| text[found.range.clone()].find("\\fbox")).unwrap_or(0);
            let closing = text[..found.range.end].rfind('}').map_or(found.range.end, |i| i + 1);
            format!("{}{}{}", &text[..found.range.start + command], found.items(), &text[closing..])
        }
        _ => text,
    });
    let subject = match row.optional("subject")? {
        Some(subject) => Some(subject),
        None => row.optional("type")?,
    };
    let taken = ["problem", "solution", "answer", "level", "subject", "type"];
    problem(row, section, question, answer, expert_cot, row.optional("level")?, subject, &taken).map(Some)
}

fn by_fields(row: &Row<'_>, section: &DataSection) -> Result<Problem> {
    let DataSection { question_field, answer_field, expert_cot_field, level_field, subject_field, .. } = section;
    let question = row.required(question_field, "name the question's field with data.question_field")?;
    let answer = row.required(answer_field, "name the answer's field with data.answer_field")?;
    let taken = [question_field, answer_field, expert_cot_field, level_field, subject_field].map(String::as_str);
    let (cot, level, subject) = (row.optional(expert_cot_field)?, row.optional(level_field)?, row.optional(subject_field)?);
    problem(row, section, question, answer.trim().to_owned(), cot.filter(|cot| !cot.trim().is_empty()), level, subject, &taken)
}

fn problem(
    row: &Row<'_>,
    section: &DataSection,
    question: String,
    answer: String,
    expert_cot: Option<String>,
    level: Option<String>,
    subject: Option<String>,
    taken: &[&str],
) -> Result<Problem> {
    let text = level.as_deref().map(str::trim).filter(|text| !text.is_empty());
    let (level, level_name) = match text {
        None => (None, None),
        // A word that isn't among them is a level that isn't wanted.
        Some(word) if section.levels.has_words() => (section.levels.number(word), Some(word.to_owned())),
        Some(text) => (number(text).map_err(|()| row.error(wrong_level(text)))?, None),
    };
    let others = row.fields.iter().filter(|(name, _)| !taken.contains(&name.as_str()));
    let extra = others.filter_map(|(name, value)| Some((name.clone(), scalar(value)?))).collect();
    let context = problem_context(row)?;
    Ok(Problem { id: row.id(), question, answer, expert_cot, level, level_name, subject, extra, context })
}

/// The number that a level's text is; none of MATH's few problems of "Level ?".
fn number(text: &str) -> Result<Option<u32>, ()> {
    let text = text.strip_prefix("Level ").unwrap_or(text).trim();
    // Tables whose column has gaps hold whole numbers as floats.
    if text == "?" { Ok(None) } else { text.strip_suffix(".0").unwrap_or(text).parse().map(Some).map_err(|_| ()) }
}

fn wrong_level(text: &str) -> String {
    let found = shown(text);
    format!(
        "the level is \"{found}\"; expected a number or \"Level N\" (words? name them all, easiest first: data.levels = [\"easy\", \"hard\"]; another \
         field? set data.level_field)"
    )
}

/// GSM8K's solutions without the calculator's annotations: `48/2 = <<48/2=24>>24` becomes `48/2 = 24`.
fn without_calculations(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("<<") {
        let Some(length) = rest[start..].find(">>") else { break };
        out.push_str(&rest[..start]);
        rest = &rest[start + length + 2..];
    }
    out.push_str(rest);
    out
}
