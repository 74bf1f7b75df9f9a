//! A template in Jinja2's syntax as MiniJinja reads it, line by line the same.
//!
//! White space control is done by [`super::lexer`], so MiniJinja has none to do. `{% generation %}` of transformers becomes a call block, which it is there, too:
//! so its body has a scope of its own.

use super::lexer::{Fault, Kind, Part, Token, parts};

/// The function that gets the body of a generation block as its caller.
pub(super) const GENERATION: &str = "__generation__";

/// Writes `source` as MiniJinja reads it. Errors: what no Jinja2 would compile, or MiniJinja has no way to do, with its line.
pub(super) fn translate(source: &str) -> Result<String, Fault> {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut writer = Writer { out: String::with_capacity(source.len() + source.len() / 4), line: 1 };
    for (line, part) in parts(&source)? {
        if writer.line < line {
            writer.out.push_str("{#");
            writer.reach(line);
            writer.out.push_str("#}");
        }
        match part {
            Part::Text(text) => writer.text(text),
            Part::Expression(tokens) => writer.tag(["{{", "}}"], &tokens)?,
            Part::Block(tokens) => writer.block(&tokens)?,
        }
    }
    Ok(writer.out)
}

struct Writer {
    out: String,
    /// The line that is written, counted from 1: that of the source.
    line: usize,
}

impl Writer {
    /// Writes line breaks up to `line`.
    fn reach(&mut self, line: usize) {
        self.out.extend(std::iter::repeat_n('\n', line.saturating_sub(self.line)));
        self.line = self.line.max(line);
    }

    /// Text, so that nothing in it or at its end begins a tag.
    fn text(&mut self, text: &str) {
        if ["{{", "{%", "{#"].iter().any(|opening| text.contains(opening)) {
            self.out.extend(["{%raw%}", text, "{%endraw%}"]);
        } else {
            self.out.push_str(text);
        }
        if text.ends_with('{') {
            self.out.push_str("{##}");
        }
        self.line += text.matches('\n').count();
    }

    fn block(&mut self, tokens: &[Token]) -> Result<(), Fault> {
        let is = |at: usize, source: &str| tokens.get(at).is_some_and(|token| token.is(source));
        if !is(0, "generation") && !is(0, "endgeneration") {
            return self.tag(["{%", "%}"], tokens);
        }
        // Jinja2 lets a colon end the head of a block.
        let rest = &tokens[1 + usize::from(is(0, "generation") && is(1, ":"))..];
        if let Some(token) = rest.first() {
            let message = format!("unexpected `{}` in a tag `{}`; expected its end", token.source, tokens[0].source);
            return Err(Fault { line: token.line, message });
        }
        let tag = if is(0, "generation") { format!("call {GENERATION}()") } else { "endcall".to_owned() };
        self.out.extend(["{% ", &tag, " %}"]);
        Ok(())
    }

    fn tag(&mut self, [opening, closing]: [&str; 2], tokens: &[Token]) -> Result<(), Fault> {
        self.out.push_str(opening);
        for token in tokens {
            self.reach(token.line);
            self.out.push(' ');
            if token.kind == Kind::Text {
                self.string(token)?;
            } else {
                self.out.push_str(token.source);
            }
        }
        self.out.extend([" ", closing]);
        Ok(())
    }

    fn string(&mut self, token: &Token) -> Result<(), Fault> {
        let text = unescaped(&token.source[1..token.source.len() - 1]).map_err(|message| Fault { line: token.line, message })?;
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => self.out.extend(['\\', c]),
                '\n' => self.out.push_str("\\n"),
                c => self.out.push(c),
            }
        }
        self.out.push('"');
        Ok(())
    }
}

/// What Python's `unicode-escape` codec makes of a string's inside.
fn unescaped(source: &str) -> Result<String, String> {
    let mut out = String::with_capacity(source.len());
    let mut chars = source.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let code = chars.next().unwrap_or('\\');
        let digits = |count: usize, radix: u32| {
            let rest = chars.as_str();
            let length = rest.bytes().take(count).take_while(|b| char::from(*b).is_digit(radix)).count();
            (length, u32::from_str_radix(&rest[..length], radix).unwrap_or(0))
        };
        let simple = match code {
            '\n' => continue,
            '\\' | '\'' | '"' => code,
            'a' => '\x07',
            'b' => '\x08',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            '0'..='7' => {
                let (length, rest) = digits(2, 8);
                chars = chars.as_str()[length..].chars();
                // At most 0o777.
                char::from_u32((code as u32 - '0' as u32) * 8u32.pow(length as u32) + rest).unwrap_or('\0')
            }
            'x' | 'u' | 'U' => {
                let expected = match code {
                    'x' => 2,
                    'u' => 4,
                    _ => 8,
                };
                let (length, number) = digits(expected, 16);
                if length < expected {
                    return Err(format!("a string has the escape `\\{code}` without {expected} hexadecimal digits"));
                }
                chars = chars.as_str()[length..].chars();
                let Some(c) = char::from_u32(number) else {
                    return Err(format!(
                        "a string has the escape `\\{code}{number:0expected$x}`, which is no character: write the character itself"
                    ));
                };
                c
            }
            'N' => return Err("a string has the escape `\\N`, which is not supported: write the character itself".to_owned()),
            other => {
                out.push('\\');
                other
            }
        };
        out.push(simple);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generation_is_a_tag_only_where_it_is_one() {
        for (source, expected) in [
            ("{%- generation +%}x{% endgeneration %}\ny", "{% call __generation__() %}x{% endcall %}{#\n#}y"),
            ("{% generation: %}{% endgeneration %}", "{% call __generation__() %}{% endcall %}"),
            ("{# {% generation %} #}x", "x"),
            ("{% raw %}{% generation %}{% endraw %}", "{%raw%}{% generation %}{%endraw%}"),
            ("{{ '{% generation %}' }}", "{{ \"{% generation %}\" }}"),
            ("{{ generation }}{% set generation = 1 %}", "{{ generation }}{% set generation = 1 %}"),
            ("{%\n\ngeneration\n%}x\n{% endgeneration %}", "{% call __generation__() %}{#\n\n\n#}x\n{% endcall %}"),
        ] {
            assert_eq!(translate(source).expect(source), expected);
        }
        let fault = translate("\n{% generation x %}{% endgeneration %}").expect_err("an argument");
        assert_eq!((fault.line, &*fault.message), (2, "unexpected `x` in a tag `generation`; expected its end"));
    }

    #[test]
    fn text_that_looks_like_a_tag_stays_text() {
        assert_eq!(translate("{ {#- c #}{ %}").expect("text"), "{{##}{ %}");
        assert_eq!(translate("a\r\nb\rc").expect("text"), "a\nb\nc");
    }

    /// As CPython 3.12 decodes them.
    #[test]
    fn escapes_are_pythons() {
        for (source, expected) in [
            (r"\d\n", Ok("\\d\n")),
            (r"\x41\u00e9\U0001f600\101\0", Ok("A\u{e9}\u{1f600}A\0")),
            ("a\\\nb", Ok("ab")),
            (r"\\\'", Ok("\\'")),
            (r"\x4", Err("without 2 hexadecimal digits")),
            (r"\ud83d", Err("`\\ud83d`, which is no character")),
            (r"\N{BULLET}", Err("write the character itself")),
        ] {
            match (unescaped(source), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
                (found, _) => panic!("{source}: {found:?}"),
            }
        }
    }
}
