//! Reading problems: from the built-in generator, GSM8K's and MATH's shapes, or fields that the configuration names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mathverify::{Delimiter, ExtractConfig, extract};

use super::Problem;
use super::generator::{self, Split};
use super::rows::{JsonLines, Row, scalar};
use crate::config::{DataFormat, DataSection, ExpertCotFormat};
use crate::error::{Error, Result};

/// Problems and where they came from.
#[derive(Debug, Clone, PartialEq)]
pub struct ProblemSet {
    /// At least one.
    pub problems: Vec<Problem>,
    /// SHA-256 of the file, by its name as given; empty for the generator, which its options describe.
    pub hashes: BTreeMap<String, String>,
    /// What a user should know about how the rows were read.
    pub notices: Vec<String>,
}

/// The problems that `section` describes: read, filtered by level, limited. `split` is the generator's (files are taken as they are).
/// Errors: a file that can't be read, a malformed or incomplete row (with file and line), nothing left after the filter.
pub fn load_problems(section: &DataSection, split: Split) -> Result<ProblemSet> {
    if section.train == generator::NAME {
        let count = if section.limit > 0 { section.limit.min(section.generate) } else { section.generate };
        let problems = generator::problems(&section.levels, count, section.generator_seed, split)?;
        return Ok(ProblemSet { problems, hashes: BTreeMap::new(), notices: Vec::new() });
    }
    let path = Path::new(&section.train);
    if section.train.starts_with("generator:") {
        return Err(Error::Config(vec![format!(
            "data.train: no generator `{}`; the one there is is `{}`",
            section.train,
            generator::NAME
        )]));
    }
    let file = JsonLines::read(path)?;
    let mut format = section.format;
    let mut problems = Vec::new();
    let mut levels = BTreeSet::new();
    let mut unanswered = Vec::new();
    for row in file.rows() {
        let row = row?;
        if format == DataFormat::Auto {
            format = detect(&row);
        }
        let problem = match format {
            DataFormat::Gsm8k => gsm8k(&row, section.expert_cot_format)?,
            DataFormat::Math => match math(&row, section.expert_cot_format)? {
                Some(problem) => problem,
                None => {
                    unanswered.push(row.line.to_string());
                    continue;
                }
            },
            DataFormat::Auto | DataFormat::Fields => by_fields(&row, section)?,
        };
        levels.insert(problem.level);
        if section.levels.is_empty() || problem.level.is_some_and(|level| section.levels.contains(&level)) {
            problems.push(problem);
        }
        if section.limit > 0 && problems.len() == section.limit {
            break;
        }
    }
    if problems.is_empty() {
        let found: Vec<String> = levels.iter().map(|level| level.map_or("none".to_owned(), |l| l.to_string())).collect();
        let message = match found.is_empty() {
            true => "no problem with an answer; expected a row with a non-empty `answer`".to_owned(),
            false => format!("no problem of the levels {:?} (data.levels); levels found: {}", section.levels, found.join(", ")),
        };
        return Err(Error::file(path, None, message));
    }
    let mut notices = Vec::new();
    if !unanswered.is_empty() {
        notices.push(format!("{}: rows without an answer are left out: lines {}", section.train, unanswered.join(", ")));
    }
    Ok(ProblemSet { problems, hashes: BTreeMap::from([(section.train.clone(), file.sha256)]), notices })
}

/// A row's shape by its fields: MATH's, GSM8K's, or the configuration's names.
fn detect(row: &Row<'_>) -> DataFormat {
    let text = |field: &str| row.fields.get(field).and_then(|value| value.as_str());
    if text("problem").is_some() && (row.fields.contains_key("answer") || text("solution").is_some()) {
        DataFormat::Math
    } else if text("question").is_some() && text("answer").is_some_and(|answer| answer.contains("####")) {
        DataFormat::Gsm8k
    } else {
        DataFormat::Fields
    }
}

