//! Contradictions with recipe `luffy`.

use super::report::Report;
use crate::config::*;

pub(super) fn check(config: &Config, report: &mut Report) {
    if config.train.recipe != RecipeName::Luffy {
        return;
    }
    for key in ["exp.questions", "exp.max_pass_rate"] {
        if report.wanted(key, &["train.recipe"]) {
            report.add(&[key, "train.recipe"], "set, but recipe luffy gives every question its traces; remove it".into());
        }
    }
    if config.exp.hinted_kl_beta > 0.0 {
        let message = "set, but recipe luffy has no term on explanations with the answer shown; set it to 0, or use recipe exp-grpo";
        report.add(&["exp.hinted_kl_beta", "train.recipe"], message.into());
    }
    if config.grpo.use_kl_in_reward {
        let message =
            "set, but the traces of recipe luffy are no samples of the policy, whose KL they could estimate; use the KL in the loss";
        report.add(&["grpo.use_kl_in_reward", "train.recipe"], message.into());
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::problems;

    #[test]
    fn each_contradiction_is_found_and_located() {
        let cases = [
            ("[exp]\nquestions = \"failed_groups\"", "c.toml:4: exp.questions: set, but recipe luffy"),
            ("[exp]\nhinted_kl_beta = 0.1", "c.toml:4: exp.hinted_kl_beta: set, but recipe luffy"),
            ("[grpo]\nbeta = 0.1\nuse_kl_in_reward = true", "c.toml:5: grpo.use_kl_in_reward: set, but the traces of recipe luffy"),
            (
                "[luffy]\ntrace = \"explanation\"\n[exp]\nevery = 5\n[grpo]\nfilter_groups = true",
                "c.toml:6: exp.every: found 5, but with grpo.filter_groups",
            ),
        ];
        for (text, expected) in cases {
            let found = problems(&format!("[train]\nrecipe = \"luffy\"\n{text}"));
            assert!(found.len() == 1 && found[0].starts_with(expected), "{text:?}: {found:#?}");
        }
        let fine = "[train]\nrecipe = \"luffy\"\n[grpo]\nloss_type = \"dapo\"\nbeta = 0.1\nfilter_groups = true\n[exp]\nevery = 5";
        assert_eq!(problems(fine), Vec::<String>::new());
    }
}
