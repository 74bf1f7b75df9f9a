//! `expo-rl quickstart`: GRPO and ExP-GRPO from the same start on the model in the binary, and the difference.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::bail;
use expo_core::config::Config;
use expo_core::data::Problem;
use expo_core::data::generator::{self, Split};
use expo_core::eval::{Bootstrap, Estimate, Plan, estimate};
use expo_core::policy::cpu::CpuLm;
use expo_core::run::RunSummary;
use expo_lm::generate::SamplingParams;
use expo_lm::load::LoadedModel;
use serde_json::{Value, json};

use crate::output;
use crate::output::tell;
use crate::sampling::at_least_one;
use crate::session::{self, Evaluation};
use crate::table;
use crate::watch::{Ui, Watch};

/// Train GRPO and ExP-GRPO from the same start on the model in the binary, and show what each has learnt.
///
/// Needs no file and no network. Both arms train on the hardest level of the built-in division problems with the same number of steps,
/// problems and rehearsal documents; then held-out problems of every level are solved before and after. The two configurations are configs/grpo-tiny.toml and
/// configs/exp-grpo-tiny.toml.
#[derive(Debug, clap::Args)]
pub struct Quickstart {
    /// Write the results as JSON, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Seed of both arms and of the evaluation.
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Keep the two runs' folders here (DIR/grpo and DIR/exp-grpo).
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Training steps of each arm [default: as in the configurations].
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    steps: Option<usize>,
    /// Held-out problems of the hardest level (default: enough for a standard error of at most 0.03); a third as many of each other level.
    #[arg(long, value_name = "N", default_value_t = 288, value_parser = at_least_one)]
    problems: usize,
}

/// The two arms: name, configuration file in the repository, its content.
const ARMS: [(&str, &str, &str); 2] = [
    ("grpo", "configs/grpo-tiny.toml", include_str!("../../configs/grpo-tiny.toml")),
    ("exp-grpo", "configs/exp-grpo-tiny.toml", include_str!("../../configs/exp-grpo-tiny.toml")),
];

/// k of the reported pass@k.
const K: usize = 4;
/// Samples of each evaluated problem. More than k: the unbiased estimate's variance falls.
const SAMPLES: usize = 8;
/// The paper's evaluation temperature.
const TEMPERATURE: f64 = 0.7;
/// Levels of the built-in problems; the last is the one to train on.
const LEVELS: u32 = generator::LEVELS.len() as u32;

/// One trained arm.
struct Arm {
    summary: RunSummary,
    levels: Levels,
}

/// What a policy solves.
struct Levels {
    /// pass@4 of each level, easiest first.
    estimates: Vec<Estimate>,
    /// pass@4 of each problem of the hardest.
    hardest: Vec<f64>,
}

impl Quickstart {
    /// Trains both arms, evaluates, prints the table.
    pub fn run(self) -> anyhow::Result<()> {
        self.json.as_deref().map_or(Ok(()), output::check_writable)?;
        let taken = ARMS.iter().filter_map(|(name, ..)| Some(self.out.as_ref()?.join(name))).find(|folder| folder.exists());
        if let Some(folder) = taken {
            bail!("{}: exists already; choose another --out or remove it", folder.display());
        }
        let start = Instant::now();
        let mut overrides = vec![format!("train.seed={}", self.seed)];
        overrides.extend(self.steps.map(|steps| format!("train.steps={steps}")));
        let [grpo, exp_grpo] = ARMS.map(|(_, file, text)| Config::from_toml(text, file, &overrides));
        let (grpo, exp_grpo) = (grpo?, exp_grpo?);
        tell!(
            "Long division, hardest level, {} steps of {} problems with {} rollouts each; every figure is on held-out problems.",
            grpo.train.steps,
            grpo.train.prompts_per_step,
            grpo.rollout.num_generations
        );
        let problems = self.held_out()?;
        let before = evaluate("before training", &grpo, self.seed, &problems, session::load(&grpo)?)?;
        let grpo = self.arm(0, grpo, &problems)?;
        let exp_grpo = self.arm(1, exp_grpo, &problems)?;
        let results = Results { before, grpo, exp_grpo, seconds: start.elapsed().as_secs_f64() };
        write!(std::io::stdout().lock(), "\n{}", results.table())?;
        if let Some(path) = &self.json {
            let report = results.to_json(self.seed);
            output::write_atomically(path, |writer| Ok(writeln!(writer, "{report:#}")?))?;
        }
        Ok(())
    }

    /// The problems of all levels, easiest first.
    fn held_out(&self) -> anyhow::Result<Vec<Problem>> {
        let mut problems = vec![];
        for level in 1..=LEVELS {
            let count = if level == LEVELS { self.problems } else { self.problems.div_ceil(3) };
            problems.extend(generator::problems(&[level], count, self.seed, Split::HeldOut)?);
        }
        Ok(problems)
    }

