//! Python's `strftime` for a moment in UTC, in the C locale.
//!
//! jiff formats; what C's library does otherwise (widths of words, modifiers, codes that it doesn't know) is done here. As transformers' `datetime.now()`, the
//! moment has no time zone: `%Z` and `%z` are empty.

use jiff::fmt::strtime::{BrokenDownTime, Config, PosixCustom};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use minijinja::{Error, ErrorKind};

/// Longest format.
const MOST_FORMAT: usize = 1000;

/// Largest width of a code.
const MOST_WIDTH: usize = 100;

/// Codes that are numbers, and those that are words; some of them jiff doesn't pad as C does.
const NUMBERS: &str = "CdegGHIjklmMsSuUVwWyY";
const WORDS: &str = "aAbBhpPnt%";
const DATES: &str = "cDFrRTxX";

/// Codes that C takes after the modifiers `E` and `O`, which change nothing in its locale.
const AFTER_E: &str = "cCnpPrRstTuxXyYzZ%";
const AFTER_O: &str = "bBCdegGhHIjklmMnpPrRsStTuUVwWyzZ%";

/// Formats `unix_seconds`. Errors: a format or width that is too long, a moment outside the calendar.
pub(super) fn format_utc(unix_seconds: i64, format: &str) -> Result<String, Error> {
    let fault = |message: String| Error::new(ErrorKind::InvalidOperation, format!("strftime_now: {message}"));
    if format.len() > MOST_FORMAT {
        return Err(fault(format!("a format of {} bytes; expected at most {MOST_FORMAT}", format.len())));
    }
    let timestamp = Timestamp::from_second(unix_seconds).map_err(|error| fault(error.to_string()))?;
    let moment = timestamp.to_zoned(TimeZone::UTC);
    let mut out = String::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let code = Code::read(&rest[at..]);
        let source = &rest[at..at + code.length];
        rest = &rest[at + code.length..];
        if code.width.unwrap_or(0) > MOST_WIDTH {
            return Err(fault(format!("`{source}` is wider than {MOST_WIDTH}")));
        }
        if code.is_known() {
            out += &code.format(&moment).map_err(|error| fault(format!("`{source}`: {error}")))?;
        } else if code.width.is_some() || code.flags.contains('^') {
            return Err(fault(format!("`{source}` is no code of C's; remove its flags, or escape it as `%{source}`")));
        } else {
            // C writes what it doesn't know as it is.
            out.push_str(source);
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// `%`, flags, a width, a modifier and a letter.
struct Code<'f> {
    flags: &'f str,
    width: Option<usize>,
    modifier: Option<char>,
    letter: Option<char>,
    length: usize,
}

impl<'f> Code<'f> {
    fn read(source: &'f str) -> Self {
        let rest = &source[1..];
        let flags = &rest[..rest.len() - rest.trim_start_matches(['-', '_', '0', '^', '#']).len()];
        let rest = &rest[flags.len()..];
        let digits = &rest[..rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len()];
        let rest = &rest[digits.len()..];
        let modifier = rest.chars().next().filter(|c| matches!(c, 'E' | 'O'));
        let letter = rest[modifier.map_or(0, char::len_utf8)..].chars().next();
        let width = (!digits.is_empty()).then(|| digits.parse().unwrap_or(usize::MAX));
        let length = 1 + flags.len() + digits.len() + modifier.map_or(0, char::len_utf8) + letter.map_or(0, char::len_utf8);
        Self { flags, width, modifier, letter, length }
    }

    fn is_known(&self) -> bool {
        let Some(letter) = self.letter else { return false };
        let plain = self.flags.is_empty() && self.width.is_none() && self.modifier.is_none();
        let accepted = match self.modifier {
            Some('E') => AFTER_E.contains(letter),
            Some(_) => AFTER_O.contains(letter),
            None => true,
        };
        accepted && ([NUMBERS, WORDS, DATES, "zZ"].iter().any(|letters| letters.contains(letter)) || (letter == 'f' && plain))
    }

    fn format(&self, moment: &Zoned) -> Result<String, jiff::Error> {
        let letter = self.letter.unwrap_or('%');
        let is_number = NUMBERS.contains(letter);
        let mut text = match letter {
            '%' => "%".to_owned(),
            'z' | 'Z' => String::new(),
            // The run's date has whole seconds.
            'f' => "000000".to_owned(),
            _ => {
                let is_ours = |flag: char| (flag == '#' && letter != 'p') || (letter == 'P' && matches!(flag, '^' | '#'));
                let flags: String = self.flags.chars().filter(|flag| !is_ours(*flag)).collect();
                let mut text = String::new();
                let config = Config::new().custom(PosixCustom::new());
                BrokenDownTime::from(moment).format_with_config(&config, format!("%{flags}{letter}"), &mut text)?;
                text
            }
        };
        if self.flags.contains('#') && "aAbBh".contains(letter) {
            text = text.to_uppercase();
        }
        if let Some(width) = self.width.filter(|_| letter != 'z') {
            let flag = self.flags.chars().rfind(|flag| matches!(flag, '-' | '_' | '0'));
            let fill = match flag {
                Some('_' | '-') => ' ',
                Some(_) => '0',
                None if is_number && !"ekl".contains(letter) => '0',
                None => ' ',
            };
            let digits = text.trim_start_matches(' ');
            let text_of_number = if is_number { digits } else { &text };
            let missing = if flag == Some('-') { 0 } else { width.saturating_sub(text_of_number.chars().count()) };
            return Ok(fill.to_string().repeat(missing) + text_of_number);
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        // 2024-02-29 13:05:09 UTC, a Thursday.
        let text = |format: &str| format_utc(1_709_211_909, format).expect("known codes");
        assert_eq!(text("%d %b %Y, %A %B %-d %H:%M:%S"), "29 Feb 2024, Thursday February 29 13:05:09");
        assert_eq!(text("%Y-%m-%d %I %p %j %a %y %%"), "2024-02-29 01 PM 060 Thu 24 %");
        assert_eq!(text("%c|%x|%X|%U|%W|%G-%V|%-I|%e|%Z%z|%Q|%"), "Thu Feb 29 13:05:09 2024|02/29/24|13:05:09|08|09|2024-09|1|29||%Q|%");
        assert_eq!(format_utc(0, "%F %T").expect("known codes"), "1970-01-01 00:00:00");
        assert_eq!(format_utc(-1, "%F %T").expect("known codes"), "1969-12-31 23:59:59");
    }

    #[test]
    fn long_ones_are_refused() {
        assert!(format_utc(0, &"%A".repeat(1000)).is_err());
        assert!(format_utc(0, "%1000000000d").is_err());
        assert!(format_utc(0, "%99999999999999999999999d").is_err());
        assert!(format_utc(i64::MAX, "%d").is_err());
    }
}
