//! Contradictions within `[reward]`.

use super::report::Report;
use crate::config::option::nearest;
use crate::config::{Config, ExternalRewardSection};
use crate::metrics::name::Name;
use crate::reward::name::RewardName;

pub(super) fn check(config: &Config, report: &mut Report) {
    let section = &config.reward;
    let built_in =
        [section.correctness, section.format, section.length, section.cosine, section.soft_overlong_punishment, section.answer_likelihood];
    if config.train.recipe.has_policy_gradient()
        && built_in.iter().chain(section.external.values().map(|e| &e.weight)).all(|weight| *weight == 0.0)
    {
        report.add(
            &["reward.correctness", "reward.format"],
            format!("every reward has weight 0, so recipe {} has nothing to learn from; set one above 0", config.train.recipe),
        );
    }
    lengths(config, report);
    if section.answer_likelihood == 0.0 && report.wanted("reward.answer_likelihood_form", &["reward.answer_likelihood"]) {
        let message = "set, but reward.answer_likelihood has weight 0; give that reward a weight, or remove the option";
        report.add(&["reward.answer_likelihood_form"], message.into());
    }
    gate(config, report);
    for (name, external) in &section.external {
        check_external(name, external, report);
    }
}

fn lengths(config: &Config, report: &mut Report) {
    let section = &config.reward;
    let users = [
        (section.cosine, "reward.cosine", &["min_value_wrong", "max_value_wrong", "min_value_correct", "max_value_correct", "max_len"][..]),
        (section.soft_overlong_punishment, "reward.soft_overlong_punishment", &["max_completion_len", "soft_punish_cache"]),
    ];
    for (weight, user, options) in users {
        let prefix = if user == "reward.cosine" { "reward.cosine_" } else { "reward." };
        for key in options.iter().map(|option| format!("{prefix}{option}")) {
            if weight == 0.0 && report.wanted(&key, &[user]) {
                report.add(&[&key], format!("set, but {user} has weight 0; give that reward a weight, or remove the option"));
            }
        }
    }
    if section.soft_overlong_punishment == 0.0 {
        return;
    }
    let longest = section.max_completion_len.unwrap_or(config.rollout.max_new_tokens);
    match section.soft_punish_cache {
        None => report.add(
            &["reward.soft_punish_cache", "reward.soft_overlong_punishment"],
            format!("unset, but reward.soft_overlong_punishment needs it; a fifth of the longest completion ({}) is DAPO's", longest / 5),
        ),
        Some(cache) if cache > longest => report.add(
            &["reward.soft_punish_cache", "reward.max_completion_len"],
            format!("found {cache}, but the longest completion has {longest} tokens; the punishment has to begin before it"),
        ),
        Some(_) => {}
    }
}

fn gate(config: &Config, report: &mut Report) {
    let section = &config.reward;
    // The likelihood of the answer asks no verifier: it goes with no gate of the verifier's.
    let own = RewardName::OWN;
    let verified = own.iter().filter(|name| !matches!(name, RewardName::Correctness | RewardName::AnswerLikelihood));
    let mut known: Vec<&str> = verified.map(RewardName::as_str).collect();
    known.extend(section.external.keys().map(String::as_str));
    for name in section.gate_on_correctness.iter().filter(|name| !known.contains(&name.as_str())) {
        let hint = nearest(name, known.iter().copied()).map_or_else(String::new, |near| format!(" (did you mean \"{near}\"?)"));
        let message = format!("found \"{name}\", expected names of rewards among {}{hint}", known.join(", "));
        report.add(&["reward.gate_on_correctness"], message);
    }
}