fn gsm8k(row: &Row<'_>, format: ExpertCotFormat) -> Result<Problem> {
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
    let cot = match format {
        ExpertCotFormat::Prompt => without_calculations(cot).trim().to_owned(),
        ExpertCotFormat::Original => whole.clone(),
    };
    let expert_cot = Some(cot).filter(|cot| !cot.is_empty());
    problem(
        row,
        question,
        answer,
        expert_cot,
        row.optional("level")?,
        row.optional("subject")?,
        &["question", "answer", "level", "subject"],
    )
}

/// `None` where `answer` is there but empty: two rows of the published training set are so (`\boxed{}`).
fn math(row: &Row<'_>, format: ExpertCotFormat) -> Result<Option<Problem>> {
    let advice =
        "expected MATH's `problem`, `solution`, `answer`; for other names set data.format = \"fields\" and data.question_field, ...";
    let question = row.required("problem", advice)?;
    let solution = row.optional("solution")?;
    let boxed = solution
        .as_deref()
        .and_then(|text| extract(text, &ExtractConfig { delimiters: vec![Delimiter::Boxed], ..ExtractConfig::default() }).pop());
    let answer = match (row.optional("answer")?, &boxed) {
        (None, Some(boxed)) => boxed.value.clone(),
        (Some(empty), _) if empty.trim().is_empty() => return Ok(None),
        _ => row.required("answer", "expected it, or a `\\boxed{}` in `solution`")?,
    };
    // The box is the answer's delimiter: the chain of thought keeps only its content.
    let expert_cot = solution.map(|text| match &boxed {
        Some(found) if format == ExpertCotFormat::Prompt => {
            let command = text[found.range.clone()].find("\\boxed").or_else(|| text[found.range.clone()].find("\\fbox")).unwrap_or(0);
            let closing = text[..found.range.end].rfind('}').map_or(found.range.end, |i| i + 1);
            format!("{}{}{}", &text[..found.range.start + command], found.value, &text[closing..])
        }
        _ => text,
    });
    let subject = match row.optional("subject")? {
        Some(subject) => Some(subject),
        None => row.optional("type")?,
    };
    let taken = ["problem", "solution", "answer", "level", "subject", "type"];
    problem(row, question, answer, expert_cot, row.optional("level")?, subject, &taken).map(Some)
}

fn by_fields(row: &Row<'_>, section: &DataSection) -> Result<Problem> {
    let DataSection { question_field, answer_field, expert_cot_field, level_field, subject_field, .. } = section;
    let question = row.required(question_field, "name the question's field with data.question_field")?;
    let answer = row.required(answer_field, "name the answer's field with data.answer_field")?;
    let taken = [question_field, answer_field, expert_cot_field, level_field, subject_field].map(String::as_str);
    let (cot, level, subject) = (row.optional(expert_cot_field)?, row.optional(level_field)?, row.optional(subject_field)?);
    problem(row, question, answer.trim().to_owned(), cot.filter(|cot| !cot.trim().is_empty()), level, subject, &taken)
}

