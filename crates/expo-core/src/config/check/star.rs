//! Contradictions with recipe `star`.

use super::report::Report;
use crate::config::*;

pub(super) fn check(config: &Config, report: &mut Report) {
    if config.train.recipe != RecipeName::Star {
        return;
    }
    let exp = &config.exp;
    if report.wanted("exp.every", &["train.recipe"]) {
        let message = "set, but recipe star writes rationales at the start of each outer iteration; set star.every instead";
        report.add(&["exp.every", "train.recipe"], message.into());
    }
    for key in ["exp.questions", "exp.max_pass_rate"] {
        if report.wanted(key, &["train.recipe"]) {
            let message =
                "set, but recipe star shows the answer of the questions that have no right rollout that ended, and of no others; remove it";
            report.add(&[key, "train.recipe"], message.into());
        }
    }
    if exp.on_mismatch == OnMismatch::ReplaceAnswer {
        let message = "found \"replace_answer\", but recipe star keeps rationales that reach the answer by themselves; use \"drop\"";
        report.add(&["exp.on_mismatch", "train.recipe"], message.into());
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::problems;

    #[test]
    fn each_contradiction_is_found_and_located() {
        let cases = [
            ("[exp]\nevery = 1", "c.toml:4: exp.every: set, but recipe star"),
            (
                "[exp]\nquestions = \"all\"",
                "c.toml:4: exp.questions: set, but recipe star shows the answer of the questions that have no right rollout that ended",
            ),
            ("[exp]\non_mismatch = \"replace_answer\"", "c.toml:4: exp.on_mismatch: found \"replace_answer\", but recipe star"),
            ("[grpo]\nfilter_groups = true", "c.toml:4: grpo.filter_groups: set, but recipe star uses every question that is drawn"),
        ];
        for (text, expected) in cases {
            let found = problems(&format!("[train]\nrecipe = \"star\"\n{text}"));
            assert!(found.len() == 1 && found[0].starts_with(expected), "{text:?}: {found:#?}");
        }
        let fine = "[train]\nrecipe = \"star\"\n[rollout]\nnum_generations = 1\ntop_p = 0.9\n[star]\nevery = 3\nrestart_from = \"current\"";
        assert_eq!(problems(fine), Vec::<String>::new());
    }
}
