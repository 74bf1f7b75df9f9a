//! `expo-rl train --dry-run`: what a run would do, before it does it.

use std::path::Path;

use expo_core::config::Config;
use expo_core::observe::Observer;
use expo_core::run::preview::{CompletionPreview, Preview, small};
use expo_core::run::{TrainData, Trainer};

use crate::output::tell;
use crate::session;

/// Trained sequences that are shown of each kind of term.
const SHOWN: usize = 1;
/// Characters of a text that are shown.
const LONGEST: usize = 1200;

/// Draws a small step of the run of `config`, passes over it, and tells what the run would be; nothing is written. `out` is the folder that it would have.
pub fn dry_run(config: &Config, data: TrainData, out: &Path) -> anyhow::Result<()> {
    let mut trainer: Trainer = session::trainer(small(config), data, None)?;
    let preview = trainer.preview(&mut Notices)?;
    show_prompts(&preview);
    show_completions(&preview);
    show_trained(&preview);
    show_lengths(config, &preview);
    show_forecast(config, &preview);
    tell!(
        "== files\n{}: model, checkpoints (every {} steps), metrics.jsonl, completions.jsonl, run.json",
        out.display(),
        config.train.save_every
    );
    tell!("nothing was written and nothing trained: this was --dry-run");
    Ok(())
}

/// Tells notices, and nothing else.
struct Notices;

impl Observer for Notices {
    fn on_notice(&mut self, _: usize, notice: &str) {
        tell!("note: {notice}");
    }
}

/// `text` as far as it is shown.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(LONGEST).collect();
    if shown.len() < text.len() {
        shown.push_str(" [...]");
    }
    shown
}

fn show_prompts(preview: &Preview) {
    for (i, prompt) in preview.prompts.iter().enumerate() {
        tell!("== prompt of {} ({} tokens; answer {})\n{}", prompt.id, prompt.tokens, prompt.answer, shown(&prompt.prompt));
        if let Some(explanation) = prompt.explanation.as_ref().filter(|_| i == 0) {
            tell!("== its explanation prompt, the answer shown\n{}", shown(explanation));
        }
    }
}

fn show_completions(preview: &Preview) {
    for wanted in [false, true] {
        for one in preview.completions.iter().filter(|one| one.is_explanation == wanted).take(2) {
            tell!("== {} of {}\n{}\n-> {}", if wanted { "explanation" } else { "completion" }, one.id, shown(&one.text), judged(one));
        }
    }
}

/// What is said of a completion's answer.
fn judged(one: &CompletionPreview) -> String {
    let answer = one.extracted.as_ref().map_or("no answer found".to_owned(), |answer| format!("answer {answer:?}"));
    let verdict = if one.correct { "right" } else { "wrong" };
    let reason = if one.reason.is_empty() { String::new() } else { format!(" ({})", one.reason) };
    let cut = if one.truncated { "; cut off by the length limit" } else { "" };
    let outcome = one.outcome.as_ref().map_or_else(String::new, |outcome| format!("; {outcome}"));
    format!("{answer}: {verdict}{reason}; {} tokens{cut}{outcome}", one.tokens)
}

fn show_trained(preview: &Preview) {
    let mut kinds: Vec<(&[&str], usize)> = Vec::new();
    for one in preview.trained.iter().filter(|one| !one.terms.is_empty()) {
        let place = match kinds.iter().position(|(terms, _)| *terms == one.terms) {
            Some(place) => place,
            None => {
                kinds.push((&one.terms, 0));
                kinds.len() - 1
            }
        };
        kinds[place].1 += 1;
        if kinds[place].1 > SHOWN {
            continue;
        }
        let completion: String = one.completion.iter().map(|(text, on)| if *on { format!("[[{text}]]") } else { text.clone() }).collect();
        tell!("== trained on by {} (in [[ ]]: what the loss is on)\n{}{}", one.terms.join(", "), shown(&one.prompt), shown(&completion));
    }
    if kinds.is_empty() {
        tell!("== trained on\nnothing of this small step: no completion differs from another in its reward, and none was kept");
    }
}

fn show_lengths(config: &Config, preview: &Preview) {
    let lengths = &preview.prompt_lengths;
    let at = |share: f64| lengths.get(((lengths.len() as f64 - 1.0) * share).round() as usize).copied().unwrap_or_default();
    if !lengths.is_empty() {
        tell!(
            "== lengths\n{} prompts of {} to {} tokens (median {}, 95% up to {}); completions up to rollout.max_new_tokens = {}; the model's context is {}",
            lengths.len(),
            at(0.0),
            at(1.0),
            at(0.5),
            at(0.95),
            config.rollout.max_new_tokens,
            preview.context
        );
    }
    let sampled: Vec<&CompletionPreview> = preview.completions.iter().filter(|one| !one.is_explanation).collect();
    let cut = sampled.iter().filter(|one| one.truncated).count();
    if cut * 2 >= sampled.len().max(1) {
        tell!("{cut} of {} completions are cut off: raise rollout.max_new_tokens, or ask for shorter answers", sampled.len());
    }
    let unanswered = sampled.iter().filter(|one| one.extracted.is_none()).count();
    if !sampled.is_empty() && unanswered == sampled.len() {
        tell!("no completion has an answer that is found: say in prompt.question how to give it, as prompt.answer_suffix writes it");
    }
}

fn show_forecast(config: &Config, preview: &Preview) {
    let samples = |is_explanation| preview.completions.iter().filter(|one| one.is_explanation == is_explanation).count().max(1) as f64;
    let train = &config.train;
    let questions = train.prompts_per_step as f64;
    let rollouts = preview.sampled[0] as f64 / samples(false) * questions * config.rollout.num_generations as f64;
    let explanations = preview.sampled[1] as f64 / samples(true) * questions * config.exp.num_explanations as f64;
    let tokens = preview.sampled.iter().sum::<usize>().max(1) as f64;
    let sampling = preview.sampling_seconds * (rollouts + explanations) / tokens;
    // As many tokens are trained on as are sampled, in proportion to this step.
    let training = preview.training_seconds * ((rollouts + explanations) / tokens).max(1.0) * train.num_iterations as f64;
    let step = sampling + training;
    tell!(
        "== forecast, by this small step: {} s a step ({} s sampling, {} s training), {} for {} steps; larger steps use the cores better, so that is rather too much",
        rounded(step),
        rounded(sampling),
        rounded(training),
        duration(step * train.steps as f64),
        train.steps
    );
    if let Some(peak) = peak_memory() {
        tell!("memory so far at most {:.2} GB; the optimizer's moments come to that", peak as f64 / 1e9);
    }
}

fn rounded(seconds: f64) -> String {
    if seconds < 10.0 { format!("{seconds:.1}") } else { format!("{seconds:.0}") }
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// The most memory that this process has had, in bytes; `None` where the system doesn't say.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}
