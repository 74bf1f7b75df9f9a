//! Supervised fine-tuning: cross-entropy on documents, alone or as the rehearsal term beside another recipe.

use super::document::EncodedDocument;
use super::loss::{LossKind, SequenceLoss};
use super::recipe::{Drawn, Recipe, Sources};
use super::sequence::{Origin, Sequence};
use super::term::Term;
use crate::config::Config;

/// Supervised fine-tuning.
///
/// - Drawn: documents.
/// - Scored: not at all.
/// - Loss: cross-entropy on the completions, mean over all completion tokens of the optimizer step.
pub struct Sft {
    documents: usize,
}

impl Sft {
    /// The recipe with `config`'s options.
    pub fn new(config: &Config) -> Self {
        Self { documents: config.rehearsal.documents_per_step }
    }
}

impl Recipe for Sft {
    fn sources(&self) -> Sources {
        Sources { documents: self.documents, ..Sources::default() }
    }

    fn sequences<'a>(&self, drawn: &'a Drawn, _beta_exp: f64) -> Vec<Sequence<'a>> {
        on_documents(&drawn.documents)
    }
}

/// Cross-entropy on the completions of `documents`, mean over all their tokens.
pub(crate) fn on_documents(documents: &[EncodedDocument]) -> Vec<Sequence<'_>> {
    let tokens: usize = documents.iter().map(EncodedDocument::trained_tokens).sum();
    documents.iter().map(|document| sequence(document, Term::Documents, 1.0, 1.0 / tokens.max(1) as f64)).collect()
}

/// The rehearsal term, against forgetting how to explain: cross-entropy on documents of the user's in every optimizer step, mean over
/// the tokens of a document, then over documents.
pub struct Rehearsal {
    weight: f64,
    documents: usize,
}

impl Rehearsal {
    /// The term as `config` has it; off when it names no data.
    pub fn new(config: &Config) -> Self {
        let documents = if config.rehearsal.data.is_empty() { 0 } else { config.rehearsal.documents_per_step };
        Self { weight: config.rehearsal.weight, documents }
    }

    /// Documents an optimizer step.
    pub fn documents(&self) -> usize {
        self.documents
    }

    /// The term's sequences.
    pub fn sequences<'a>(&self, documents: &'a [EncodedDocument]) -> impl Iterator<Item = Sequence<'a>> {
        let weight = self.weight;
        let wholes = documents.chunk_by(|_, next| next.continues);
        let count = wholes.clone().count() as f64;
        wholes.flat_map(move |whole| {
            let tokens: usize = whole.iter().map(EncodedDocument::trained_tokens).sum();
            whole.iter().map(move |document| sequence(document, Term::Rehearsal, weight, 1.0 / (tokens.max(1) as f64 * count)))
        })
    }
}

fn sequence(document: &EncodedDocument, term: Term, coefficient: f64, token_weight: f64) -> Sequence<'_> {
    Sequence {
        origin: Origin::Document,
        trained: &document.trained,
        losses: vec![SequenceLoss { term, coefficient, token_weight, kind: LossKind::CrossEntropy }],
        ..Sequence::measured(&document.prompt, &document.completion, 1.0)
    }
}
