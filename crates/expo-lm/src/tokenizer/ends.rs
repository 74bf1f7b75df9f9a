//! Where the text of each token ends.

use super::Tokenizer;
use crate::error::Result;

/// So many tokens wait for the text that they belong to, more than a character has, before that is looked for ever more rarely.
const MOST_WAITING: usize = 16;

impl Tokenizer {
    /// The text of [`Tokenizer::decode`] and, for each of `ids`, the byte at which its text ends there. Ends never fall. A token in the middle of a character ends where the
    /// character does; one without a text ends where the text before it does. Errors: those of [`Tokenizer::decode`].
    pub fn decode_with_ends(&self, ids: &[u32], skip_special_tokens: bool) -> Result<(String, Vec<usize>)> {
        let text = self.decode(ids, skip_special_tokens)?;
        let mut ends = Vec::with_capacity(ids.len());
        // The text of a token is what it adds to that of the tokens before it, and how it begins can depend on the last of these. So a window of tokens is decoded:
        // `seen[from..placed]`, whose text is `before` and ends at byte `base`, and the tokens behind, until they are a text of whole characters that the whole has there.
        let mut seen: Vec<u32> = Vec::new();
        let (mut from, mut placed, mut base, mut before) = (0, 0, 0, String::new());
        let (mut end, mut limit) = (0, 2 * MOST_WAITING);
        // Tokens that can't be decoded by themselves wait for more.
        let decoded = |ids: &[u32]| self.decode(ids, skip_special_tokens).unwrap_or_default();
        for (i, id) in ids.iter().enumerate() {
            if skip_special_tokens && self.is_special(*id) {
                if ends.len() == i {
                    ends.push(end);
                }
                continue;
            }
            seen.push(*id);
            let waiting = seen.len() - placed;
            let found = if waiting <= MOST_WAITING {
                let now = decoded(&seen[from..]);
                now.strip_prefix(&before).filter(|added| text[base..].starts_with(added)).map(|added| base + added.len())
            } else if waiting == limit {
                limit *= 2;
                let now = decoded(&seen);
                (now.len() >= base && text.starts_with(&now)).then_some(now.len())
            } else {
                None
            };
            let Some(found) = found else { continue };
            end = found;
            // What begins a character may have looked like the U+FFFD of another.
            ends.iter_mut().rev().take_while(|of_token| **of_token > end).for_each(|of_token| *of_token = end);
            ends.resize(i + 1, end);
            if waiting >= MOST_WAITING || (end > base && !text[..end].ends_with('\u{fffd}')) {
                (from, placed, base, limit) = (seen.len() - waiting.min(MOST_WAITING), seen.len(), end, 2 * MOST_WAITING);
                before = decoded(&seen[from..]);
            }
        }
        ends.resize(ids.len(), text.len());
        if let Some(last) = ends.last_mut() {
            *last = text.len();
        }
        Ok((text, ends))
    }
}

