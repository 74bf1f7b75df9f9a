//! Rows against the lines of files, and their fields against docs/reports.md.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::batches::{BatchKind, BatchRow, TraceRow, TrainedOn};
use super::completions::{CompletionRow, DrawnRow, ExplanationRow, QuestionRow, RolloutRow};
use super::made::{DocumentOrigin, DocumentRow, PairRow, PreferenceRow, ReferenceRow};
use super::watchdog::{Action, Found, Watch, WatchdogRow};
use super::weights::TokenWeights;
use super::*;
use crate::config::ChosenSide;
use crate::objective::group::ExplanationOutcome;
use crate::objective::term::Term;

fn prompt() -> RenderedPrompt {
    RenderedPrompt { rendered_prompt: "<q>".into(), prompt_ids: vec![1, 2] }
}

fn weights() -> TokenWeights {
    let mut weights = TokenWeights::default();
    weights.set(Term::PolicyGradient, 1.0);
    weights.set(Term::Kl, 0.5);
    weights.set(Term::PolicyGradient, 0.25);
    weights
}

fn question() -> QuestionRow {
    QuestionRow {
        group: 1,
        problem: "p".into(),
        level: Some(5),
        question: "1+1?".into(),
        answer: "2".into(),
        prompt: Some(prompt()),
        ..QuestionRow::default()
    }
}

fn rollout() -> CompletionRow {
    let row = RolloutRow {
        question: question(),
        text: "3".into(),
        completion_ids: vec![3],
        extracted: Some("3".into()),
        reason: "other numbers".into(),
        rewards: [("correctness".to_owned(), Some(0.0)), ("judge".to_owned(), None)].into(),
        reward: Some(0.0),
        advantage: Some(-1.0),
        answer_position: Some(0.5),
        token_weights: Some(weights()),
        ..RolloutRow::default()
    };
    CompletionRow { step: 2, drawn: DrawnRow::Rollout(row) }
}

fn explanation() -> CompletionRow {
    let row = ExplanationRow {
        question: QuestionRow { index: 3, prompt: None, ..question() },
        text: "2".into(),
        completion_ids: vec![2],
        outcome: Some(ExplanationOutcome::Replaced),
        trained_ids: Some(vec![2, 4]),
        hint_information: Some(1.5),
        max_token_information: Some(1.0),
        answer_position: Some(0.0),
        token_weights: Some(weights()),
        ..ExplanationRow::default()
    };
    CompletionRow { step: 2, drawn: DrawnRow::Explanation(row) }
}

fn batch(kind: BatchKind) -> BatchRow {
    let trained_on = match kind {
        BatchKind::Pair { .. } => TrainedOn::Sides {
            chosen: "2".into(),
            chosen_ids: vec![2],
            rejected: "3".into(),
            rejected_ids: vec![3],
            ref_chosen_logps: Some(-1.0),
            ref_rejected_logps: Some(f64::NAN),
        },
        _ => TrainedOn::Completion { completion: "2".into(), completion_ids: vec![2] },
    };
    let trained = if kind == BatchKind::Document { vec![[0, 1]] } else { Vec::new() };
    BatchRow { step: 1, update: 2, kind, prompt: prompt(), trained_on, trained, token_weights: weights() }
}

fn batches() -> Vec<BatchRow> {
    let trace = TraceRow {
        problem: "p".into(),
        group: 1,
        index: 0,
        extracted: None,
        correct: false,
        reason: String::new(),
        rewards: BTreeMap::new(),
        reward: None,
        advantage: Some(0.5),
    };
    let kinds = [
        BatchKind::Document,
        BatchKind::ExpertCot { problem: "p".into(), group: 1 },
        BatchKind::OffPolicy(trace),
        BatchKind::Pair { id: "p".into() },
    ];
    kinds.into_iter().map(batch).collect()
}

fn pair() -> PairRow {
    let preference = PreferenceRow {
        id: "p".into(),
        prompt: "1+1?".into(),
        chosen: "2".into(),
        rejected: "3".into(),
        answer: "2".into(),
        chosen_from: ChosenSide::Explanation,
        rejected_correct: false,
    };
    PairRow {
        preference,
        rejected_extracted: None,
        rejected_reason: String::new(),
        step: 1,
        rendered: prompt(),
        chosen_ids: vec![2],
        rejected_ids: vec![3],
    }
}

