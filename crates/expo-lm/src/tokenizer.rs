//! Text to token ids and back, through the `tokenizers` crate and a model's `tokenizer.json`.

pub(crate) mod added;
mod ends;
pub(crate) mod vocab_merges;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tokenizers::{Encoding, Model as _, OffsetType, PreTokenizer as _};

use crate::error::{Error, Result};
use crate::foreign;
use crate::marked::{MarkedText, SpecialTokens};
use added::SideTokens;
pub use ends::tokens_before;

/// What is said where the tokenizers' crate panics.
const INCONSISTENT: &str = "a part of it is not of a form that is known, or does not fit the others; download the model again";

/// Longest text of an added token, in bytes. What is done for each takes time and memory that grow with the square of it. Published ones have less than 100.
const MOST_ADDED: usize = 256;

/// Errors: an added token in `json` is too long. What else may be wrong is left to the tokenizers' crate.
fn check_added_tokens(json: &[u8]) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Part {
        #[serde(default)]
        added_tokens: Vec<Added>,
    }
    #[derive(Deserialize)]
    struct Added {
        content: String,
    }
    let Ok(part) = serde_json::from_slice::<Part>(json) else { return Ok(()) };
    let Some(long) = part.added_tokens.iter().map(|token| &token.content).find(|content| content.len() > MOST_ADDED) else { return Ok(()) };
    let begin: String = long.chars().take(20).collect();
    Err(format!("an added token has {} bytes (it begins with {begin:?}); expected at most {MOST_ADDED}", long.len()))
}

/// A model's tokenizer.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    special: SpecialTokens,
    special_ids: HashSet<u32>,
    path: PathBuf,
    /// One more than the largest id.
    id_bound: usize,
    /// What other files name, to say where a token comes from.
    beside: SideTokens,
}

impl Tokenizer {
    /// Reads `json`, the content of the `tokenizer.json` at `path` (used in messages only).
    pub fn from_bytes(json: &[u8], path: &Path) -> Result<Self> {
        Ok(Self::with_tokens(json, path, SideTokens::default(), usize::MAX)?.0)
    }

    /// The same with the tokens that other files name, for a model with `vocab_size` ids; and what is to be told.
    pub(crate) fn with_tokens(json: &[u8], path: &Path, beside: SideTokens, vocab_size: usize) -> Result<(Self, Vec<String>)> {
        // The crate panics on some files that are JSON, but not what it expects (a decoder that is no object, a damaged map of characters).
        let fail = |reason: String| Error::file(path, format!("can't be read as a tokenizer: {reason}"));
        check_added_tokens(json).map_err(|message| Error::file(path, message))?;
        let json = &*beside.without_rowless(json, vocab_size);
        let read = foreign::guard(|| tokenizers::Tokenizer::from_bytes(json));
        let mut inner = read.ok_or_else(|| fail(INCONSISTENT.to_owned()))?.map_err(|e| fail(e.to_string()))?;
        // Some files keep the padding and truncation of a training run; here every text is encoded whole.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| Error::file(path, format!("can't be read as a tokenizer: {e}")))?;
        let added = foreign::guard(|| beside.add(&mut inner, vocab_size));
        let notices = added.ok_or_else(|| fail(INCONSISTENT.to_owned()))?.map_err(|message| Error::file(path, message))?;
        let id_bound = added::id_bound(&inner);
        let added = inner.get_added_tokens_decoder().into_iter();
        let mut special: Vec<(u32, String)> =
            added.filter(|(_, token)| token.special && !token.content.is_empty()).map(|(id, token)| (id, token.content)).collect();
        special.sort_unstable();
        let (special_ids, special): (_, Vec<String>) = special.into_iter().unzip();
        Ok((Self { inner, special: SpecialTokens::new(special)?, special_ids, path: path.to_owned(), id_bound, beside }, notices))
    }

