//! The files of a model's folder that are kept beside its weights.

/// Files beside the weights that are kept and written back unchanged.
pub(crate) const SIDE_FILES: [&str; 11] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
    "generation_config.json",
    "LICENSE",
    "LICENSE.txt",
];

/// The folder in which transformers 5 keeps named templates.
pub(crate) const NAMED_TEMPLATES: &str = "additional_chat_templates/";

/// Whether the file `name` of a model's folder is one of these.
pub(crate) fn is_side_file(name: &str) -> bool {
    SIDE_FILES.contains(&name) || (name.starts_with(NAMED_TEMPLATES) && name.ends_with(".jinja"))
}