fn check_external(name: &str, external: &ExternalRewardSection, report: &mut Report) {
    let table = format!("reward.external.{name}");
    let keys = ["command", "url", "api_key_env", "weight", "timeout", "max_retries", "on_failure"].map(|key| format!("{table}.{key}"));
    // One that was given wrongly has been reported already.
    let is_named = !external.command.is_empty() || !external.url.is_empty() || report.given(&keys[0]);
    // The problem is named after the table, and located at the first of its options that was given.
    let mut about_table = |message: &str| {
        let names: Vec<&str> = std::iter::once(table.as_str()).chain(keys.iter().map(String::as_str)).collect();
        report.add(&names, message.to_owned());
    };
    let metric = format!("reward/{name}");
    let is_own = RewardName::OWN.iter().any(|own| own.as_str() == name);
    if is_own || Name::FIXED.iter().any(|taken| metric.as_str() == *taken) {
        about_table("the metrics have another reward/NAME of this name; choose another one");
    }
    if !is_named {
        about_table("neither `command` nor `url` is set; name the program or the endpoint that rewards");
    }
    if !external.command.is_empty() && !external.url.is_empty() {
        about_table("both `command` and `url` are set; remove one");
    }
    if !external.api_key_env.is_empty() && external.url.is_empty() {
        let message = "set, but there is no `url` to send a key to; a command reads its environment itself".to_owned();
        report.add(&[&keys[2]], message);
    }
    if !external.url.is_empty() {
        let rest = external.url.strip_prefix("http://").or_else(|| external.url.strip_prefix("https://"));
        match rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default()) {
            None | Some("") => report.add(&[&keys[1]], format!("found \"{}\", expected http://HOST:PORT/PATH or https://...", external.url)),
            Some(authority) if authority.contains('@') => report.add(
                &[&keys[1]],
                "holds a user name or key, which would be written into run.json; put a key into an environment variable and name that with `api_key_env`".to_owned(),
            ),
            Some(_) if external.url.contains(['?', '#']) => report.add(
                &[&keys[1]],
                "has a query or fragment (`?...`, `#...`), which would be written into run.json and reports with any key in it; put a key into an environment variable and name that with `api_key_env`".to_owned(),
            ),
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::problems;

    #[test]
    fn each_contradiction_is_found_and_located() {
        let cases = [
            ("[reward]\ncorrectness = 0", "c.toml:2: reward.correctness: every reward has weight 0"),
            (
                "[reward]\ncorrectness = 0\n[reward.external.x]\ncommand = [\"x\"]\nweight = 0",
                "c.toml:2: reward.correctness: every reward has weight 0",
            ),
            ("[reward]\ncosine_max_len = 100", "c.toml:2: reward.cosine_max_len: set, but reward.cosine has weight 0"),
            (
                "[reward]\nsoft_punish_cache = 10",
                "c.toml:2: reward.soft_punish_cache: set, but reward.soft_overlong_punishment has weight 0",
            ),
            ("[reward]\nsoft_overlong_punishment = 1", "c.toml:2: reward.soft_punish_cache: unset, but"),
            (
                "[reward]\nsoft_overlong_punishment = 1\nsoft_punish_cache = 300",
                "c.toml:3: reward.soft_punish_cache: found 300, but the longest completion has 256 tokens",
            ),
            (
                "[reward]\nformat = 1\ngate_on_correctness = [\"fromat\"]",
                "c.toml:3: reward.gate_on_correctness: found \"fromat\", expected names of rewards among format, length, cosine, \
                 soft_overlong_punishment (did you mean \"format\"?)",
            ),
            ("[reward]\nanswer_likelihood_form = \"mean_log_prob\"", "c.toml:2: reward.answer_likelihood_form: set, but"),
            (
                "[reward]\nanswer_likelihood = 1\ngate_on_correctness = [\"answer_likelihood\"]",
                "c.toml:3: reward.gate_on_correctness: found \"answer_likelihood\", expected names",
            ),
            ("[reward.external.answer_likelihood]\ncommand = [\"x\"]", "c.toml:2: reward.external.answer_likelihood: the metrics have"),
            ("[reward.external.x]\nweight = 2", "c.toml:2: reward.external.x: neither `command` nor `url` is set"),
            ("[reward.external.x]\ncommand = [\"x\"]\nurl = \"http://x\"", "c.toml:2: reward.external.x: both `command` and `url`"),
            ("[reward.external.mean]\ncommand = [\"x\"]", "c.toml:2: reward.external.mean: the metrics have another reward/NAME"),
            ("[reward.external.format]\ncommand = [\"x\"]", "c.toml:2: reward.external.format: the metrics have another"),
            ("[reward.external.x]\ncommand = [\"x\"]\napi_key_env = \"K\"", "c.toml:3: reward.external.x.api_key_env: set, but"),
            ("[reward.external.x]\nurl = \"ftp://x\"", "c.toml:2: reward.external.x.url: found \"ftp://x\", expected http://"),
            ("[reward.external.x]\nurl = \"https://me:secret@x/y\"", "c.toml:2: reward.external.x.url: holds a user name or key"),
            ("[reward.external.x]\nurl = \"https://x/y?key=secret\"", "c.toml:2: reward.external.x.url: has a query or fragment"),
            ("[reward.external.x]\nurl = \"https://x/y#secret\"", "c.toml:2: reward.external.x.url: has a query or fragment"),
        ];
        for (text, expected) in cases {
            let found = problems(text);
            assert!(found.len() == 1 && found[0].starts_with(expected), "{text:?}: {found:#?}");
            assert!(!found[0].contains("secret"));
        }
    }

    #[test]
    fn rewards_that_are_fine_pass() {
        for text in [
            "[reward]\ncorrectness = 0\n[reward.external.x]\ncommand = [\"x\"]\nweight = -0.5",
            "[reward]\ncorrectness = 0\nanswer_likelihood = 1\nanswer_likelihood_form = \"mean_log_prob\"",
            "[reward]\nsoft_overlong_punishment = 1\nsoft_punish_cache = 51\ncosine = 0.1\ncosine_max_len = 100\n\
             gate_on_correctness = [\"cosine\", \"x\"]\n[reward.external.x]\nurl = \"https://host:80/p\"\napi_key_env = \"KEY\"",
        ] {
            assert_eq!(problems(text), Vec::<String>::new(), "{text}");
        }
    }
}