    /// Trains and evaluates one arm.
    fn arm(&self, index: usize, mut config: Config, problems: &[Problem]) -> anyhow::Result<Arm> {
        let name = ARMS[index].0;
        let out = self.out.as_ref().map(|out| out.join(name));
        let events = out.as_ref().filter(|_| config.train.tensorboard).map(|out| out.join("tensorboard"));
        let data = session::read_data(&mut config)?;
        let mut trainer = session::trainer(config.clone(), data, out.as_deref())?;
        let mut watch = Watch::new(&format!("train {name}"), config.train.steps, Ui::Auto).with_events(events.as_deref());
        let summary = trainer.run(&mut watch)?;
        watch.finish(&format!("{} steps in {:.0} s", summary.steps, summary.seconds));
        let trained = LoadedModel { model: trainer.into_model()?, folder: session::load(&config)?.folder };
        Ok(Arm { summary, levels: evaluate(&format!("after {name}"), &config, config.train.seed, problems, trained)? })
    }
}

/// Solves the held-out problems.
fn evaluate(label: &str, config: &Config, seed: u64, problems: &[Problem], policy: LoadedModel) -> anyhow::Result<Levels> {
    let sampling = SamplingParams {
        temperature: TEMPERATURE as f32,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        max_new_tokens: config.rollout.max_new_tokens,
        stop_token_ids: policy.folder.eos_token_ids.clone(),
    };
    let LoadedModel { model, folder } = policy;
    let plan = Plan { samples: SAMPLES, sampling, seed };
    let solved = Evaluation { config, folder: Arc::new(folder), problems, plan }.run(
        label,
        &CpuLm::new(model, config.train.max_tokens_per_micro_batch),
        None,
    )?;
    let of_level = |level: u32| -> Vec<f64> {
        problems.iter().zip(&solved).filter(|(problem, _)| problem.level == Some(level)).map(|(_, solved)| solved.pass_at_k(K)).collect()
    };
    let estimates = (1..=LEVELS).map(|level| estimate(&of_level(level), &Bootstrap::default())).collect();
    Ok(Levels { estimates, hardest: of_level(LEVELS) })
}

/// Everything that is reported.
struct Results {
    before: Levels,
    grpo: Arm,
    exp_grpo: Arm,
    seconds: f64,
}

impl Results {
    /// The estimates of the level at `index`: before training, after GRPO, after ExP-GRPO.
    fn of_level(&self, index: usize) -> [&Estimate; 3] {
        [&self.before, &self.grpo.levels, &self.exp_grpo.levels].map(|levels| &levels.estimates[index])
    }

    fn table(&self) -> String {
        let cell = |e: &Estimate| format!("{:.3} ± {:.3}", e.mean, e.standard_error);
        let head = [&format!("pass@{K}"), "problems", "before", "after GRPO", "after ExP-GRPO"].map(|s: &str| s.to_owned());
        let mut rows: Vec<Vec<String>> = (0..LEVELS as usize)
            .map(|i| {
                let [before, grpo, exp_grpo] = self.of_level(i);
                vec![format!("level {}", i + 1), before.problems.to_string(), cell(before), cell(grpo), cell(exp_grpo)]
            })
            .collect();
        let arms = [&self.grpo.summary, &self.exp_grpo.summary];
        let mut cost = |name: &str, value: &dyn Fn(&RunSummary) -> String| {
            let [grpo, exp_grpo] = arms.map(value);
            rows.push(vec![name.to_owned(), String::new(), String::new(), grpo, exp_grpo]);
        };
        cost("training steps", &|s| s.steps.to_string());
        cost("training time", &|s| format!("{:.0} s", s.seconds));
        cost("tokens sampled", &|s| s.sampled_tokens.to_string());
        cost("tokens trained on", &|s| s.trained_tokens.to_string());
        let table = table::render(&head, &rows);
        let Estimate { mean: gain, standard_error: error, .. } = difference(&self.exp_grpo.levels.hardest, &self.grpo.levels.hardest);
        format!(
            "{table}\nTemperature {TEMPERATURE}, {SAMPLES} samples a problem, ± one standard error over problems. Both arms trained on level {LEVELS} from the same start.\n\
             ExP-GRPO minus GRPO on level {LEVELS}: {gain:+.3} ± {error:.3}. Total time {:.0} s.\n",
            self.seconds
        )
    }

    fn to_json(&self, seed: u64) -> Value {
        let levels = (0..LEVELS as usize).map(|i| {
            let [before, grpo, exp_grpo] = self.of_level(i);
            json!({
                "level": i + 1, "problems": before.problems, "before": before.mean, "grpo": grpo.mean, "exp_grpo": exp_grpo.mean,
                "standard_error": { "before": before.standard_error, "grpo": grpo.standard_error, "exp_grpo": exp_grpo.standard_error },
            })
        });
        let arm = |arm: &Arm| {
            let RunSummary { steps, seconds, sampled_tokens, trained_tokens, .. } = &arm.summary;
            json!({ "steps": steps, "seconds": seconds, "sampled_tokens": sampled_tokens, "trained_tokens": trained_tokens })
        };
        json!({
            "metric": format!("pass@{K}"),
            "temperature": TEMPERATURE,
            "samples": SAMPLES,
            "seed": seed,
            "levels": levels.collect::<Vec<_>>(),
            "arms": { "grpo": arm(&self.grpo), "exp_grpo": arm(&self.exp_grpo) },
            "seconds": self.seconds,
        })
    }
}

/// The mean difference of the same problems' figures.
fn difference(a: &[f64], b: &[f64]) -> Estimate {
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    estimate(&differences, &Bootstrap::default())
}