    /// Token ids of `text`. Special tokens written out in the text become their ids either way; `add_special_tokens` says whether the
    /// tokenizer adds its own around it (a BOS). For text whose writer may write them; all other is for [`Self::encode_plain`].
    pub fn encode(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>> {
        let encoding = foreign::guard(|| self.inner.encode_fast(text, add_special_tokens));
        let encoding = encoding.ok_or_else(|| self.cant_encode(text, INCONSISTENT))?.map_err(|e| self.cant_encode(text, e))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Token ids of `text`, in which special tokens written out are text like any other; no token is added.
    pub fn encode_plain(&self, text: &str) -> Result<Vec<u32>> {
        if self.special.first_in(text).is_none() {
            return self.encode(text, false);
        }
        self.encode_marked(&MarkedText::plain(text, &self.special))
    }

    /// Token ids of `text`, in which special tokens written out are such where no mark is inside; no token is added. Errors: the vocabulary's other tokens
    /// have the text of a special one only as a whole.
    pub fn encode_marked(&self, text: &MarkedText) -> Result<Vec<u32>> {
        match text.has_marks() {
            true => Ok(self.encode_with_offsets(text)?.into_iter().map(|(id, _)| id).collect()),
            false => self.encode(text.text(), false),
        }
    }

    /// The same with each token's place in the text, in bytes.
    pub fn encode_with_offsets(&self, text: &MarkedText) -> Result<Vec<(u32, (usize, usize))>> {
        let Some((marked, mark)) = text.with_marks()? else {
            let encoding = foreign::guard(|| self.inner.encode(text.text(), false));
            let encoding =
                encoding.ok_or_else(|| self.cant_encode(text.text(), INCONSISTENT))?.map_err(|e| self.cant_encode(text.text(), e))?;
            return Ok(encoding.get_ids().iter().copied().zip(encoding.get_offsets().iter().copied()).collect());
        };
        let encoding = foreign::guard(|| self.encode_without(&marked, mark));
        let fail = |reason: &dyn std::fmt::Display| self.cant_encode(text.text(), reason);
        let encoding = encoding.ok_or_else(|| fail(&INCONSISTENT))?.map_err(|e| fail(&e))?;
        let marks: Vec<usize> = marked.match_indices(mark).map(|(place, _)| place).collect();
        for ((id, token), (start, end)) in encoding.get_ids().iter().zip(encoding.get_tokens()).zip(encoding.get_offsets()) {
            let next = marks.get(marks.partition_point(|mark| mark <= start));
            if self.special_ids.contains(id) && next.is_some_and(|place| place + mark.len_utf8() < *end) {
                let message = format!(
                    "can't encode the text `{token}` as text: the vocabulary has it only as a special token; remove it from the text"
                );
                return Err(Error::file(&self.path, message));
            }
        }
        let unmarked = |place: usize| place - marks.partition_point(|mark| *mark < place) * mark.len_utf8();
        let offsets = encoding.get_offsets().iter().map(|(start, end)| (unmarked(*start), unmarked(*end)));
        Ok(encoding.get_ids().iter().copied().zip(offsets).collect())
    }

    /// The stages of encoding, with `mark` in the text only while special tokens are looked for.
    fn encode_without(&self, marked: &str, mark: char) -> tokenizers::Result<Encoding> {
        let mut pieces = self.inner.get_added_vocabulary().extract_and_normalize(self.inner.get_normalizer(), marked);
        pieces.normalize(|piece| {
            piece.filter(|c| c != mark);
            Ok(())
        })?;
        if let Some(pre_tokenizer) = self.inner.get_pre_tokenizer() {
            pre_tokenizer.pre_tokenize(&mut pieces)?;
        }
        pieces.tokenize(|piece| self.inner.get_model().tokenize(piece.get()))?;
        pieces.into_encoding(None, 0, OffsetType::Byte)
    }

    fn cant_encode(&self, text: &str, reason: impl std::fmt::Display) -> Error {
        Error::file(&self.path, format!("can't encode a text of {} bytes: {reason}", text.len()))
    }

    /// The strings that [`Self::encode`] takes for special tokens.
    pub fn special_tokens(&self) -> &SpecialTokens {
        &self.special
    }

    /// Text of `ids`; special tokens are left out if `skip_special_tokens`. Bytes that aren't UTF-8 become U+FFFD.
    pub fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String> {
        let fail = |reason: String| Error::file(&self.path, format!("can't decode {} tokens: {reason}", ids.len()));
        let decoded = foreign::guard(|| self.inner.decode(ids, skip_special_tokens));
        decoded.ok_or_else(|| fail(INCONSISTENT.to_owned()))?.map_err(|e| fail(e.to_string()))
    }

    /// Whether `id` is one of the vocabulary's special tokens.
    pub fn is_special(&self, id: u32) -> bool {
        self.special_ids.contains(&id)
    }

    /// The id of a token, special ones included.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The token of an id, as it stands in the vocabulary.
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// One more than the largest id that encoding can give.
    pub fn id_bound(&self) -> usize {
        self.id_bound
    }

    /// Puts special tokens around texts as `processor` says, a post-processor of `tokenizer.json`.
    pub(crate) fn set_post_processor(&mut self, processor: serde_json::Value) -> Result<()> {
        let processor = serde_json::from_value(processor)
            .map_err(|e| Error::file(&self.path, format!("can't put special tokens around texts: {e}")))?;
        self.inner.with_post_processor(Some::<tokenizers::PostProcessorWrapper>(processor));
        Ok(())
    }

    /// Refuses a model whose embedding has no row for some of this tokenizer's ids.
    pub fn check_vocab_size(&self, vocab_size: usize) -> Result<()> {
        if self.id_bound <= vocab_size {
            return Ok(());
        }
        let id = (self.id_bound - 1) as u32;
        let token: String = self.id_to_token(id).unwrap_or_default().chars().take(100).collect();
        let from = self.beside.origin(&token).map_or_else(String::new, |from| format!(" (named by {from})"));
        let message = format!(
            "does not fit the model: token {token:?} has id {id}{from}, but config.json has `vocab_size` = {vocab_size}; \
             use the tokenizer that the model was trained with"
        );
        Err(Error::file(&self.path, message))
    }

    /// Decodes a sequence as it grows.
    pub fn stream(&self, skip_special_tokens: bool) -> DecodeStream<'_> {
        DecodeStream { tokenizer: self, skip_special_tokens, ids: Vec::new(), context: 0, emitted: 0 }
    }
}

/// Text of a growing token sequence, given out in pieces that never cut a character. The pieces and the end of
/// [`DecodeStream::finish`] together are what [`Tokenizer::decode`] makes of all ids.
pub struct DecodeStream<'a> {
    tokenizer: &'a Tokenizer,
    skip_special_tokens: bool,
    ids: Vec<u32>,
    /// Where decoding starts: some tokens before `emitted`, since a token's text can depend on the one before it.
    context: usize,
    /// Tokens whose text has been given out.
    emitted: usize,
}

