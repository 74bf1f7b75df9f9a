//! Reading problems: from the built-in generator, files and hub data sets; filtered, without duplicates.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Problem;
use super::bad_rows::{Bad, BadRows};
use super::files::Selection;
use super::generator::{self, Split};
use super::golds::{BadGolds, GoldCheck};
use super::rows::Place;
use super::shapes::{detect, problem_of};
use super::shown::first_of;
use super::sources;
use super::table::Table;
use crate::config::OptionValue as _;
use crate::config::{DataFormat, DataSection, OnBadRow};
use crate::error::{Error, Result};

/// Problems and where they came from.
#[derive(Debug, Clone, PartialEq)]
pub struct ProblemSet {
    /// At least one.
    pub problems: Vec<Problem>,
    /// For each problem the place of its set in `data.train`.
    pub sets: Vec<usize>,
    /// SHA-256 of each file, by its name as given or on the hub; empty for the generator, which its options describe.
    pub hashes: BTreeMap<String, String>,
    /// What a user should know about how the rows were read.
    pub notices: Vec<String>,
}

/// The problems that `section` describes: read, filtered by level, without duplicates, limited. `split` is the generator's; of hub data sets it chooses
/// `train` or `test` where the section names no split (files are taken as they are).
/// Known answers that can't pay are bad rows where `golds` says that they have to.
/// Errors: a file that can't be read or got, a malformed or incomplete row (with file and line) where such are refused, a set of which nothing is left.
pub fn load_problems(section: &DataSection, golds: &GoldCheck, split: Split) -> Result<ProblemSet> {
    let mut result = ProblemSet { problems: Vec::new(), sets: Vec::new(), hashes: BTreeMap::new(), notices: Vec::new() };
    let mut duplicates = Duplicates::default();
    for (set, source) in section.train.0.iter().enumerate() {
        let problems = match source.strip_prefix("generator:") {
            Some(_) => generated(source, section, split, &mut duplicates)?,
            None => read(source, section, golds, split, &mut duplicates, &mut result)?,
        };
        result.sets.extend(vec![set; problems.len()]);
        result.problems.extend(problems);
    }
    result.notices.extend(duplicates.notice());
    Ok(result)
}

fn generated(source: &str, section: &DataSection, split: Split, duplicates: &mut Duplicates) -> Result<Vec<Problem>> {
    if source != generator::NAME {
        return Err(Error::Config(vec![format!("data.train: no generator `{source}`; the one there is is `{}`", generator::NAME)]));
    }
    if section.levels.has_words() {
        let message = format!("data.levels: found {}, but {}'s levels are the numbers 1 to 5", section.levels.show(), generator::NAME);
        return Err(Error::Config(vec![message]));
    }
    let count = if section.limit > 0 { section.limit.min(section.generate) } else { section.generate };
    let mut problems = generator::problems(&section.levels, count, section.generator_seed, split)?;
    problems.retain(|problem| !(section.deduplicate && duplicates.seen(problem)));
    Ok(problems)
}

