//! What a set of problems holds, looked at before any run: all that is bad, not the first alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use expo_lm::json::kind;
use serde_json::Value;

use super::bad_rows::{Bad, BadRows};
use super::documents::read_documents;
use super::files::Selection;
use super::golds::{BadGolds, GoldCheck};
use super::preferences::read_preferences;
use super::problems::normalised;
use super::shapes::{detect, problem_of};
use super::sources;
use super::table::Table;
use crate::config::{DataFormat, DataSection, OnBadRow, Turns};
use crate::error::Result;

/// What the rows of a set are.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Rows {
    /// None at all.
    #[default]
    None,
    /// Problems with known answers.
    Problems(Problems),
    /// Preferences: so many that can be used.
    Preferences(usize),
    /// Documents: so many that can be used.
    Documents(usize),
}

/// What problems hold.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Problems {
    /// In what shapes rows came, and how many.
    pub formats: BTreeMap<String, usize>,
    /// How many have an answer, and are no duplicate of another.
    pub usable: usize,
    /// Rows without an answer, which MATH's are allowed.
    pub unanswered: usize,
    /// How many have an expert chain of thought.
    pub expert_cots: usize,
    /// How many there are of each level, easiest first; of none at last.
    pub levels: Vec<(String, usize)>,
    /// Problems whose question came before, but for case and white space.
    pub duplicates: usize,
    /// Those among them whose answer is another than the first one's.
    pub contradicting: usize,
    /// Answers that can't pay.
    pub bad_golds: BadGolds,
    /// Answers that were looked at.
    pub golds: usize,
}

/// What a set holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Survey {
    /// Each file and its number of rows.
    pub files: Vec<(String, usize)>,
    /// Each field at the top of rows in the order of appearance: in how many rows it is there and not null, and the kinds of its values.
    pub fields: Vec<(String, usize, BTreeSet<&'static str>)>,
    /// What the rows are.
    pub rows: Rows,
    /// Rows that can't be used, and what is told of them.
    pub bad_rows: (usize, Option<String>),
    /// What a user should know about where the files came from.
    pub notices: Vec<String>,
}

impl Survey {
    /// Of the set `source`, read as `section` says; of a hub data set the split `train` where it names none.
    /// Errors: a file that can't be read or got.
    pub fn of(source: &str, section: &DataSection, golds: &GoldCheck) -> Result<Self> {
        let section = DataSection { on_bad_row: OnBadRow::Skip, ..section.clone() };
        let selection = Selection { config: &section.config, split: section.split.as_deref().unwrap_or("train") };
        let found = sources::find(source, selection)?;
        let mut survey = Self { notices: found.notice.into_iter().collect(), ..Self::default() };
        let mut bad = BadRows::new(OnBadRow::Skip);
        let mut problems = Gathered::default();
        let (mut format, mut shape) = (section.format, None);
        for file in &found.files {
            let table = Table::read(&file.path)?;
            let mut rows = 0;
            for row in table.rows() {
                rows += 1;
                let read = row.and_then(|row| {
                    survey.see(&row.fields);
                    let has = |field: &str| row.get(field).is_some();
                    let shape = *shape.get_or_insert_with(|| Shape::of(has, &section));
                    if shape != Shape::Problem {
                        return Ok(None);
                    }
                    if format == DataFormat::Auto {
                        format = detect(&row);
                    }
                    problem_of(&row, format, &section).map(|problem| Some((problem, format))).map_err(Bad::Row)
                });
                if let Some(Some((problem, format))) = bad.sift(read)? {
                    problems.add(problem, format, golds);
                }
            }
            survey.files.push((file.name.clone(), rows));
        }
        survey.bad_rows = (bad.count(), bad.notice());
        match shape {
            None => {}
            Some(Shape::Problem) => survey.rows = Rows::Problems(problems.finish(&section)),
            Some(Shape::Preference) => match read_preferences(source, &section) {
                Ok(set) => {
                    survey.bad_rows = (set.skipped, set.notices.last().filter(|_| set.skipped > 0).cloned());
                    survey.rows = Rows::Preferences(set.preferences.len());
                }
                Err(error) => survey.bad_rows = (survey.count(), Some(error.to_string())),
            },
            Some(Shape::Document) => match read_documents(source, OnBadRow::Skip, Turns::All) {
                Ok(set) => {
                    let skipped = survey.count() - set.documents.len();
                    survey.bad_rows = (skipped, set.notices.last().filter(|_| skipped > 0).cloned());
                    survey.rows = Rows::Documents(set.documents.len());
                }
                Err(error) => survey.bad_rows = (survey.count(), Some(error.to_string())),
            },
        }
        Ok(survey)
    }

    /// Number of all rows.
    pub fn count(&self) -> usize {
        self.files.iter().map(|(_, rows)| rows).sum()
    }

    /// Whether anything would stop a run, or be left out of it.
    pub fn is_bad(&self) -> bool {
        let bad_golds = if let Rows::Problems(problems) = &self.rows { problems.bad_golds.count } else { 0 };
        self.rows == Rows::None || self.bad_rows.0 + bad_golds > 0
    }

