//! Data and configurations.

use std::path::{Path, PathBuf};

use expo_core::config::{Config, DataSection, OnBadRow, Turns};
use expo_core::data::generator::Split;
use expo_core::data::{GoldCheck, load_problems, read_documents, read_preferences};

use super::{message, one, text, write};
use crate::mutate::Case;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Rows in every shape that is read: as a problem, a document and a preference at once.
const ROWS: [&str; 4] = [
    r#"{"question": "12/3?", "answer": "4", "solution": "3*4=12\n#### 4", "level": 2, "subject": "division", "prompt": "12/3?", "completion": "4", "chosen": "4", "rejected": "5"}"#,
    r#"{"question": "8/2?", "answer": 4, "level": "Level 3", "extra": {"a": [1, null, true]}, "prompt": [{"role": "user", "content": "8/2?"}], "completion": [{"role": "assistant", "content": "4"}], "chosen": [{"role": "assistant", "content": "4"}], "rejected": [{"role": "assistant", "content": "3"}]}"#,
    r#"{"question": "1/1?", "answer": "The answer is \\boxed{1}", "messages": [{"role": "user", "content": "1/1?"}, {"role": "assistant", "content": "1"}], "prompt": "q", "chosen": [{"role": "user", "content": "1/1?"}, {"role": "assistant", "content": "1"}], "rejected": [{"role": "user", "content": "1/1?"}, {"role": "assistant", "content": "2"}]}"#,
    r#"{"question": "\u00e9\ud83d\ude00 9/3?", "answer": "x #### 3", "prompt": "a", "completion": "b", "chosen": "c", "rejected": "d", "level": 1.0}"#,
];

pub fn jsonl_seeds() -> Vec<Case> {
    let all = ROWS.map(|row| format!("{row}\n")).concat();
    let gsm8k = "{\"question\": \"Two and two?\", \"answer\": \"2+2=<<2+2=4>>4\\n#### 4\"}\n";
    let math = r#"{"problem": "What is $1+1$?", "level": "Level 1", "type": "Algebra", "solution": "It is $\\boxed{2}$."}"#;
    vec![one("rows.jsonl", all), one("rows.jsonl", gsm8k), one("rows.jsonl", math)]
}

pub fn json_seeds() -> Vec<Case> {
    vec![one("rows.json", format!("[{}]", ROWS.join(",\n"))), one("rows.json", ROWS.map(|row| format!("{row}\n")).concat())]
}

pub fn csv_seeds() -> Vec<Case> {
    let head = "question,answer,solution,level,prompt,completion,chosen,rejected\n";
    let rows = "12/3?,4,\"3*4=12\n#### 4\",2,a,b,c,d\n\"a \"\"quoted\"\" one, with a comma\",5,,1,p,q,r,s\n";
    vec![one("rows.csv", format!("{head}{rows}")), one("rows.csv", format!("\u{feff}{}", format!("{head}{rows}").replace('\n', "\r\n")))]
}

pub fn parquet_seeds() -> Vec<Case> {
    let names = [
        "plain",
        "delta",
        "gzip-v2",
        "snappy",
        "snappy-v2-pages",
        "zstd-pages",
        "brotli",
        "lz4",
        "empty-group",
        "types",
        "int96",
        "no-rows",
    ];
    let folder = root().join("crates/expo-core/tests/fixtures/tables");
    names.map(|name| one("rows.parquet", std::fs::read(folder.join(format!("{name}.parquet"))).expect("a fixture"))).into()
}

/// Accepted where one of the three readers accepts it; the error is the first one's.
pub fn rows(folder: &Path, case: &Case) -> Result<(), String> {
    write(folder, case);
    let path = folder.join(&case[0].0);
    let source = path.to_str().expect("a temporary folder's name is text").to_owned();
    let mut section = DataSection { train: source.as_str().into(), deduplicate: true, ..DataSection::default() };
    let golds = GoldCheck::of(&Config::default());
    let problems = message(load_problems(&section, &golds, Split::Train).map(drop));
    let documents = message(read_documents(&source, section.on_bad_row, Turns::All).map(drop));
    let preferences = message(read_preferences(&source, &section).map(drop));
    section.on_bad_row = OnBadRow::Skip;
    let skipped = message(load_problems(&section, &golds, Split::Train).map(drop));
    problems.or_else(|error| documents.or(preferences).or(skipped).map_err(|_| error))
}

pub fn config_seeds() -> Vec<Case> {
    let folder = root().join("configs");
    let names = ["exp-grpo-tiny", "dapo-tiny", "dpo-tiny", "star-tiny", "luffy-tiny", "exp-grpo-lora-tiny", "exp-grpo-smollm2-gsm8k"];
    let more = "\n[reward.external.judge]\ncommand = [\"cat\"]\ntimeout = 3\nweight = 0.5\n[watchdog]\nmax_ratio = 10.0\n";
    let case = |name: &str| {
        let text = std::fs::read_to_string(folder.join(format!("{name}.toml"))).expect("a configuration");
        vec![("run.toml".to_owned(), format!("{text}{more}").into_bytes()), ("set".to_owned(), b"train.seed=1".to_vec())]
    };
    names.map(case).into()
}

pub fn config(_: &Path, case: &Case) -> Result<(), String> {
    let config = message(Config::from_toml(&text(case, "run.toml"), "run.toml", &[text(case, "set")]))?;
    message(config.validate())
}