/// The problems of one set's files; hashes and notices go to `result`.
fn read(
    source: &str,
    section: &DataSection,
    golds: &GoldCheck,
    split: Split,
    duplicates: &mut Duplicates,
    result: &mut ProblemSet,
) -> Result<Vec<Problem>> {
    let default_split = if split == Split::Train { "train" } else { "test" };
    let selection = Selection { config: &section.config, split: section.split.as_deref().unwrap_or(default_split) };
    let found = sources::find(source, selection)?;
    result.notices.extend(found.notice);
    let mut problems = Vec::new();
    let mut levels = BTreeSet::new();
    let (mut bad_golds, mut looked_at) = (BadGolds::default(), 0);
    let mut format = section.format;
    let mut bad = BadRows::new(section.on_bad_row);
    let (mut rows, mut repeated) = (0, 0);
    'files: for file in &found.files {
        let table = Table::read(&file.path)?;
        result.hashes.insert(file.name.clone(), table.sha256.clone());
        let mut unanswered = Vec::new();
        for row in table.rows() {
            rows += 1;
            let mut place = None;
            let read = row.and_then(|row| {
                place = Some(row.place());
                if format == DataFormat::Auto {
                    format = detect(&row);
                }
                problem_of(&row, format, section).map_err(Bad::Row)
            });
            let Some(problem) = bad.sift(read)? else { continue };
            let Some(problem) = problem else {
                unanswered.extend(place);
                continue;
            };
            levels.insert((problem.level, problem.level_name.clone()));
            if !section.levels.is_empty() && !problem.level.is_some_and(|level| section.levels.contains(&level)) {
                continue;
            }
            looked_at += 1;
            if let Some(found) = golds.problem(&problem.answer) {
                bad_golds.add(&problem.id, &problem.answer, found);
                if matches!(golds, GoldCheck::Paid(_)) {
                    continue;
                }
            }
            if section.deduplicate && duplicates.seen(&problem) {
                repeated += 1;
                continue;
            }
            problems.push(problem);
            if section.limit > 0 && problems.len() == section.limit {
                break 'files;
            }
        }
        if let Some(first) = unanswered.first() {
            let unit = if matches!(first, Place::Line(_)) { "lines" } else { "rows" };
            let numbers = first_of(unanswered.iter().map(|place| place.number().to_string()));
            result.notices.push(format!("{}: rows without an answer are left out: {unit} {numbers}", file.name));
        }
    }
    let told = bad_golds.message(looked_at);
    if let (Some(told), GoldCheck::Paid(_)) = (&told, golds)
        && (section.on_bad_row == OnBadRow::Refuse || problems.is_empty())
    {
        let advice = "correct them, name another field (data.answer_field), or leave these rows out with data.on_bad_row = \"skip\"";
        return Err(Error::Data(format!("{source}: {told}; {advice}")));
    }
    if problems.is_empty() {
        let found = levels.iter().map(|(level, name)| name.clone().or(level.map(|l| l.to_string())).unwrap_or("none".to_owned()));
        let message = if repeated > 0 {
            "every problem is in the sets before it, too (data.deduplicate)".to_owned()
        } else if !levels.is_empty() {
            format!("no problem of the levels {} (data.levels); levels found: {}", section.levels.show(), first_of(found))
        } else if rows == 0 {
            "no rows; expected problems".to_owned()
        } else if bad.count() > 0 {
            format!("none of the {rows} rows can be used; {}", bad.notice().unwrap_or_default())
        } else {
            "no problem with an answer; expected a row with a non-empty `answer`".to_owned()
        };
        return Err(Error::Data(format!("{source}: {message}")));
    }
    result.notices.extend(bad.notice().map(|notice| format!("{source}: {notice}")));
    result.notices.extend(told.map(|told| match golds {
        GoldCheck::Paid(_) => format!("{source}: rows left out as data.on_bad_row says: {told}"),
        GoldCheck::Told(_) => format!("{source}: {told} (the rewards of this run don't ask it)"),
    }));
    Ok(problems)
}