    fn see(&mut self, fields: &serde_json::Map<String, Value>) {
        for (name, value) in fields {
            let place = self.fields.iter().position(|(known, ..)| known == name).unwrap_or_else(|| {
                self.fields.push((name.clone(), 0, BTreeSet::new()));
                self.fields.len() - 1
            });
            if !value.is_null() {
                self.fields[place].1 += 1;
                self.fields[place].2.insert(kind(value));
            }
        }
    }
}

/// What a row is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Shape {
    Problem,
    Preference,
    Document,
}

impl Shape {
    /// By the fields that a row has.
    fn of(has: impl Fn(&str) -> bool, section: &DataSection) -> Self {
        if has("chosen") && has("rejected") {
            Self::Preference
        } else if !has(&section.question_field) && !has("problem") && (has("messages") || (has("prompt") && has("completion"))) {
            Self::Document
        } else {
            Self::Problem
        }
    }
}

/// Problems as they come.
#[derive(Default)]
struct Gathered {
    found: Problems,
    levels: HashMap<Option<(u32, String)>, usize>,
    answers: HashMap<String, String>,
}

impl Gathered {
    fn add(&mut self, problem: Option<super::Problem>, format: DataFormat, golds: &GoldCheck) {
        *self.found.formats.entry(format.to_string()).or_default() += 1;
        let Some(problem) = problem else {
            self.found.unanswered += 1;
            return;
        };
        let name = |level: u32| problem.level_name.clone().unwrap_or_else(|| level.to_string());
        *self.levels.entry(problem.level.map(|level| (level, name(level)))).or_default() += 1;
        self.found.expert_cots += usize::from(problem.expert_cot.is_some());
        self.found.golds += 1;
        if let Some(found) = golds.problem(&problem.answer) {
            self.found.bad_golds.add(&problem.id, &problem.answer, found);
        }
        match self.answers.get(&normalised(&problem.question)) {
            Some(answer) => {
                self.found.duplicates += 1;
                self.found.contradicting += usize::from(*answer != problem.answer);
            }
            None => {
                self.found.usable += 1;
                self.answers.insert(normalised(&problem.question), problem.answer);
            }
        }
    }

    fn finish(mut self, section: &DataSection) -> Problems {
        let mut levels: Vec<_> = self.levels.into_iter().collect();
        levels.sort_by_key(|(level, _)| level.as_ref().map_or((true, 0), |(level, _)| (false, *level)));
        let kept = |level: &Option<(u32, String)>| {
            section.levels.is_empty() || level.as_ref().is_some_and(|(level, _)| section.levels.contains(level))
        };
        let name = |level: Option<(u32, String)>| {
            let left_out = if kept(&level) { "" } else { " (left out by data.levels)" };
            format!("{}{left_out}", level.map_or("none".to_owned(), |(_, name)| name))
        };
        self.found.levels = levels.into_iter().map(|(level, count)| (name(level), count)).collect();
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn survey(name: &str, text: &str, levels: &[&str]) -> Survey {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        let levels: Vec<String> = levels.iter().map(|level| (*level).to_owned()).collect();
        let section = DataSection { levels: levels.into(), ..DataSection::default() };
        Survey::of(path.to_str().unwrap(), &section, &GoldCheck::of(&Config::default())).unwrap()
    }

    #[test]
    fn all_that_problems_hold_and_all_that_is_wrong_with_them() {
        let text = "question;answer;level\nA;1;hard\nB;n/a;easy\na ;2;easy\n;4;easy\nC;x+1;\n";
        let found = survey("p.csv", text, &["easy", "hard"]);
        assert_eq!((found.count(), found.is_bad(), found.bad_rows.0), (5, true, 1));
        assert_eq!(
            found.fields.iter().map(|(name, count, _)| (name.as_str(), *count)).collect::<Vec<_>>(),
            [("question", 5), ("answer", 5), ("level", 5)]
        );
        let Rows::Problems(problems) = found.rows else { panic!("{found:?}") };
        let levels = [("easy", 2), ("hard", 1), ("none (left out by data.levels)", 1)].map(|(name, count)| (name.to_owned(), count));
        assert_eq!(problems.levels, levels);
        assert_eq!((problems.usable, problems.duplicates, problems.contradicting, problems.golds), (3, 1, 1, 4));
        assert!(problems.bad_golds.count == 1 && problems.bad_golds.reasons().starts_with("p.csv:3 \"n/a\""), "{problems:?}");
        assert_eq!(problems.formats, [("fields".to_owned(), 4)].into());
    }

    #[test]
    fn other_rows_are_told_as_what_they_are() {
        let found = survey(
            "p.jsonl",
            "{\"prompt\": \"q\", \"chosen\": \"a\", \"rejected\": \"b\"}\n{\"prompt\": \"q\", \"chosen\": \"a\", \"rejected\": \"a\"}\n",
            &[],
        );
        assert_eq!((&found.rows, found.bad_rows.0, found.is_bad()), (&Rows::Preferences(1), 1, true));
        let found = survey("d.jsonl", "{\"prompt\": \"q\", \"completion\": \"a\", \"n\": NaN}\n", &[]);
        assert_eq!((&found.rows, found.bad_rows.0, found.is_bad()), (&Rows::Documents(1), 0, false));
        assert!(survey("n.csv", "question,answer\n", &[]).is_bad());
    }
}
