//! What a template writes of a conversation in a run, for all that ask.

use std::sync::Arc;

use super::{ChatSettings, ChatTemplate, Conversation, MarkedRendering};
use crate::error::{Error, Result};
use crate::load::ModelFolder;

/// A model's chat template and tokenizer, and what of a run every rendering sees.
pub(super) struct Renderer {
    pub(super) folder: Arc<ModelFolder>,
    pub(super) settings: ChatSettings,
}

impl Renderer {
    /// The chat template. Errors: the model has none.
    pub(super) fn template(&self) -> Result<&ChatTemplate> {
        self.folder.chat()
    }

    /// A conversation as the template writes it, in which special tokens are the template's alone.
    pub(super) fn render(&self, conversation: &Conversation, add_generation_prompt: bool) -> Result<MarkedRendering> {
        let special = self.folder.tokenizer()?.special_tokens();
        self.template()?.render_marked(conversation, add_generation_prompt, &self.settings, special)
    }

    /// A finished conversation as the template writes it, special tokens or not.
    pub(super) fn written(&self, conversation: &Conversation) -> Result<String> {
        Ok(self.template()?.render_conversation(conversation, false, &self.settings)?.text)
    }

    /// An error of the template.
    pub(super) fn fault(&self, message: &str) -> Error {
        match self.template() {
            Ok(template) => Error::file(template.path(), message),
            Err(error) => error,
        }
    }
}

/// A character that is in no message of `conversation`, of those that are given to no text as mark.
pub(super) fn unused(conversation: &Conversation) -> char {
    unused_two(conversation)[0]
}

/// Two such characters.
pub(super) fn unused_two(conversation: &Conversation) -> [char; 2] {
    let text = serde_json::to_string(&conversation.messages).unwrap_or_default();
    let mut marks = ('\u{100010}'..='\u{10fffd}').filter(|mark| !text.contains(*mark));
    [marks.next(), marks.next()].map(|mark| mark.unwrap_or('\u{10fffd}'))
}