/// A question without what two of them may differ in and be the same: case and white space.
pub fn normalised(question: &str) -> String {
    question.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// The questions that have been there.
#[derive(Default)]
struct Duplicates {
    /// Answer by normalised question.
    answers: HashMap<String, String>,
    count: usize,
    /// How many of them had another answer than the one before.
    contradicting: usize,
}

impl Duplicates {
    /// Whether the problem's question has been there, but for case and white space.
    fn seen(&mut self, problem: &Problem) -> bool {
        let question = normalised(&problem.question);
        match self.answers.get(&question) {
            Some(answer) => {
                self.count += 1;
                self.contradicting += usize::from(*answer != problem.answer);
                true
            }
            None => {
                self.answers.insert(question, problem.answer.clone());
                false
            }
        }
    }

    fn notice(&self) -> Option<String> {
        let contradicting = match self.contradicting {
            0 => String::new(),
            some => format!(", {some} of them with another answer than the one kept"),
        };
        (self.count > 0).then(|| format!("data.deduplicate: {} problems left out whose question came before{contradicting}", self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ExpertCotFormat, Levels, OnBadRow, OneOrMore};
    use mathverify::VerifyConfig;
    use proptest::prelude::*;

    fn golds() -> GoldCheck {
        GoldCheck::Told(VerifyConfig::default())
    }
    fn load(text: &str, change: impl Fn(&mut DataSection)) -> Result<ProblemSet> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.jsonl");
        std::fs::write(&path, text).unwrap();
        let mut section = DataSection { train: path.to_string_lossy().into_owned().into(), ..DataSection::default() };
        change(&mut section);
        load_problems(&section, &golds(), Split::Train)
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
            (s.levels, s.limit) = (vec![2].into(), 1);
        })
        .unwrap();
        assert_eq!(some.problems, all.problems[1..2]);
        assert_eq!(some.hashes.len(), 1);
        assert_eq!(some.hashes.values().next().unwrap().len(), 64);
        let none = message(text, |s| {
            named(s);
            s.levels = vec![5].into();
        });
        assert!(none.contains("no problem of the levels [5]") && none.contains("levels found: none, 1, 2"), "{none}");
    }

    #[test]
    fn levels_may_be_words() {
        let text = "{\"question\": \"A\", \"answer\": 1, \"level\": \"Hard\"}\n{\"question\": \"B\", \"answer\": 2, \"level\": \"easy\"}\n{\"question\": \"C\", \"answer\": 3, \"level\": \"odd\"}\n{\"question\": \"D\", \"answer\": 4}\n";
        let words = |words: &[&str]| -> crate::config::Levels { words.iter().map(|w| w.to_string()).collect::<Vec<_>>().into() };
        let levels =
            |problems: &[Problem]| problems.iter().map(|p| (p.level, p.level_name.clone().unwrap_or_default())).collect::<Vec<_>>();
        let set = load(text, |section| section.levels = words(&["easy", "hard"])).unwrap();
        assert_eq!(levels(&set.problems), [(Some(2), "Hard".to_owned()), (Some(1), "easy".to_owned())]);
        // Evaluation keeps all, or some; the words mean the same.
        let all = words(&[]).within(&words(&["easy", "hard"]));
        let set = load(text, |section| section.levels = all.clone()).unwrap();
        assert_eq!((set.problems.len(), set.problems[0].level, set.problems[2].level), (4, Some(2), None));
        let set = load(text, |section| section.levels = words(&["hard"]).within(&words(&["easy", "hard"]))).unwrap();
        assert_eq!(levels(&set.problems), [(Some(2), "Hard".to_owned())]);
        let none = message(text, |section| section.levels = words(&["medium"]));
        let section = DataSection { levels: words(&["easy"]), ..DataSection::default() };
        let error = load_problems(&section, &golds(), Split::Train).unwrap_err().to_string();
        assert!(error.contains("data.levels: found [\"easy\"], but generator:division's levels are the numbers"), "{error}");
        assert!(none.contains("no problem of the levels [\"medium\"]") && none.contains("found: none, Hard, easy, odd"), "{none}");
        let refused = message(text, |_| ());
        assert!(
            refused.contains("p.jsonl:1: the level is \"Hard\"") && refused.contains("data.levels = [\"easy\", \"hard\"]"),
            "{refused}"
        );
    }

    #[test]
    fn answers_that_cannot_pay_are_refused_left_out_or_told() {
        let row = |answer: &str| format!("{}\n", serde_json::json!({"question": answer, "answer": answer}));
        let text = ["4", "n/a", "0/0", "\\frac{1}{", "We do it. 4", "5"].map(row).concat();
        let load = |text: &str, check: GoldCheck, on_bad_row: OnBadRow| {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("p.jsonl");
            std::fs::write(&path, text).unwrap();
            let section = DataSection { train: path.to_string_lossy().into_owned().into(), on_bad_row, ..DataSection::default() };
            load_problems(&section, &check, Split::Train)
        };
        let paid = || GoldCheck::Paid(VerifyConfig::default());
        let error = load(&text, paid(), OnBadRow::Refuse).unwrap_err().to_string();
        let told = "p.jsonl: 4 of 6 known answers can't be paid by the verifier: p.jsonl:2 \"n/a\": ";
        assert!(
            error.contains(told)
                && error.contains("p.jsonl:5 \"We do it. 4\": it is a sentence")
                && error.ends_with("data.on_bad_row = \"skip\""),
            "{error}"
        );
        let set = load(&text, paid(), OnBadRow::Skip).unwrap();
        assert_eq!(set.problems.iter().map(|p| p.answer.as_str()).collect::<Vec<_>>(), ["4", "5"]);
        assert!(set.notices.len() == 1 && set.notices[0].contains("rows left out as data.on_bad_row says: 4 of 6"), "{:?}", set.notices);
        let set = load(&text, golds(), OnBadRow::Refuse).unwrap();
        assert!(set.problems.len() == 6 && set.notices[0].ends_with("(the rewards of this run don't ask it)"), "{:?}", set.notices);
        assert!(load(&row("n/a"), paid(), OnBadRow::Skip).unwrap_err().to_string().contains("1 of 1 known answers"));
    }

    /// Loads several files, named `0.jsonl`, `1.jsonl`, ...
    fn load_all(texts: &[&str], change: impl Fn(&mut DataSection)) -> Result<ProblemSet> {
        let dir = tempfile::tempdir().unwrap();
        let write = |(i, text): (usize, &&str)| {
            let path = dir.path().join(format!("{i}.jsonl"));
            std::fs::write(&path, text).unwrap();
            path.to_string_lossy().into_owned()
        };
        let mut section = DataSection { train: OneOrMore(texts.iter().enumerate().map(write).collect()), ..DataSection::default() };
        change(&mut section);
        load_problems(&section, &golds(), Split::Train)
    }
    const ONE: &str = "{\"question\": \"Add 1\\n and 2\", \"answer\": 3}\n{\"question\": \"B\", \"answer\": 1}\n";
    const TWO: &str = "{\"problem\": \" add 1 and  2\", \"answer\": \"3\"}\n{\"problem\": \"b\", \"answer\": \"2\"}\n{\"problem\": \"C\", \"answer\": \"3\"}\n";

    #[test]
    fn several_sets_each_in_its_own_shape() {
        let set = load_all(&[ONE, TWO], |_| ()).unwrap();
        assert_eq!((set.sets.as_slice(), set.hashes.len(), set.notices.len()), ([0, 0, 1, 1, 1].as_slice(), 2, 0));
        assert_eq!(set.problems[4].id, "1.jsonl:3");
        let set = load_all(&[ONE, TWO], |section| section.limit = 1).unwrap();
        assert_eq!(set.sets, [0, 1]);
        let set = load_all(&[ONE], |section| {
            (section.generate, section.levels) = (3, Levels::default());
            section.train.0.push("generator:division".into());
        })
        .unwrap();
        assert_eq!(set.sets, [0, 0, 1, 1, 1]);
        let error = load_all(&[ONE, ""], |_| ()).unwrap_err().to_string();
        assert!(error.contains("1.jsonl: is empty"), "{error}");
    }

    #[test]
    fn duplicates_are_left_out_and_told() {
        let set = load_all(&[ONE, TWO], |section| section.deduplicate = true).unwrap();
        assert_eq!(set.problems.iter().map(|problem| problem.question.as_str()).collect::<Vec<_>>(), ["Add 1\n and 2", "B", "C"]);
        let expected = "data.deduplicate: 2 problems left out whose question came before, 1 of them with another answer than the one kept";
        assert_eq!(set.notices, [expected]);
        let error = load_all(&[ONE, ONE], |section| section.deduplicate = true).unwrap_err().to_string();
        assert!(error.contains("1.jsonl: every problem is in the sets before it"), "{error}");
    }

    #[test]
    fn bad_rows_are_skipped_where_the_configuration_says_so() {
        let text =
            "{\"question\": \"A\", \"answer\": 1}\n{\"question\": \nnull\n{\"question\": \"B\"}\n{\"question\": \"C\", \"answer\": 3}\n";
        let skip = |section: &mut DataSection| section.on_bad_row = OnBadRow::Skip;
        let set = load(text, skip).unwrap();
        assert_eq!(set.problems.iter().map(|problem| problem.question.as_str()).collect::<Vec<_>>(), ["A", "C"]);
        let notice = &set.notices[0];
        assert!(notice.contains("on_bad_row says: 3: ") && [":2: ", ":3: ", ":4: "].iter().all(|line| notice.contains(line)), "{notice}");
        let none = message("{\"question\": \"A\"}\n", skip);
        assert!(none.contains("none of the 1 rows can be used") && none.contains("p.jsonl:1: field `answer` is missing"), "{none}");
        // A file that can't be read at all is an error all the same.
        assert!(message(" ", skip).contains("is empty"));
    }

    #[test]
    fn nested_fields_and_levels_as_floats() {
        let text = r#"{"prompt": [{"content": "Q", "role": "user"}], "extra_info": {"answer": 7, "level": 2.0}}"#;
        let set = load(text, |section| {
            section.question_field = "prompt.0.content".into();
            (section.answer_field, section.level_field) = ("extra_info.answer".into(), "extra_info.level".into());
        })
        .unwrap();
        let problem = &set.problems[0];
        assert_eq!((problem.question.as_str(), problem.answer.as_str(), problem.level), ("Q", "7", Some(2)));
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
        let missing =
            load_problems(&DataSection { train: "no/such.jsonl".into(), ..DataSection::default() }, &golds(), Split::Train).unwrap_err();
        assert!(missing.to_string().starts_with("no/such.jsonl: cannot read"), "{missing}");
        let generator =
            load_problems(&DataSection { train: "generator:sums".into(), ..DataSection::default() }, &golds(), Split::Train).unwrap_err();
        assert!(generator.to_string().contains("generator:division"), "{generator}");
    }

    #[test]
    fn the_generator_by_name() {
        let section = DataSection { levels: vec![5].into(), generate: 20, limit: 7, generator_seed: 3, ..DataSection::default() };
        let set = load_problems(&section, &golds(), Split::HeldOut).unwrap();
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