impl DecodeStream<'_> {
    /// Takes the next id; returns the text that has become certain (often empty while a character's bytes are incomplete).
    pub fn push(&mut self, id: u32) -> Result<String> {
        self.ids.push(id);
        self.advance(false)
    }

    /// What is left at the end of the sequence: incomplete bytes as U+FFFD.
    pub fn finish(mut self) -> Result<String> {
        self.advance(true)
    }

    fn advance(&mut self, all: bool) -> Result<String> {
        let before = self.tokenizer.decode(&self.ids[self.context..self.emitted], self.skip_special_tokens)?;
        let now = self.tokenizer.decode(&self.ids[self.context..], self.skip_special_tokens)?;
        if !all && now.ends_with('\u{fffd}') {
            return Ok(String::new());
        }
        let Some(new) = now.strip_prefix(before.as_str()) else { return Ok(String::new()) };
        let new = new.to_owned();
        if !new.is_empty() {
            self.context = self.emitted;
            self.emitted = self.ids.len();
        }
        Ok(new)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A byte-level BPE tokenizer over all bytes, with one merge (in either spelling) and one special token.
    pub(crate) fn byte_level(merges: &str) -> Tokenizer {
        // GPT-2's map from bytes to printable characters.
        let printable = |b: u8| (33..=126).contains(&b) || (161..=172).contains(&b) || b >= 174;
        let mut vocab = serde_json::Map::new();
        let mut shifted = 256u32;
        for byte in 0..=255u8 {
            let c = match printable(byte) {
                true => char::from(byte),
                false => {
                    shifted += 1;
                    char::from_u32(shifted - 1).expect("a character")
                }
            };
            vocab.insert(c.to_string(), u32::from(byte).into());
        }
        vocab.insert("ab".to_owned(), 256.into());
        let json = format!(
            r#"{{"version":"1.0","truncation":{{"direction":"Right","max_length":4,"strategy":"LongestFirst","stride":0}},"padding":null,
            "added_tokens":[{{"id":257,"content":"<|end|>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}}],
            "normalizer":null,"pre_tokenizer":{{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}},
            "post_processor":{{"type":"TemplateProcessing","single":[{{"SpecialToken":{{"id":"<|end|>","type_id":0}}}},{{"Sequence":{{"id":"A","type_id":0}}}}],
            "pair":[{{"Sequence":{{"id":"A","type_id":0}}}},{{"Sequence":{{"id":"B","type_id":1}}}}],"special_tokens":{{"<|end|>":{{"id":"<|end|>","ids":[257],"tokens":["<|end|>"]}}}}}},
            "decoder":{{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true}},
            "model":{{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,
            "vocab":{},"merges":{merges}}}}}"#,
            serde_json::Value::Object(vocab)
        );
        Tokenizer::from_bytes(json.as_bytes(), Path::new("tokenizer.json")).expect("tokenizer")
    }

    #[test]
    fn both_spellings_of_merges_and_no_truncation() {
        for merges in [r#"["a b"]"#, r#"[["a","b"]]"#] {
            let tokenizer = byte_level(merges);
            assert_eq!(tokenizer.encode("abab<|end|>cab", false).expect("encode"), [256, 256, 257, 99, 256]);
            assert_eq!(tokenizer.encode("ab", true).expect("encode"), [257, 256]);
            assert_eq!(tokenizer.decode(&[256, 257, 99], true).expect("decode"), "abc");
            assert_eq!(tokenizer.decode(&[256, 257], false).expect("decode"), "ab<|end|>");
        }
    }

    #[test]
    fn a_stream_never_cuts_a_character() {
        let tokenizer = byte_level("[]");
        let text = "h\u{e9}llo \u{1f600} \u{65e5}\u{672c} end";
        let mut stream = tokenizer.stream(true);
        let mut pieces = Vec::new();
        for id in tokenizer.encode(text, false).expect("encode") {
            pieces.push(stream.push(id).expect("push"));
        }
        pieces.push(stream.finish().expect("finish"));
        assert_eq!(pieces.concat(), text);
        assert!(pieces.iter().all(|p| !p.contains('\u{fffd}')), "{pieces:?}");
        // An incomplete character at the end is shown as such.
        let mut stream = tokenizer.stream(true);
        assert_eq!(stream.push(0xe6).expect("push"), "");
        assert_eq!(stream.finish().expect("finish"), "\u{fffd}");
    }

    #[test]
    fn a_tokenizer_with_more_ids_than_the_model_is_refused() {
        let tokenizer = byte_level("[]");
        assert_eq!(tokenizer.id_bound(), 258);
        assert!(tokenizer.check_vocab_size(258).is_ok());
        let error = tokenizer.check_vocab_size(257).expect_err("too small").to_string();
        assert!(error.contains("\"<|end|>\" has id 257") && error.contains("`vocab_size` = 257"), "{error}");
    }

    #[test]
    fn a_broken_file_is_named() {
        let error = Tokenizer::from_bytes(b"{}", Path::new("m/tokenizer.json")).err().expect("broken").to_string();
        assert!(error.starts_with("m/tokenizer.json: can't be read as a tokenizer"), "{error}");
    }
}