/// How many leading tokens have a text that ends at or before byte `end` of the whole; `ends` are those of [`Tokenizer::decode_with_ends`]. A token across `end` is not among
/// them.
pub fn tokens_before(ends: &[usize], end: usize) -> usize {
    ends.partition_point(|of_token| *of_token <= end)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::tests::byte_level;
    use super::*;

    fn read(json: &str) -> Tokenizer {
        Tokenizer::from_bytes(json.as_bytes(), Path::new("tokenizer.json")).expect("a tokenizer")
    }

    /// One token a byte where the vocabulary has no character, and a mark for spaces, as sentencepiece has it; decoded as `decoder` says.
    fn sentencepiece(decoder: &Value) -> Tokenizer {
        let bytes = (0..=255u8).map(|byte| format!("<0x{byte:02X}>"));
        let pieces = ["\u{2581}", "a", "b", "\u{2581}a", "ab", "##b", "\u{e9}", ".", "", "b</w>", "\u{2581}\u{2581}"];
        let words: serde_json::Map<String, Value> =
            bytes.chain(pieces.map(str::to_owned)).enumerate().map(|(id, piece)| (piece, id.into())).collect();
        read(
            &json!({
                "version": "1.0", "truncation": null, "padding": null, "pre_tokenizer": null, "post_processor": null,
                "added_tokens": [{"id": words.len(), "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": true}],
                "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u{2581}"},
                    {"type": "Replace", "pattern": {"String": " "}, "content": "\u{2581}"}]},
                "decoder": decoder,
                "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null,
                    "fuse_unk": false, "byte_fallback": true, "vocab": words, "merges": ["\u{2581} a", "a b", "\u{2581} \u{2581}"]},
            })
            .to_string(),
        )
    }

    /// The one of Llama 2, which takes a space from the beginning and `stop` from the end.
    fn llama(stop: usize) -> Tokenizer {
        sentencepiece(&json!({"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "\u{2581}"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": stop}]}))
    }

    /// Tokenizers of every kind that is usual.
    fn tokenizers() -> Vec<Tokenizer> {
        vec![
            read(include_str!("../../../../assets/tiny/tokenizer.json")),
            read(include_str!("../../tests/fixtures/turns/tokenizer.json")),
            byte_level("[]"),
            llama(0),
            sentencepiece(&json!({"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always", "split": true})),
            sentencepiece(&json!({"type": "WordPiece", "prefix": "##", "cleanup": true})),
            sentencepiece(&json!({"type": "BPEDecoder", "suffix": "</w>"})),
            sentencepiece(&Value::Null),
        ]
    }

    #[test]
    fn a_character_of_several_tokens_ends_with_its_last() {
        let tokenizer = byte_level("[]");
        let ends = |ids: &[u32]| tokenizer.decode_with_ends(ids, true).unwrap().1;
        let ids = tokenizer.encode("x\u{1f600}#7", false).unwrap();
        assert_eq!(ends(&ids), [1, 5, 5, 5, 5, 6, 7]);
        // A special token has no text, nor ends it a character.
        assert_eq!(ends(&[257, 0x61, 257, 0xc3, 257, 0xa9, 257]), [0, 1, 1, 3, 3, 3, 3]);
        // What is no character is three bytes of U+FFFD.
        assert_eq!(ends(&[0x61, 0xff, 0x61, 0xe6, 0x9c]), [1, 4, 5, 8, 8]);
        assert_eq!(ends(&[]), [0; 0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn ends_are_those_of_the_texts_of_prefixes(text in r"[ab .#0-9\n\u{e9}\u{65e5}\u{1f600}\u{200d}\u{fffd}]{0,24}") {
            for tokenizer in tokenizers() {
                let ids = tokenizer.encode_plain(&text).unwrap();
                let (decoded, ends) = tokenizer.decode_with_ends(&ids, true).unwrap();
                prop_assert_eq!(&decoded, &tokenizer.decode(&ids, true).unwrap());
                let lengths: Vec<usize> = (0..=ids.len()).map(|count| tokenizer.decode(&ids[..count], true).unwrap().len()).collect();
                for end in (0..=decoded.len()).filter(|end| decoded.is_char_boundary(*end)) {
                    let most = lengths.iter().rposition(|length| *length <= end);
                    prop_assert_eq!(Some(tokens_before(&ends, end)), most, "{:?} {:?}", text, ends);
                }
            }
        }

        #[test]
        fn any_tokens_end_in_order_at_characters(places in prop::collection::vec(any::<prop::sample::Index>(), 0..60), skip: bool) {
            // The text of tokens alone ends otherwise than that of more where its end is taken from it.
            for tokenizer in tokenizers().into_iter().chain([llama(1)]) {
                let ids: Vec<u32> = places.iter().map(|place| place.index(tokenizer.id_bound() + 2) as u32).collect();
                // Some decoders refuse some tokens.
                let Ok(text) = tokenizer.decode(&ids, skip) else { continue };
                let (decoded, ends) = tokenizer.decode_with_ends(&ids, skip).unwrap();
                prop_assert_eq!(&decoded, &text);
                prop_assert_eq!(ends.len(), ids.len());
                prop_assert!(ends.is_sorted() && ends.iter().all(|end| text.is_char_boundary(*end)), "{:?}", ends);
                prop_assert_eq!(ends.last().copied().unwrap_or(0), text.len());
            }
        }
    }
}