fn problem(
    row: &Row<'_>,
    question: String,
    answer: String,
    expert_cot: Option<String>,
    level: Option<String>,
    subject: Option<String>,
    taken: &[&str],
) -> Result<Problem> {
    let level = match level.as_deref().map(|text| text.strip_prefix("Level ").unwrap_or(text).trim()) {
        // MATH has a few problems of "Level ?".
        None | Some("?" | "") => None,
        Some(text) => Some(text.parse().map_err(|_| {
            row.error(format!("the level is {text:?}; expected a number or \"Level N\" (another field? set data.level_field)"))
        })?),
    };
    let others = row.fields.iter().filter(|(name, _)| !taken.contains(&name.as_str()));
    let extra = others.filter_map(|(name, value)| Some((name.clone(), scalar(value)?))).collect();
    Ok(Problem { id: row.id(), question, answer, expert_cot, level, subject, extra })
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn load(text: &str, change: impl Fn(&mut DataSection)) -> Result<ProblemSet> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.jsonl");
        std::fs::write(&path, text).unwrap();
        let mut section = DataSection { train: path.to_string_lossy().into_owned(), ..DataSection::default() };
        change(&mut section);
        load_problems(&section, Split::Train)
    }
    fn read(text: &str) -> Vec<Problem> {
        load(text, |_| ()).unwrap().problems
    }
    fn message(text: &str, change: impl Fn(&mut DataSection)) -> String {
        let error = load(text, change).unwrap_err().to_string();
        assert!(!error.contains('\n'), "{error}");
        error[error.find("p.jsonl").unwrap()..].to_owned()
    }

    #[test]
    fn gsm8k_is_recognised_and_cleaned() {
        let row =
            r#"{"question": "Clips?", "answer": "Natalia sold 48/2 = <<48/2=24>>24 clips.\nIn all <<a>>b.\n#### 1,072", "split": "x"}"#;
        let p = &read(&format!("{row}\n\n{row}\n"))[1];
        assert_eq!((p.question.as_str(), p.answer.as_str()), ("Clips?", "1072"));
        assert_eq!(p.expert_cot.as_deref(), Some("Natalia sold 48/2 = 24 clips.\nIn all b."));
        assert_eq!(p.id, "p.jsonl:3");
        let original = load(row, |section| section.expert_cot_format = ExpertCotFormat::Original).unwrap();
        let whole = "Natalia sold 48/2 = <<48/2=24>>24 clips.\nIn all <<a>>b.\n#### 1,072";
        assert_eq!((original.problems[0].expert_cot.as_deref(), original.problems[0].answer.as_str()), (Some(whole), "1072"));
        assert_eq!(p.extra, BTreeMap::from([("split".to_owned(), "x".to_owned())]));
    }

    #[test]
    fn math_is_recognised_with_its_variants() {
        let p = &read(r#"{"problem": "P", "solution": "So $x=\\boxed{\\frac{1}{2}}$.", "level": "Level 5", "type": "Algebra", "n": 3}"#)[0];
        assert_eq!((p.answer.as_str(), p.level, p.subject.as_deref()), ("\\frac{1}{2}", Some(5), Some("Algebra")));
        assert_eq!(p.expert_cot.as_deref(), Some("So $x=\\frac{1}{2}$."));
        assert_eq!(p.extra["n"], "3");
        let p = &read(r#"{"problem": "P", "solution": "So $\\boxed{7}$.", "answer": 7, "level": 2, "subject": "S"}"#)[0];
        assert_eq!((p.answer.as_str(), p.level, p.expert_cot.as_deref()), ("7", Some(2), Some("So $7$.")));
        assert_eq!(read(r#"{"problem": "P", "solution": "s", "answer": "7", "level": "Level ?"}"#)[0].level, None);
    }

    #[test]
    fn math_rows_without_an_answer_are_left_out_and_told() {
        let row = |answer: &str| format!("{{\"problem\": \"P\", \"solution\": \"s\", \"answer\": \"{answer}\"}}\n");
        let set = load(&[row("1"), row(""), row("2")].concat(), |_| ()).unwrap();
        assert_eq!(set.problems.len(), 2);
        assert!(
            set.notices.len() == 1 && set.notices[0].ends_with("p.jsonl: rows without an answer are left out: lines 2"),
            "{:?}",
            set.notices
        );
        let none = message(&row(""), |_| ());
        assert!(none.contains("no problem with an answer"), "{none}");
    }

    #[test]
    fn fields_by_name_filter_and_limit() {
        let text = "{\"q\": \"A\", \"a\": 1, \"l\": 1}\n{\"q\": \"B\", \"a\": 2.5, \"l\": \"2\", \"why\": \"w\"}\n{\"q\": \"C\", \"a\": \"x\", \"l\": 2}\n{\"q\": \"D\", \"a\": 1}\n";
        let named = |s: &mut DataSection| {
            (s.question_field, s.answer_field, s.level_field, s.expert_cot_field) = ("q".into(), "a".into(), "l".into(), "why".into())
        };
        let all = load(text, named).unwrap();
        assert_eq!(all.problems.iter().map(|p| p.answer.as_str()).collect::<Vec<_>>(), ["1", "2.5", "x", "1"]);
        assert_eq!(all.problems[1].expert_cot.as_deref(), Some("w"));
        let some = load(text, |s| {
            named(s);
            (s.levels, s.limit) = (vec![2], 1);
        })
        .unwrap();
        assert_eq!(some.problems, all.problems[1..2]);
        assert_eq!(some.hashes.len(), 1);
        assert_eq!(some.hashes.values().next().unwrap().len(), 64);
        let none = message(text, |s| {
            named(s);
            s.levels = vec![5];
        });
        assert!(none.contains("no problem of the levels [5]") && none.contains("levels found: none, 1, 2"), "{none}");
    }

    #[test]
    fn the_hash_is_sha_256_of_the_bytes() {
        // The one known value: `printf '{"question":"q","answer":"1"}\n' | sha256sum`.
        let set = load("{\"question\":\"q\",\"answer\":\"1\"}\n", |_| ()).unwrap();
        assert_eq!(set.hashes.values().next().unwrap(), "787f37258b37a6af7687d626daae84fb6e4e2d9ee8a7a9ecf322fa05a640f8ab");
    }

    #[test]
    fn errors_name_file_line_field_and_remedy() {
        let good = "{\"question\": \"q\", \"answer\": \"1\"}\n";
        let cases: [(String, &[&str]); 9] = [
            (String::new(), &["p.jsonl: is empty"]),
            (format!("{good}{{\"question\": \"q\", \n"), &["p.jsonl:2: malformed JSON at column"]),
            (format!("{good}\n[1]\n"), &["p.jsonl:3: found a list, expected a JSON object"]),
            ("[\n{}]".to_owned(), &["p.jsonl:1: malformed", "array"]),
            (format!("{good}{{\"question\": \"q\"}}"), &["p.jsonl:2: field `answer` is missing", "data.answer_field", "`question`"]),
            (format!("{good}{{\"question\": [], \"answer\": 1}}"), &["p.jsonl:2: field `question` is a list"]),
            (format!("{good}{{\"question\": \" \", \"answer\": 1}}"), &["p.jsonl:2: field `question` is empty"]),
            (
                format!("{good}{{\"question\": \"q\", \"answer\": 1, \"level\": \"hard\"}}"),
                &["p.jsonl:2: the level is \"hard\"", "data.level_field"],
            ),
            ("{\"question\": \"q\", \"answer\": \"w #### \"}".to_owned(), &["p.jsonl:1: field `answer` has nothing after"]),
        ];
        for (text, expected) in cases {
            let message = message(&text, |_| ());
            assert!(expected.iter().all(|part| message.contains(part)), "{message}");
        }
        let gsm8k = message(good, |s| s.format = DataFormat::Gsm8k);
        assert!(gsm8k.contains("p.jsonl:1: field `answer` has no `#### `"), "{gsm8k}");
        let missing = load_problems(&DataSection { train: "no/such.jsonl".into(), ..DataSection::default() }, Split::Train).unwrap_err();
        assert!(missing.to_string().starts_with("no/such.jsonl: cannot read"), "{missing}");
        let generator = load_problems(&DataSection { train: "generator:sums".into(), ..DataSection::default() }, Split::Train).unwrap_err();
        assert!(generator.to_string().contains("generator:division"), "{generator}");
    }

    #[test]
    fn the_generator_by_name() {
        let section = DataSection { levels: vec![5], generate: 20, limit: 7, generator_seed: 3, ..DataSection::default() };
        let set = load_problems(&section, Split::HeldOut).unwrap();
        assert_eq!(set.problems, generator::problems(&[5], 7, 3, Split::HeldOut).unwrap());
    }

    proptest! {
        #[test]
        fn no_line_panics(line in r#"(\{"|":|,"|"\}|question|answer|level|problem|solution|\\\\boxed\{|#### |<<|>>|[0-9é]|\PC){0,20}"#) {
            let _ = load(&line, |_| ());
        }
        #[test]
        fn any_problem_comes_back(question in r"\PC{1,40}", answer in r"[^#\s]{1,10}", cot in r"\PC{0,40}") {
            prop_assume!(!question.trim().is_empty());
            let row = serde_json::json!({"question": question, "answer": answer, "solution": cot}).to_string();
            let p = &read(&row)[0];
            prop_assert_eq!(&p.question, &question);
            prop_assert_eq!(&p.answer, answer.trim());
        }
    }
}
