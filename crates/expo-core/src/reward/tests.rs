//! Several rewards together, external ones among them.

use serde_json::json;

use super::testing::{Fixture, GOOD, sh};
use super::*;
use crate::config::{ExternalRewardSection, OnFailure};

/// Answers every row with its id.
const IDS: &str = r#"while IFS= read -r row; do id=${row#*\"id\":}; id=${id%%,*}; echo "{\"id\": $id, \"reward\": $id}"; done"#;
/// Answers rows of even id with null, the others with 1.
const ODD: &str = r#"while IFS= read -r row; do id=${row#*\"id\":}; id=${id%%,*}
    case $((id % 2)) in 0) reward=null;; *) reward=1;; esac; echo "{\"id\": $id, \"reward\": $reward}"; done"#;

fn external(script: &str, weight: f64) -> ExternalRewardSection {
    ExternalRewardSection { command: sh(script), weight, ..ExternalRewardSection::default() }
}

fn config(external: &[(&str, ExternalRewardSection)]) -> Config {
    let mut config = Config::default();
    config.reward.external = external.iter().map(|(name, section)| ((*name).to_owned(), section.clone())).collect();
    config
}

type Column = Vec<Option<f64>>;

/// The sums, the rewards called `name` and the notices of two questions with the completions right, wrong, right and wrong, wrong.
fn score(rewards: &mut Rewards, name: &str) -> Result<(Column, Column, Vec<String>)> {
    let fixtures = [Fixture::new(&[true, false, true]), Fixture::new(&[false, false])];
    let questions: Vec<Question> = fixtures.iter().map(Fixture::question).collect();
    let mut notices = Vec::new();
    let scored = rewards.score(&questions, &mut |notice: String| notices.push(notice))?;
    assert_eq!(scored.iter().map(Vec::len).collect::<Vec<_>>(), [3, 2]);
    let scored = scored.concat();
    Ok((scored.iter().map(|s| s.reward).collect(), scored.iter().map(|s| s.rewards.get(name).copied().flatten()).collect(), notices))
}

#[test]
fn the_sum_is_over_the_rewards_that_apply() {
    let mut config = config(&[("odd", external(ODD, 2.0)), ("ids", external(IDS, -0.5)), ("off", external("exit 1", 0.0))]);
    let mut rewards = Rewards::new(&config).unwrap();
    let (sums, odd, notices) = score(&mut rewards, "odd").unwrap();
    assert_eq!(odd, [None, Some(1.0), None, Some(1.0), None]);
    // correctness + 2 odd - ids / 2, the null ones left out.
    assert_eq!(sums, [1.0, 2.0 - 0.5, 1.0 - 1.0, 2.0 - 1.5, -2.0].map(Some));
    assert!(notices.is_empty());
    let (_, ids, _) = score(&mut rewards, "ids").unwrap();
    assert_eq!(ids, [5.0, 6.0, 7.0, 8.0, 9.0].map(Some), "ids are never used again");
    let (_, off, _) = score(&mut rewards, "off").unwrap();
    assert_eq!(off, [None; 5]);
    // Without any other reward a null leaves the sample out.
    config.reward.correctness = 0.0;
    config.reward.external.remove("ids");
    let (sums, ..) = score(&mut Rewards::new(&config).unwrap(), "odd").unwrap();
    assert_eq!(sums, [None, Some(2.0), None, Some(2.0), None]);
}

#[test]
fn a_gated_reward_is_asked_for_right_completions_alone() {
    let mut config = config(&[("ids", external(IDS, 1.0))]);
    config.reward.gate_on_correctness = vec!["ids".into()];
    let mut rewards = Rewards::new(&config).unwrap();
    let (sums, ids, _) = score(&mut rewards, "ids").unwrap();
    assert_eq!(ids, [0.0, 0.0, 1.0, 0.0, 0.0].map(Some));
    assert_eq!(sums, [1.0, 0.0, 2.0, 0.0, 0.0].map(Some));
    // Nothing to ask: no command is needed.
    let all_wrong = Fixture::new(&[false]);
    let mut rewards = Rewards::new(&{
        let mut config = config.clone();
        config.reward.external.insert("ids".into(), external("exit 1", 1.0));
        config
    })
    .unwrap();
    assert_eq!(rewards.score(&[all_wrong.question()], &mut |_: String| {}).unwrap()[0][0].reward, Some(0.0));
}

#[test]
fn a_command_that_keeps_ending_stops_the_run_or_gives_null() {
    let mut section = external("read row; echo out of order >&2; exit 7", 1.0);
    section.max_retries = 2;
    let mut rewards = Rewards::new(&config(&[("judge", section.clone())])).unwrap();
    let error = score(&mut rewards, "judge").unwrap_err().to_string();
    assert!(error.starts_with("reward.external.judge: `sh -c ") && error.ends_with("out of order (3 attempts)"), "{error}");
    section.on_failure = OnFailure::Null;
    let mut rewards = Rewards::new(&config(&[("judge", section)])).unwrap();
    let (sums, judge, notices) = score(&mut rewards, "judge").unwrap();
    assert_eq!((judge, sums), (vec![None; 5], [1.0, 0.0, 1.0, 0.0, 0.0].map(Some).to_vec()));
    let ends: Vec<&str> = notices.iter().map(|notice| notice.rsplit("; ").next().unwrap()).collect();
    assert_eq!(ends, ["attempt 2 of 3", "attempt 3 of 3", "null for 5 rollouts"]);
    // A broken protocol is a mistake in the command: neither is of any use.
    let mut section = external("echo hello; cat", 1.0);
    section.on_failure = OnFailure::Null;
    let error = score(&mut Rewards::new(&config(&[("judge", section)])).unwrap(), "judge").unwrap_err().to_string();
    assert!(error.contains("it wrote \"hello\"") && !error.contains("attempts"), "{error}");
}

#[test]
fn a_command_that_cannot_be_started_is_found_before_the_run() {
    let section = ExternalRewardSection { command: vec!["no/such/program".into()], ..ExternalRewardSection::default() };
    let error = Rewards::new(&config(&[("judge", section)])).err().unwrap().to_string();
    assert!(error.starts_with("reward.external.judge: cannot start `no/such/program`"), "{error}");
}

#[test]
fn rows_have_the_documented_fields() {
    let fixture = Fixture::new(&[true]);
    let question = fixture.question();
    let row = serde_json::to_value(Row::of(&question).next().unwrap()).unwrap();
    let expected = json!({
        "id": 0, "remaining": 0, "problem": "p-1", "question": "6/3?", "answer": "2", "level": 3, "subject": null,
        "extra": {"source": "made up"}, "prompt": "user 6/3? assistant ", "completion": "\u{e9}\n#### 2", "tokens": 7, "truncated": false,
        "correct": true, "extracted": "2",
    });
    assert_eq!(row, expected);
    let documented = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/rewards.md")).unwrap();
    for name in row.as_object().unwrap().keys() {
        assert!(documented.contains(&format!("| `{name}` |")), "docs/rewards.md doesn't explain `{name}`");
    }
}

#[test]
fn a_good_command_is_asked_once_for_all() {
    let mut rewards = Rewards::new(&config(&[("judge", external(GOOD, 1.0))])).unwrap();
    let (sums, ..) = score(&mut rewards, "judge").unwrap();
    assert_eq!(sums, [1.5, 0.5, 1.5, 0.5, 0.5].map(Some));
    rewards.close();
    let (sums, ..) = score(&mut rewards, "judge").unwrap();
    assert_eq!(sums, [1.5, 0.5, 1.5, 0.5, 0.5].map(Some), "after the end it begins again");
}
