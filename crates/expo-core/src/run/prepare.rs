//! A run before its first step: everything that can be wrong with the data is found here.

use super::data::TrainData;
use super::evaluation::Evaluator;
use super::schedule;
use super::state::{RunSummary, State};
use super::watchdog::Watchdog;
use crate::config::{Config, ExplainedBy, OnMismatch, RestartFrom};
use crate::data::BadRows;
use crate::draw::build::{self, Feeds};
use crate::error::{Error, Result};
use crate::feed::documents::{self, DocumentFeed, Documents};
use crate::feed::preferences::{self, EncodedPreferences};
use crate::feed::problems::{self, Problems};
use crate::objective::recipe::{BatchSource, GroupSources, Sources};
use crate::objective::unread;
use crate::policy::Policy;
use crate::policy::policies::{Kept, Policies};
use crate::task::Task;

/// The state of a run at its beginning, and what to tell before the first step. Errors: data that the recipe can't use.
pub(crate) fn prepare(
    config: &Config,
    sources: Sources,
    policy: Box<dyn Policy>,
    task: &dyn Task,
    data: TrainData,
) -> Result<(State, Vec<String>)> {
    let context = policy.context();
    let groups = sources.groups();
    let wanted = groups.unwrap_or_default();
    // What every turn ends with is no matter of single rows.
    let writes_turns = sources.documents > 0 || sources.batch == BatchSource::PairsFromFiles || wanted.expert;
    let replaces_answers = wanted.explanations && config.exp.on_mismatch == OnMismatch::ReplaceAnswer;
    if writes_turns || replaces_answers {
        task.end_of_turn()?;
    }
    let mut told: Vec<String> = task.notice()?.into_iter().collect();
    let problems = match groups {
        Some(groups) => problems::prepare(config, task, groups, data.problems, context)?,
        None => Problems::default(),
    };
    let (documents, bad_documents) = document_feed(config, sources, task, data.documents, context, &mut told)?;
    let encoded = match sources.batch {
        BatchSource::PairsFromFiles => {
            preferences::encode(&config.data.train.to_string(), config.data.on_bad_row, task, &data.preferences, context)?
        }
        _ => EncodedPreferences::default(),
    };
    let summary = RunSummary {
        problems_too_long: problems.too_long,
        pairs_too_long: encoded.too_long,
        pairs_skipped: data.preferences_skipped + encoded.skipped,
        ..RunSummary::default()
    };
    let (evaluator, left_out) = Evaluator::new(config, task, policy.as_ref(), data.evaluation)?.unzip();
    let notices = [unread::notice(config, sources)]
        .into_iter()
        .flatten()
        .chain(policy.notices())
        .chain([problems.notice.clone(), bad_documents, encoded.notice].into_iter().flatten())
        .chain(told)
        .chain(encoded.told.into_iter().map(|notice| format!("{}: {notice}", config.data.train)))
        .chain(problems.told.clone())
        .chain(left_out.into_iter().flatten())
        .collect();
    let state = State {
        policies: Policies::new(policy, kept(config, sources, wanted))?,
        source: build::source(config, sources, Feeds { problems, sets: data.sets, pairs: encoded.pairs })?,
        documents,
        evaluator,
        watchdog: Watchdog::new(config.watchdog.clone()),
        optimizer_steps: 0,
        prepared: false,
        summary,
    };
    Ok((state, notices))
}

/// The documents of a run, as far as its recipe draws some, and what to tell of rows that can't be used. Errors: none are there.
fn document_feed(
    config: &Config,
    sources: Sources,
    task: &dyn Task,
    documents: Option<Documents>,
    context: usize,
    told: &mut Vec<String>,
) -> Result<(Option<DocumentFeed>, Option<String>)> {
    if sources.documents == 0 {
        return Ok((None, None));
    }
    let mut bad = BadRows::new(config.data.on_bad_row);
    let documents = match documents {
        Some(Documents::List(list)) => {
            let sifted = documents::sift(list, task, context, &mut bad)?;
            told.extend(sifted.notices.into_iter().map(|notice| format!("{}: {notice}", config.rehearsal.data)));
            Documents::List(sifted.documents)
        }
        Some(stream) => stream,
        None => return Err(Error::Unsuited(format!("recipe {} needs documents; name them with rehearsal.data", config.train.recipe))),
    };
    Ok((Some(DocumentFeed::new(documents, context, config.train.seed)?), bad.notice()))
}

/// Which weights a run keeps beside its policy.
fn kept(config: &Config, sources: Sources, wanted: GroupSources) -> Kept {
    let (grpo, dpo, exp) = (&config.grpo, &config.dpo, &config.exp);
    let are_compared = matches!(sources.batch, BatchSource::Groups(_));
    // Whether something in every step asks a reference policy: KL on rollouts, or preferences whose log-probabilities are not computed once.
    let (refers, moves, steps, alpha) = match sources.are_pairs() {
        true => (!dpo.precompute_ref_log_probs, dpo.sync_ref_model, dpo.ref_model_sync_steps, dpo.ref_model_mixup_alpha),
        false => (are_compared && grpo.beta > 0.0, grpo.sync_ref_model, grpo.ref_model_sync_steps, grpo.ref_model_mixup_alpha),
    };
    let reference = (refers && moves).then_some((steps, alpha));
    let explained_by = |writer: ExplainedBy| wanted.explanations && exp.explainer == writer && exp.every > 0;
    let returns = matches!(sources.batch, BatchSource::Rationales(_)) && config.star.restart_from == RestartFrom::Initial;
    let hinted_kl = are_compared && wanted.explanations && exp.hinted_kl_beta > 0.0;
    Kept {
        initial: refers && reference.is_none() || explained_by(ExplainedBy::Initial) || hinted_kl || returns,
        returns: matches!(sources.batch, BatchSource::Rationales(_)),
        reference,
        average: explained_by(ExplainedBy::Average).then_some(exp.average_decay),
        last_good: schedule::may_ruin(&config.optim),
    }
}
