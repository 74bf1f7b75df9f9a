//! Foreign text and long lists, for messages.

/// How many of many things a message tells.
const TOLD: usize = 20;

/// How many characters of foreign text a message shows.
const SHOWN: usize = 60;

/// A list for a message: the first ones, and how many more there are.
pub fn first_of(mut items: impl Iterator<Item = String>) -> String {
    let first: Vec<String> = items.by_ref().take(TOLD).collect();
    match (first.len(), items.count()) {
        (0, _) => "none".to_owned(),
        (_, 0) => first.join(", "),
        (_, more) => format!("{} and {more} more", first.join(", ")),
    }
}

/// Foreign text for a message: on one line, not too long, and without what would change how the rest is shown.
pub fn shown(text: &str) -> String {
    let mut shown = String::new();
    for (i, c) in text.chars().enumerate() {
        match c {
            _ if i == SHOWN => return shown + "...",
            c if is_hidden(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// Whether a character is a control character, or changes the direction in which others are shown.
pub fn is_hidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
