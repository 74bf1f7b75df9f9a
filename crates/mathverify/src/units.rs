//! The words behind a value: its unit, or what multiplies it.

use num_rational::BigRational;

use crate::ast::Expr;
use crate::parse::{Parsed, Parser};
use crate::token::Token;
use crate::words;

impl Parser<'_> {
    /// "thousand" and kin; moves behind it.
    pub(crate) fn scale_word(&mut self) -> Option<Expr> {
        let Some(Token::Word(word)) = self.peek() else { return None };
        let word = word.to_lowercase();
        let scale = match words::scale(&word) {
            Some(scale) => Expr::integer(scale),
            None => Expr::Number(BigRational::new(1.into(), words::parts(&word)?.into())),
        };
        self.at += 1;
        Some(scale)
    }

    /// Words behind a value, with powers and divisions between: `cm^2`, `km/h`. Errors: words that are no unit.
    pub(crate) fn unit_words(&mut self) -> Parsed<()> {
        let first = self.unit.len();
        loop {
            match self.peek() {
                Some(Token::Word(word)) => {
                    self.unit.push(word.to_lowercase());
                    self.at += 1;
                }
                Some(Token::Sign('^')) => match (self.peek_at(1), self.peek_at(2), self.peek_at(3)) {
                    (Some(Token::Number(power)), _, _) => {
                        self.unit.push(format!("^{power}"));
                        self.at += 2;
                    }
                    (Some(Token::Sign('{')), Some(Token::Number(power)), Some(Token::Sign('}'))) => {
                        self.unit.push(format!("^{power}"));
                        self.at += 4;
                    }
                    (Some(Token::Sign('{')), Some(Token::Sign('-')), Some(Token::Number(power))) => {
                        self.unit.push(format!("^-{power}"));
                        self.at += 4;
                        self.take_sign('}');
                    }
                    _ => break,
                },
                Some(Token::Sign('/')) if matches!(self.peek_at(1), Some(Token::Word(_) | Token::Letter(_))) => self.at += 2,
                Some(Token::Sign('*')) if matches!(self.peek_at(1), Some(Token::Word(_))) => self.at += 1,
                _ => break,
            }
        }
        if words::is_unit(&self.unit[first..]) { Ok(()) } else { Err("words that are no unit") }
    }
}
