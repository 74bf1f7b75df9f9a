//! Well-known test sets: where they are on the hub, how their rows are read, and how their questions are usually asked.

/// One test set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preset {
    /// Name on the command line.
    pub name: &'static str,
    /// Its data set on the hub, used where no file is named.
    pub source: &'static str,
    /// How its rows are read, as overrides of a configuration.
    pub data: &'static [&'static str],
    /// How its questions are asked, likewise; a run's own configuration goes before it.
    pub prompt: &'static [&'static str],
    /// Longest completion in tokens, where nothing else is said.
    pub max_new_tokens: usize,
}

const BOXED: &[&str] = &[
    r#"prompt.question="{{question}}\n\nPlease reason step by step, and put your final answer within \\boxed{}.""#,
    r#"prompt.answer_suffix="\n\\boxed{ {{answer}} }""#,
];

const HASHES: &[&str] = &[
    r#"prompt.question="{{question}}\n\nReason step by step, then give the final answer alone on the last line, after '#### '.""#,
    r#"prompt.answer_suffix="\n#### {{answer}}""#,
];

/// Every preset.
pub const PRESETS: [Preset; 5] = [
    Preset {
        name: "gsm8k",
        source: "openai/gsm8k",
        data: &["data.config=main", "data.split=test", "data.format=gsm8k"],
        prompt: HASHES,
        max_new_tokens: 512,
    },
    Preset {
        name: "math",
        source: "DigitalLearningGmbH/MATH-lighteval",
        data: &["data.config=default", "data.split=test", "data.format=math"],
        prompt: BOXED,
        max_new_tokens: 2048,
    },
    Preset {
        name: "math-500",
        source: "HuggingFaceH4/MATH-500",
        data: &["data.split=test", "data.format=math"],
        prompt: BOXED,
        max_new_tokens: 2048,
    },
    Preset {
        name: "aime-2024",
        source: "HuggingFaceH4/aime_2024",
        data: &["data.split=train", "data.format=math"],
        prompt: BOXED,
        max_new_tokens: 8192,
    },
    Preset {
        name: "aime-2025",
        source: "yentinglin/aime_2025",
        data: &["data.split=train", "data.format=math"],
        prompt: BOXED,
        max_new_tokens: 8192,
    },
];

impl Preset {
    /// The preset called `name`.
    pub fn named(name: &str) -> Option<&'static Preset> {
        PRESETS.iter().find(|preset| preset.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::eval::load_evaluation_problems;
    use crate::prompt::Templates;

    /// A preset with the rows of its set.
    fn read(name: &str, row: &str) -> (crate::data::Problem, String) {
        let preset = Preset::named(name).unwrap();
        let overrides: Vec<String> = preset.data.iter().chain(preset.prompt).map(|text| (*text).to_owned()).collect();
        let config = Config::from_toml("", name, &overrides).unwrap_or_else(|e| panic!("{name}: {e}"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        std::fs::write(&path, format!("{row}\n")).unwrap();
        let problem = load_evaluation_problems(&config.data, &crate::data::GoldCheck::of(&config), path.to_str().unwrap(), 0)
            .unwrap()
            .problems
            .remove(0);
        let question = Templates::new(&config.prompt).unwrap().question(&problem).unwrap();
        (problem, question)
    }

    #[test]
    fn every_preset_reads_its_rows_and_asks_for_an_answer_that_is_found() {
        let rows = [
            ("gsm8k", r#"{"question": "Q", "answer": "so\n#### 1,072"}"#, "1072"),
            ("math", r#"{"problem": "Q", "level": "Level 5", "type": "Algebra", "solution": "so $\\boxed{7}$."}"#, "7"),
            ("math-500", r#"{"problem": "Q", "solution": "s", "answer": "7", "subject": "Algebra", "level": 5, "unique_id": "u"}"#, "7"),
            ("aime-2024", r#"{"id": 60, "problem": "Q", "solution": "s", "answer": "204", "url": "u", "year": "2024"}"#, "204"),
            ("aime-2025", r#"{"id": 0, "problem": "Q", "answer": "70", "solution": "s", "year": "2025"}"#, "70"),
        ];
        assert_eq!(rows.map(|(name, ..)| name), PRESETS.map(|preset| preset.name));
        for (name, row, answer) in rows {
            let (problem, question) = read(name, row);
            assert_eq!(problem.answer, answer, "{name}");
            assert!(question.starts_with("Q\n\n") && question.contains(if name == "gsm8k" { "#### " } else { "\\boxed{}" }), "{question}");
            assert_eq!(problem.level, name.starts_with("math").then_some(5), "{name}");
        }
    }
}