fn document() -> DocumentRow {
    DocumentRow {
        iteration: 1,
        id: "p".into(),
        prompt: "1+1?".into(),
        completion: "2".into(),
        answer: "2".into(),
        from: DocumentOrigin::Rationalization,
        step: 1,
        rendered: prompt(),
        completion_ids: vec![2],
    }
}

fn reference() -> ReferenceRow {
    ReferenceRow { id: "p".into(), ref_chosen_logps: Some(-1.0), ref_rejected_logps: Some(-2.5) }
}

fn line(row: &impl Serialize) -> String {
    serde_json::to_string(row).unwrap()
}

/// Field by field in the order of the files; what is no number is null.
#[test]
fn rows_are_lines() {
    let question = r#""group":1,"index":0,"problem":"p","level":5,"subject":null,"question":"1+1?","answer":"2""#;
    let prompt = r#""rendered_prompt":"<q>","prompt_ids":[1,2]"#;
    let weights = r#""token_weights":{"policy_gradient":0.25,"kl":0.5}"#;
    assert_eq!(
        line(&rollout()),
        format!(
            r#"{{"step":2,"kind":"rollout",{question},{prompt},"text":"3","completion_ids":[3],"truncated":false,"extracted":"3","correct":false,"unevaluated":false,"reason":"other numbers","rewards":{{"correctness":0.0,"judge":null}},"reward":0.0,"advantage":-1.0,"answer_position":0.5,{weights}}}"#
        )
    );
    let question = question.replace(r#""index":0"#, r#""index":3"#);
    assert_eq!(
        line(&explanation()),
        format!(
            r#"{{"step":2,"kind":"explanation",{question},"text":"2","completion_ids":[2],"outcome":"replaced","extracted":null,"correct":false,"reason":"","rewards":{{}},"steps_right":null,"trained_ids":[2,4],"hint_information":1.5,"max_token_information":1.0,"answer_position":0.0,{weights}}}"#
        )
    );
    let completion = r#""completion":"2","completion_ids":[2]"#;
    let sides = r#""chosen":"2","chosen_ids":[2],"rejected":"3","rejected_ids":[3],"ref_chosen_logps":-1.0,"ref_rejected_logps":null"#;
    let trace =
        r#""problem":"p","group":1,"index":0,"extracted":null,"correct":false,"reason":"","rewards":{},"reward":null,"advantage":0.5"#;
    let expected = [
        format!(r#"{{"step":1,"update":2,"kind":"document",{prompt},{completion},"trained":[[0,1]],{weights}}}"#),
        format!(r#"{{"step":1,"update":2,"kind":"expert_cot","problem":"p","group":1,{prompt},{completion},{weights}}}"#),
        format!(r#"{{"step":1,"update":2,"kind":"off_policy",{trace},{prompt},{completion},{weights}}}"#),
        format!(r#"{{"step":1,"update":2,"kind":"pair","id":"p",{prompt},{sides},{weights}}}"#),
    ];
    assert_eq!(batches().iter().map(line).collect::<Vec<_>>(), expected);
    assert_eq!(
        line(&pair()),
        format!(
            r#"{{"id":"p","prompt":"1+1?","chosen":"2","rejected":"3","answer":"2","chosen_from":"explanation","rejected_correct":false,"rejected_extracted":null,"rejected_reason":"","step":1,{prompt},"chosen_ids":[2],"rejected_ids":[3]}}"#
        )
    );
    assert_eq!(
        line(&document()),
        format!(
            r#"{{"iteration":1,"id":"p","prompt":"1+1?","completion":"2","answer":"2","from":"rationalization","step":1,{prompt},"completion_ids":[2]}}"#
        )
    );
    assert_eq!(line(&reference()), r#"{"id":"p","ref_chosen_logps":-1.0,"ref_rejected_logps":-2.5}"#);
    let alarm = |found, action| line(&WatchdogRow { step: 4, watch: Watch::DeadGroups, message: "m".into(), found, action });
    assert_eq!(
        alarm(Found::DeadGroups { steps: 3 }, Action::WentBack { step: 2, learning_rate_scale: 0.5 }),
        r#"{"step":4,"watch":"dead_groups","message":"m","found":{"steps":3},"action":"back to step 2, learning rate times 0.5"}"#
    );
    assert_eq!(alarm(Found::Nothing, Action::Skipped), r#"{"step":4,"watch":"dead_groups","message":"m","found":null,"action":"skipped"}"#);
}

#[test]
fn completions_are_read_back() {
    let read = |line: &str| serde_json::from_str::<CompletionRow>(line);
    for row in [rollout(), explanation()] {
        assert_eq!(read(&line(&row)).unwrap(), row);
    }
    // Of an earlier version, and of a later one.
    let old = read(r#"{"step":3,"kind":"rollout","level":1,"correct":true,"text":"t"}"#).unwrap();
    assert!(old.drawn.is_correct() && old.drawn.question().level == Some(1) && old.drawn.question().prompt.is_none());
    let new = line(&rollout()).replace(r#""kl":0.5"#, r#""kl":null,"another":1"#).replace(r#""reward":0.0"#, r#""reward":null,"more":{}"#);
    let DrawnRow::Rollout(new) = read(&new).unwrap().drawn else { panic!("another kind") };
    assert_eq!((new.reward, new.advantage, new.completion_ids), (None, Some(-1.0), vec![3]));
    for text in ["{}", r#"{"kind":"rollout"}"#, r#"{"step":1,"kind":"x"}"#, r#"{"step":1,"kind":"rollout","level":"x"}"#] {
        assert!(read(text).is_err(), "{text}");
    }
}

/// The words in backquotes in the lines of docs/reports.md's table that tell of `file`: all of them; and those in the column of fields.
fn documented(file: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let text = include_str!("../../../../docs/reports.md");
    let first = text.lines().skip_while(|line| !line.starts_with(&format!("| `{file}` |")));
    let lines: Vec<&str> = first.enumerate().take_while(|(i, line)| *i == 0 || line.starts_with("| |")).map(|(_, line)| line).collect();
    assert!(!lines.is_empty(), "docs/reports.md: no {file}");
    let words = |text: &str| -> BTreeSet<String> {
        let quoted = text.split('`').skip(1).step_by(2).map(|word| word.split(':').next().unwrap_or_default());
        quoted.filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '_')).map(str::to_owned).collect()
    };
    let fields = lines.iter().map(|line| line.split(" | ").nth(2).unwrap_or_default()).collect::<String>();
    (words(&lines.concat()), words(&fields))
}

#[test]
fn the_documentation_has_every_field_and_no_other() {
    fn value(row: &impl Serialize) -> Value {
        serde_json::to_value(row).unwrap()
    }
    let files: Vec<(&str, Vec<Value>)> = vec![
        (COMPLETIONS_FILE, vec![value(&rollout()), value(&explanation())]),
        (BATCHES_FILE, batches().iter().map(value).collect()),
        (PAIRS_FILE, vec![value(&pair())]),
        (DOCUMENTS_FILE, vec![value(&document())]),
        (REFERENCE_FILE, vec![value(&reference())]),
    ];
    // Those of files that other pages tell of: a preference file's, and a document's.
    let elsewhere = value(&pair().preference);
    let names =
        |rows: &[Value]| -> BTreeSet<String> { rows.iter().filter_map(Value::as_object).flat_map(|row| row.keys().cloned()).collect() };
    let outcomes = ["kept", "replaced", "truncated", "mismatch", "special_token", "leak", "too_short", "too_long", "early_answer"];
    let values = outcomes.into_iter().chain(["token_information", "rollout", "rationalization"]);
    let values: BTreeSet<String> = values.map(str::to_owned).collect();
    for (file, rows) in &files {
        let (mut all, fields) = documented(file);
        all.extend(["step", "kind"].map(str::to_owned));
        let known = names(rows);
        let mut missing: Vec<_> = known.difference(&all).collect();
        match *file {
            PAIRS_FILE => missing.retain(|name| elsewhere.get(name.as_str()).is_none()),
            DOCUMENTS_FILE => missing.retain(|name| !["id", "prompt", "completion"].contains(&name.as_str())),
            _ => {}
        }
        assert!(missing.is_empty(), "docs/reports.md: {file} has {missing:?}, too");
        let strange: Vec<_> = fields.difference(&known).filter(|name| !values.contains(*name)).collect();
        assert!(strange.is_empty(), "docs/reports.md: {file} has no {strange:?}");
    }
}
