//! Commands that say how something looks: fonts, colours, marks, boxes around a word, siunitx, braces with a note.

use crate::ast::Relation;
use crate::token::{Lexer, Token};
use crate::vocabulary::{Look, is_wrapper, look};

impl Lexer<'_> {
    /// Reads a command about looks, its backslash and name already read; whether it was one.
    pub(crate) fn presented(&mut self, name: &str, depth: usize) -> Result<bool, &'static str> {
        if let Some(look) = look(name) {
            match look {
                Look::Declaration | Look::Decoration => {
                    if look == Look::Decoration {
                        self.option();
                    }
                }
                Look::Aside => {
                    self.option();
                    self.group();
                }
                Look::Colour(arguments) => {
                    for _ in 0..arguments {
                        self.option();
                        self.group();
                    }
                }
            }
            self.spaced = true;
            return Ok(true);
        }
        match name {
            // siunitx: a value and its unit.
            "SI" | "qty" | "ang" => {
                self.option();
                let Some(value) = self.group() else { return Ok(false) };
                self.inside(value, false, depth)?;
                match name {
                    "ang" => self.push(Token::Sign('°')),
                    _ => self.unit(depth)?,
                }
            }
            "si" | "unit" => self.unit(depth)?,
            // What stands behind a brace says what is under it: `\overbrace{2+3}^{5}` is 2+3 = 5.
            "overbrace" | "underbrace" => {
                let Some(value) = self.group() else { return Ok(false) };
                self.inside(value, false, depth)?;
                let rest = self.rest().trim_start();
                if rest.starts_with(['^', '_']) {
                    self.at = self.text.len() - rest.len() + 1;
                    if let Some(note) = self.group().filter(|note| note.trim().starts_with(|c: char| c.is_ascii_digit())) {
                        self.push(Token::Relation(Relation::Equal));
                        self.inside(note, false, depth)?;
                    }
                }
            }
            _ if is_wrapper(name) => self.wrapped(name, depth)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// An argument in `[ ]`, and a star, which say how.
    fn option(&mut self) {
        if self.rest().starts_with('*') && self.rest()[1..].trim_start().starts_with(['{', '[']) {
            self.at += 1;
        }
        while self.rest().starts_with('[')
            && let Some(end) = self.rest().find(']').filter(|end| self.rest()[end + 1..].trim_start().starts_with(['{', '[']))
        {
            self.at += end + 1;
        }
    }

    /// A unit's name in a group: any letters are a word.
    fn unit(&mut self, depth: usize) -> Result<(), &'static str> {
        let Some(unit) = self.group() else { return Ok(()) };
        self.spaced = true;
        if unit.trim().chars().all(|c| c.is_ascii_alphabetic()) && !unit.trim().is_empty() {
            self.push(Token::Word(unit.trim().to_owned()));
            return Ok(());
        }
        // `\meter\per\second`.
        if unit.trim_start().starts_with('\\') {
            let name: String = unit.chars().map(|c| if c == '\\' { ' ' } else { c }).collect();
            return self.inside(&name, true, depth);
        }
        self.inside(unit, true, depth)
    }

    /// `\text{...}` and kin.
    fn wrapped(&mut self, name: &str, depth: usize) -> Result<(), &'static str> {
        let Some(content) = self.group() else { return Ok(()) };
        let behind = matches!(self.out.last().map(|t| &t.token), Some(Token::Number(_) | Token::Word(_) | Token::Sign(')' | '}')));
        let first = self.out.len();
        self.inside(content, true, depth)?;
        // A unit: `5\text{ m}`, `5\text{ m/s}`.
        let unit = self.out[first..].iter().all(|t| match &t.token {
            Token::Letter(letter) => !matches!(letter.as_str(), "e" | "i"),
            Token::Word(_) => true,
            Token::Sign(sign) => matches!(sign, '/' | '*' | '^'),
            Token::Number(_) => false,
            _ => false,
        });
        if behind && unit && (name.starts_with(['t', 'h']) || name == "mathrm" || name == "mbox") {
            for spaced in &mut self.out[first..] {
                if let Token::Letter(letter) = &mut spaced.token {
                    spaced.token = Token::Word(std::mem::take(letter));
                }
            }
        }
        self.spaced = true;
        Ok(())
    }
}
