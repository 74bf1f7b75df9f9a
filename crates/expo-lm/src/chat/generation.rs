//! `{% generation %}` of transformers' templates: which text the assistant writes.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use minijinja::value::{Kwargs, Object, from_args};
use minijinja::{Error, OutputSpan, OutputSpanKind, State, Template, Value as JinjaValue};
use serde_json::{Map, Value};

use super::syntax::GENERATION;

/// A rendered conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rendering {
    pub(crate) text: String,
    /// What each `{% generation %}` block wrote, in bytes of the text, without those that wrote nothing. None where a block's text went elsewhere first, into
    /// a variable, a macro or another block, so that its place in the whole isn't known.
    pub(crate) generated: Option<Vec<Range<usize>>>,
}

/// Renders a template that [`super::syntax::translate`] wrote.
pub(super) fn render(template: &Template, context: Map<String, Value>) -> Result<Rendering, Error> {
    let blocks = Arc::new(Blocks::default());
    let variables = context.into_iter().map(|(name, value)| (name, JinjaValue::from(minijinja::value::Serde(value))));
    let tracked = std::iter::once((GENERATION.to_owned(), JinjaValue::from_dyn_object(Arc::clone(&blocks))));
    let (text, spans) = template.render_with_spans(JinjaValue::from_pairs(variables.chain(tracked)))?;
    // MiniJinja tells of what was written straight to the output which expression wrote it.
    let is_block = |span: &&OutputSpan| {
        span.kind() == OutputSpanKind::Expression
            && template.source().get(span.source_range()).is_some_and(|source| source.starts_with(GENERATION))
    };
    let generated: Vec<Range<usize>> = spans.iter().filter(is_block).map(OutputSpan::output_range).collect();
    let complete = generated.len() == blocks.written.load(Ordering::Relaxed);
    Ok(Rendering { text, generated: complete.then_some(generated) })
}

/// The function that generation blocks call: it writes what their body writes.
#[derive(Default)]
struct Blocks {
    /// How many wrote something.
    written: AtomicUsize,
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("generation")
    }
}

impl Object for Blocks {
    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, args: &[JinjaValue]) -> Result<JinjaValue, Error> {
        let (options,): (Kwargs,) = from_args(args)?;
        let text = options.get::<JinjaValue>("caller")?.call(state, &[])?;
        options.assert_all_used()?;
        if text.is_true() {
            self.written.fetch_add(1, Ordering::Relaxed);
        }
        Ok(text)
    }
}
