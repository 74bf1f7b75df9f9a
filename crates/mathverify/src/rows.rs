//! Rows of formulas: derivations and systems of equations.

use std::collections::BTreeSet;

use crate::ast::{Expr, Relation};
use crate::parse::{Parsed, Parser};
use crate::token::Token;

impl Parser<'_> {
    /// Rows of a derivation: the last one counts, and what follows from another by an arrow. Rows that give different unknowns each their
    /// value are a list.
    pub(crate) fn rows(&mut self) -> Parsed<Expr> {
        let mut all: Vec<Expr> = Vec::new();
        loop {
            while matches!(self.peek(), Some(Token::Sign('n' | '&')) | Some(Token::Relation(Relation::Other("implies")))) {
                self.at += 1;
            }
            if matches!(self.peek(), None | Some(Token::End)) && !all.is_empty() {
                break;
            }
            all.push(self.list()?);
            if !matches!(self.peek(), Some(Token::Sign('n')) | Some(Token::Relation(Relation::Other("implies")))) {
                break;
            }
        }
        let unknown = |e: &Expr| match e {
            Expr::Chain(terms, relations) if relations == &[Relation::Equal] && matches!(terms[0], Expr::Symbol(_)) => {
                Some(terms[0].to_string())
            }
            _ => None,
        };
        let unknowns: BTreeSet<String> = all.iter().filter_map(unknown).collect();
        if unknowns.len() == all.len() && all.len() > 1 {
            return Ok(Expr::List(all));
        }
        all.pop().ok_or("nothing there")
    }

    /// Moves to a relation that begins the next row, or behind the mark of a column: such rows go on.
    pub(crate) fn continued(&mut self) {
        let ahead = match (self.peek(), self.peek_at(1)) {
            (Some(Token::Sign('n')), Some(Token::Sign('&'))) => 2,
            (Some(Token::Sign('n' | '&')), _) => 1,
            _ => return,
        };
        if matches!(self.peek_at(ahead), Some(Token::Relation(relation)) if *relation != Relation::Other("implies")) {
            self.at += ahead;
        }
    }
}
