//! Nothing is said of runs that learn: recorded ones of the shipped tiny configurations (scripts/fixtures/learning.py).

use std::collections::BTreeMap;

use expo_core::learning::{Fault, Learning};
use serde_json::Value;

/// Baselines of which something is true, and so told: plain GRPO on problems that the policy can't solve; LUFFY, whose traces make its completions long.
const TOLD: [(&str, Fault); 2] = [("grpo-tiny", Fault::AllWrong), ("luffy-tiny", Fault::Truncated)];

#[test]
fn recorded_runs_are_left_alone() {
    let recorded = include_str!("fixtures/learning.jsonl");
    let mut runs = 0;
    for line in recorded.lines() {
        let Ok(Value::Object(mut columns)) = serde_json::from_str(line) else { panic!("{line}") };
        let name = columns.remove("run").unwrap();
        let mut learning = Learning::default();
        let mut found = Vec::new();
        for step in 0..16 {
            let value = |(name, column): (&String, &Value)| Some((name.clone(), column[step].as_f64()?));
            found.extend(learning.push(step as u64 + 1, &columns.iter().filter_map(value).collect::<BTreeMap<_, _>>()));
        }
        let expected: Vec<Fault> = TOLD.iter().filter(|(run, _)| name == *run).map(|(_, fault)| *fault).collect();
        for found in [found, learning.at_end()] {
            assert_eq!(found.iter().map(|finding| finding.fault).collect::<Vec<_>>(), expected, "{name}: {found:?}");
        }
        runs += 1;
    }
    assert_eq!(runs, 20);
}
