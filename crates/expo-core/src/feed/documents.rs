//! The supervised documents of SFT and rehearsal, drawn one after the other.

use std::collections::BTreeSet;

use expo_lm::chat::FieldCheck;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data::{Bad, BadRows, Document};
use crate::error::{Error, Result};
use crate::feed::order::Order;
use crate::objective::EncodedDocument;
use crate::prompt::Encoded;
use crate::resume::{Resumable, from_state, to_state};
use crate::rollout::seed::Purpose;
use crate::task::{Task, exceeds};

/// Where documents come from.
pub enum Documents {
    /// An endless stream, such as a generator; the function makes it, always the same.
    Stream(Box<dyn Fn() -> Stream + Send>),
    /// A data set: every document once a pass, in an order shuffled anew for each pass.
    List(Vec<Document>),
}

/// Documents one after the other.
pub type Stream = Box<dyn Iterator<Item = Document> + Send>;

/// So many documents of a stream are tried for one that fits the context.
const PATIENCE: usize = 1000;

/// Documents as tokens, in the run's order.
pub struct DocumentFeed {
    source: Source,
    position: usize,
    context: usize,
    /// Documents left out because they exceed the context.
    pub too_long: usize,
}

/// Documents with what says which comes next.
enum Source {
    /// What makes the stream, and one at the feed's position.
    Stream {
        make: Box<dyn Fn() -> Stream + Send>,
        stream: Stream,
    },
    List {
        documents: Vec<Document>,
        order: Order,
    },
}

impl DocumentFeed {
    /// Feeds `documents` to a model with a context of `context` tokens.
    pub fn new(documents: Documents, context: usize, run_seed: u64) -> Result<Self> {
        let source = match documents {
            Documents::Stream(make) => Source::Stream { stream: make(), make },
            Documents::List(list) if list.is_empty() => {
                return Err(Error::Data("rehearsal.data: the file holds no document; expected rows with `prompt` and `completion`".into()));
            }
            Documents::List(documents) => {
                Source::List { order: Order::new(documents.len(), true, run_seed, Purpose::Documents), documents }
            }
        };
        Ok(Self { source, position: 0, context, too_long: 0 })
    }

    /// The next `count` documents. Errors: so many in a row exceed the context that none can be expected to fit.
    pub fn draw(&mut self, task: &dyn Task, count: usize) -> Result<Vec<EncodedDocument>> {
        let mut drawn = Vec::with_capacity(count);
        let (mut documents, mut misses) = (0, 0);
        while documents < count {
            let document = self.next()?;
            if !exceeds(document.conversation.bytes(), self.context) {
                let Encoded { sequences, .. } = task.document(&document).map_err(|error| named(&document, error))?;
                if sequences.iter().all(|sequence| sequence.len() <= self.context) {
                    drawn.extend(sequences);
                    (documents, misses) = (documents + 1, 0);
                    continue;
                }
            }
            self.too_long += 1;
            misses += 1;
            let patience = match &self.source {
                Source::Stream { .. } => PATIENCE,
                Source::List { documents, .. } => documents.len(),
            };
            if misses >= patience {
                return Err(Error::TooLong(format!(
                    "rehearsal.data: no document fits the model's context of {} tokens ({misses} tried); shorten the documents",
                    self.context
                )));
            }
        }
        Ok(drawn)
    }

    /// The most documents that can have been taken for `wanted` of them, where those are passed over one by one when a run goes on.
    pub fn most_taken(&self, wanted: usize) -> usize {
        match self.source {
            Source::Stream { .. } => wanted.saturating_mul(PATIENCE),
            Source::List { .. } => usize::MAX,
        }
    }

    fn next(&mut self) -> Result<Document> {
        self.position += 1;
        match &mut self.source {
            Source::List { documents, order } => Ok(documents[order.at(self.position - 1)].clone()),
            Source::Stream { stream, .. } => {
                stream.next().ok_or_else(|| Error::Data("rehearsal.data: the stream of documents ended".into()))
            }
        }
    }
}

fn named(document: &Document, error: Error) -> Error {
    if document.id.is_empty() { error } else { Error::row(&document.id, error) }
}

/// Documents that can be used, and what to tell of them.
#[derive(Debug, Default)]
pub struct Sifted {
    /// The documents.
    pub documents: Vec<Document>,
    /// Each once.
    pub notices: Vec<String>,
}

/// Those of a data set's `documents` that can be trained on as the chat template writes them; the others are refused, or counted in `bad`. What exceeds a context of
/// `context` tokens by far is not looked at.
pub fn sift(documents: Vec<Document>, task: &dyn Task, context: usize, bad: &mut BadRows) -> Result<Sifted> {
    let check = |document: &Document| match exceeds(document.conversation.bytes(), context) {
        true => Ok(BTreeSet::new()),
        false => task.document(document).map(|encoded| encoded.notices),
    };
    let checked: Vec<Result<BTreeSet<String>>> = documents.par_iter().map(check).collect();
    let (mut sifted, mut notices, mut fields) = (Sifted::default(), BTreeSet::new(), FieldCheck::default());
    for (document, checked) in documents.into_iter().zip(checked) {
        let checked = checked.map_err(|error| Bad::Row(named(&document, error)));
        if let Some(told) = bad.sift(checked)? {
            notices.extend(told);
            task.look_at_fields(&document.conversation, &mut fields)?;
            sifted.documents.push(document);
        }
    }
    sifted.notices = notices.into_iter().chain(fields.notice()).collect();
    match bad.notice() {
        Some(notice) if sifted.documents.is_empty() => Err(Error::Data(format!("no document can be used; {notice}"))),
        _ => Ok(sifted),
    }
}

/// What a checkpoint holds of documents: how many were taken.
#[derive(Serialize, Deserialize)]
struct Taken {
    position: usize,
    too_long: usize,
}

/// A stream is made anew, and what was taken is passed over.
impl Resumable for DocumentFeed {
    fn state(&self) -> Result<Value> {
        // The order, and where the stream stands, are functions of the position.
        let Self { source: _, position, context: _, too_long } = self;
        to_state(&Taken { position: *position, too_long: *too_long })
    }
    fn restore(&mut self, state: Value) -> Result<()> {
        let Taken { position, too_long } = from_state(state)?;
        if let Source::Stream { make, stream } = &mut self.source {
            let mut anew = make();
            if position > 0 && anew.nth(position - 1).is_none() {
                return Err(Error::Data(format!("rehearsal.data: the stream of documents ended before number {position}")));
            }
            *stream = anew;
        }
        (self.position, self.too_long) = (position, too_long);
        Ok(())
    }
}
