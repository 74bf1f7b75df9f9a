//! A template in Jinja2's syntax as MiniJinja reads it, line by line the same.
//!
//! White space control is done by [`super::lexer`], so MiniJinja has none to do, and operators by [`super::expression`]. `{% generation %}` of transformers becomes
//! a call block, which it is there, too: so its body has a scope of its own.

use std::collections::BTreeSet;

use super::expression::Expressions;
use super::lexer::{Fault, Part, Token, parts};

/// The function that gets the body of a generation block as its caller.
pub(super) const GENERATION: &str = "__generation__";

/// Writes `source` as MiniJinja reads it. Errors: what no Jinja2 would compile, or MiniJinja has no way to do, with its line.
pub(super) fn translate(source: &str) -> Result<String, Fault> {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let out = String::with_capacity(source.len() + source.len() / 4);
    let mut writer = Writer { out, line: 1, scopes: Vec::new(), sets: Vec::new(), conditions: 0 };
    for (line, part) in parts(&source)? {
        if writer.line < line {
            writer.out.push_str("{#");
            writer.reach(line);
            writer.out.push_str("#}");
        }
        match part {
            Part::Text(text) => writer.text(text),
            Part::Expression(tokens) => writer.print(&tokens)?,
            Part::Block(tokens) => writer.block(&tokens)?,
        }
    }
    Ok(writer.out)
}

struct Writer {
    out: String,
    /// The line that is written, counted from 1: that of the source.
    line: usize,
    /// Macros and call blocks that are open.
    scopes: Vec<Scope>,
    /// `{% set name.attribute %}` blocks that are open, and others (none).
    sets: Vec<Option<(String, String)>>,
    /// How many `{% if %}` are open.
    conditions: usize,
}

struct Scope {
    /// Where its body begins in what is written.
    at: usize,
    /// Names that are read in its body.
    names: BTreeSet<String>,
    /// Names of its arguments.
    arguments: Vec<String>,
}

impl Writer {
    /// Writes line breaks up to `line`.
    fn reach(&mut self, line: usize) {
        self.out.extend(std::iter::repeat_n('\n', line.saturating_sub(self.line)));
        self.line = self.line.max(line);
    }

    /// Text, so that nothing in it or at its end begins a tag.
    fn text(&mut self, text: &str) {
        if text.ends_with('{') || ["{{", "{%", "{#"].iter().any(|opening| text.contains(opening)) {
            self.out.extend(["{%raw%}", text, "{%endraw%}"]);
        } else {
            self.out.push_str(text);
        }
        self.line += text.matches('\n').count();
    }

    /// Translates what `read` reads of a tag's tokens, all of them.
    fn tag(
        &mut self,
        [opening, closing]: [&str; 2],
        tokens: &[Token],
        read: impl FnOnce(&mut Expressions) -> Result<String, Fault>,
    ) -> Result<(), Fault> {
        let mut expressions = Expressions::new(tokens, self.line, self.conditions > 0);
        let inside = read(&mut expressions)?;
        expressions.end()?;
        self.line = expressions.line;
        if let Some(scope) = self.scopes.last_mut() {
            for name in ["varargs", "kwargs"] {
                if expressions.names.contains(name) && !scope.arguments.iter().any(|argument| argument == name) {
                    let message = format!("`{name}` of a macro is not supported; give the macro arguments with names and defaults");
                    return Err(Fault { line: self.line, message });
                }
            }
            scope.names.append(&mut expressions.names);
        }
        self.out.extend([opening, " ", &inside, " ", closing]);
        Ok(())
    }

    fn print(&mut self, tokens: &[Token]) -> Result<(), Fault> {
        self.tag(["{{", "}}"], tokens, |tag| tag.tuple(true, ""))
    }

    /// A block of which nothing but its words is translated.
    fn plain(&mut self, tokens: &[Token]) -> Result<(), Fault> {
        self.tag(["{%", "%}"], tokens, |tag| {
            let mut out = String::new();
            while tag.next().is_some() {
                out.extend([&tag.take(), " "]);
            }
            Ok(out)
        })
    }

    fn block(&mut self, tokens: &[Token]) -> Result<(), Fault> {
        let Some(word) = tokens.first() else { return Err(Fault { line: self.line, message: "a tag without a name".to_owned() }) };
        // Jinja2 lets a colon end the head of a block.
        let ends_head =
            ["if", "elif", "else", "for", "macro", "call", "set", "with", "filter", "block", "generation"].contains(&word.source);
        let tokens = match tokens {
            [.., last] if ends_head && last.is(":") => &tokens[..tokens.len() - 1],
            _ => tokens,
        };
        let tag = ["{%", "%}"];
        match word.source {
            "if" | "elif" => {
                self.conditions += usize::from(word.source == "if");
                self.tag(tag, tokens, |tag| Ok(tag.take() + " " + &tag.tuple(false, "")?))
            }
            "for" => self.tag(tag, tokens, loop_head),
            "set" => self.set(tokens),
            "endset" => self.end_set(tokens),
            "with" => self.tag(tag, tokens, with_head),
            "macro" => {
                let mut beginning = String::new();
                self.tag(tag, tokens, |tag| {
                    let head = tag.take() + " " + &tag.name()?;
                    let (signature, first) = signature(tag)?;
                    beginning = first;
                    Ok(head + &signature)
                })?;
                self.open_scope(tokens, &beginning);
                Ok(())
            }
            "call" => {
                let mut beginning = String::new();
                self.tag(tag, tokens, |tag| {
                    let mut out = tag.take() + " ";
                    if tag.is("(") {
                        let (signature, first) = signature(tag)?;
                        beginning = first;
                        out += &signature;
                    }
                    Ok(out + " " + &tag.expression()?)
                })?;
                self.open_scope(tokens, &beginning);
                Ok(())
            }
            // What is set in a filter block or a set block stays there.
            "filter" => {
                self.tag(tag, tokens, |tag| {
                    let mut out = tag.take() + " " + &tag.filter_call()?;
                    while tag.is("|") {
                        out += &tag.filter()?;
                    }
                    Ok(out)
                })?;
                self.out.push_str("{% with %}");
                Ok(())
            }
            "endfilter" => {
                self.out.push_str("{% endwith %}");
                self.plain(tokens)
            }
            "generation" => {
                self.tag(["{%", "%}"], tokens, |tag| Ok(tag.take().replace("generation", &format!("call {GENERATION}()"))))?;
                self.open_scope(tokens, "");
                Ok(())
            }
            "endgeneration" => {
                self.close_scope();
                self.tag(tag, tokens, |tag| Ok(tag.take().replace("endgeneration", "endcall")))
            }
            "endmacro" | "endcall" => {
                self.close_scope();
                self.plain(tokens)
            }
            "endif" => {
                self.conditions = self.conditions.saturating_sub(1);
                self.plain(tokens)
            }
            "print" => {
                let mut count = 0;
                self.tag(["{{", "}}"], tokens, |tag| {
                    let mut out = tag.take().replace("print", "");
                    while tag.next().is_some() {
                        count += 1;
                        let item = tag.expression()?;
                        out += &item;
                        match tag.take_if(",") {
                            Some(comma) => out += &(comma.replace(',', "") + " }}{{ "),
                            None => break,
                        }
                    }
                    Ok(if count == 0 { out + "\"\"" } else { out })
                })
            }
            "else" | "endfor" | "endwith" | "block" | "endblock" | "break" | "continue" => self.plain(tokens),
            "include" | "import" | "from" | "extends" => {
                self.refuse(word, "needs another template, and a chat template has none; put what it needs into the template itself")
            }
            "autoescape" | "endautoescape" => self.refuse(word, "is not supported; use the filter `escape` where text is to be escaped"),
            _ => self.refuse(word, "is no tag that transformers' chat templates have"),
        }
    }

    fn refuse(&self, word: &Token, why: &str) -> Result<(), Fault> {
        Err(Fault { line: word.line, message: format!("`{{% {} %}}` {why}", word.source) })
    }

    fn open_scope(&mut self, head: &[Token], beginning: &str) {
        let arguments = head.iter().map(|token| token.source.to_owned()).collect();
        self.scopes.push(Scope { at: self.out.len(), names: BTreeSet::new(), arguments });
        self.out.push_str(beginning);
    }

    /// Ends a macro's or call block's body. MiniJinja looks up some of the names that a body uses where it is made, not all (none that it sets, too, nor those
    /// of filters' arguments): naming each makes it look.
    fn close_scope(&mut self) {
        let Some(Scope { at, mut names, .. }) = self.scopes.pop() else { return };
        let read: Vec<&str> = names.iter().map(String::as_str).filter(|name| !matches!(*name, "caller" | "self")).collect();
        if !read.is_empty() {
            self.out.insert_str(at, &format!("{{% if false %}}{{{{ ({},) }}}}{{% endif %}}", read.join(",")));
        }
        if let Some(outer) = self.scopes.last_mut() {
            outer.names.append(&mut names);
        }
    }

    /// `{% set a = ... %}`, `{% set a %}`, and the same for an attribute of a namespace.
    fn set(&mut self, tokens: &[Token]) -> Result<(), Fault> {
        let end = tokens.iter().position(|token| token.is("=") || token.is("|")).unwrap_or(tokens.len());
        let target = &tokens[1..end.max(1)];
        let attribute = match target {
            [object, dot, name] if dot.is(".") => Some((object.source.to_owned(), name.source.to_owned())),
            _ => None,
        };
        if let (None, Some(dot)) = (&attribute, target.iter().find(|token| token.is("."))) {
            return self.refuse(dot, "sets a namespace's attribute among others; set it by itself");
        }
        if !tokens.get(end).is_some_and(|token| token.is("=")) {
            self.tag(["{%", "%}"], tokens, |tag| {
                let mut out = tag.take() + " " + &targets(tag)?;
                if attribute.is_some() {
                    out = "\n".repeat(out.matches('\n').count()) + "set __set__";
                }
                while tag.is("|") {
                    out += &tag.filter()?;
                }
                Ok(out)
            })?;
            self.sets.push(attribute);
            self.out.push_str("{% with %}");
            return Ok(());
        }
        self.tag(["{%", "%}"], tokens, |tag| {
            let word = tag.take();
            let target = targets(tag)?;
            let assign = tag.expect("=")?;
            match attribute {
                None => Ok(word + " " + &target + " " + &assign + " " + &tag.tuple(true, "")?),
                Some((object, name)) => {
                    let lines = (word + &target + &assign).matches('\n').count();
                    tag.names.insert(object.clone());
                    Ok(format!("do {}__setattr__({object}, {name:?}, {})", "\n".repeat(lines), tag.tuple(true, "")?))
                }
            }
        })
    }

    fn end_set(&mut self, tokens: &[Token]) -> Result<(), Fault> {
        self.out.push_str("{% endwith %}");
        self.plain(tokens)?;
        if let Some(Some((object, name))) = self.sets.pop() {
            self.out.push_str(&format!("{{% do __setattr__({object}, {name:?}, __set__) %}}"));
            if let Some(scope) = self.scopes.last_mut() {
                scope.names.insert(object);
            }
        }
        Ok(())
    }
}

/// What is assigned to: names, in parentheses perhaps, with an attribute perhaps.
fn targets(tag: &mut Expressions) -> Result<String, Fault> {
    let mut out = String::new();
    while tag.next().is_some() && !tag.is("=") && !tag.is("|") && !tag.is("in") {
        if ["(", ")", ",", "."].iter().any(|operator| tag.is(operator)) {
            out += &tag.take();
        } else {
            let name = tag.name()?;
            if matches!(name.trim(), "loop" | "self") {
                return tag.fault(format!("`{}` can't be assigned to; give the variable another name", name.trim()));
            }
            out += &name;
        }
    }
    if out.is_empty() { tag.unexpected("a name to assign to") } else { Ok(out) }
}

fn loop_head(tag: &mut Expressions) -> Result<String, Fault> {
    let mut out = tag.take() + " " + &targets(tag)?;
    out = out + " " + &tag.expect("in")? + " __iter__(" + &tag.tuple(false, "recursive")? + ")";
    if let Some(word) = tag.take_if("if") {
        out = out + " " + &word + " " + &tag.expression()?;
    }
    if let Some(word) = tag.take_if("recursive") {
        out = out + " " + &word;
    }
    Ok(out)
}

/// `with a = 1, b = a`: each value is that of before.
fn with_head(tag: &mut Expressions) -> Result<String, Fault> {
    let mut out = tag.take() + " ";
    let mut assigned = Vec::new();
    while tag.next().is_some() {
        let target = targets(tag)?;
        let assign = tag.expect("=")?;
        // All values first, then all names.
        out = out + &format!("__with{}__ {assign} {}", assigned.len(), tag.expression()?);
        let name = target.replace('\n', " ");
        let name = if name.contains(',') && !name.starts_with('(') { format!("({name})") } else { name };
        assigned.push(format!("{name} = __with{}__", assigned.len()));
        out.push_str(&"\n".repeat(target.matches('\n').count()));
        match tag.take_if(",") {
            Some(comma) => out += &comma,
            None => break,
        }
        if tag.next().is_none() {
            return tag.unexpected("a name to assign to");
        }
    }
    let separator = if assigned.is_empty() { "" } else { ", " };
    Ok(out + separator + &assigned.join(", "))
}

/// The arguments that a macro or call block is declared with, and what its body has to begin with.
fn signature(tag: &mut Expressions) -> Result<(String, String), Fault> {
    let mut out = tag.expect("(")?;
    let mut beginning = String::new();
    while !tag.is(")") {
        let name = tag.name()?;
        out += &name;
        if let Some(assign) = tag.take_if("=") {
            let mut others = std::mem::take(&mut tag.names);
            let default = tag.expression()?;
            let is_constant = tag.names.is_empty();
            tag.names.append(&mut others);
            if is_constant {
                out = out + &assign + &default;
            } else {
                // A default may use the arguments before it, which MiniJinja doesn't have yet where it makes the default.
                let name = name.trim();
                beginning += &format!("{{% if {name} is undefined %}}{{% set {name} = {} %}}{{% endif %}}", default.replace('\n', " "));
                out = out + &assign + "__undefined__" + &"\n".repeat(default.matches('\n').count());
            }
        }
        match tag.take_if(",") {
            Some(comma) => out += &comma,
            None => break,
        }
    }
    Ok((out + &tag.expect(")")?, beginning))
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
            ("{%\n\ngeneration\n%}x\n{% endgeneration %}", "{% \n\ncall __generation__() %}{#\n#}x\n{% endcall %}"),
        ] {
            assert_eq!(translate(source).expect(source), expected);
        }
    }

    #[test]
    fn operators_are_calls_where_pythons_differ() {
        for (source, expected) in [
            ("{{ a * b % c ~ d }}", "{{ __concat__(__mod__(a * b, c), d) }}"),
            ("{{ a == 'b' }}{{ a != none }}{{ not a != b }}", "{{ a == \"b\" }}{{ a != none }}{{ not not __eq__(a, b) }}"),
            ("{{ {'a': 1, b: {c: 2}} }}", "{{ { \"a\":1,__key__(b):{ __key__(c):2 } } }}"),
            ("{{ a + b }}{{ a + 'x' }}{{ a - b }}", "{{ __bounded__(a + b) }}{{ a + \"x\" }}{{ a - b }}"),
            ("{{ a + b + c + d + e + f + g + h + i }}", "{{ __bounded__(__bounded__(a + b + c + d + e + f + g + h) + i) }}"),
            ("{{ 1 + b + c + d + e + f + g + h + i }}", "{{ 1 + b + c + d + e + f + g + h + i }}"),
            ("{{ a * 2 }}{{ 'ab' * a }}{{ 2 * 3 }}{{ a / b }}", "{{ __bounded__(a * 2) }}{{ \"ab\" * a }}{{ 2 * 3 }}{{ a / b }}"),
            ("{{ not a < b == c }}", "{{ not ((__lt__(a, b)) and (__eq__(b, c))) }}"),
            ("{{ a not in b[1:] }}", "{{ not __in__(a, __slice__(b, 1, none, none)) }}"),
            ("{{ a.items, d.items() }}", "{{ (__getattr__(a, \"items\"),d.items()) }}"),
            ("{{ -x|abs ~ - -1 }}", "{{ __concat__(__neg__(x)|abs, --1) }}"),
            ("{% for x in 1, 2 if x %}{% endfor %}", "{% for x in __iter__((1,2)) if x %}{% endfor  %}"),
            ("{% set ns.a = 1 %}", "{% do __setattr__(ns, \"a\", 1) %}"),
            ("{{ {'a':\n{}} }}", "{{ { \"a\":\n{  } } }}"),
        ] {
            assert_eq!(translate(source).expect(source), expected);
        }
    }

    #[test]
    fn what_has_no_counterpart_is_refused_with_its_line() {
        for (source, line, text) in [
            ("\n{% generation x %}{% endgeneration %}", 2, "found `x`, expected the end of the tag"),
            ("{{ 1\n+ }}", 2, "found the end of the tag, expected an expression"),
            ("a\n{{ b|nope }}", 2, "unknown filter `nope`"),
            ("\n\n{% include 'x' %}", 3, "needs another template"),
            ("\n{{ x|random }}", 2, "`random` is not supported: it gives another item each time; take `first`"),
            ("{{ lipsum() }}", 1, "`lipsum` is not supported"),
            ("{{ x.encode('utf-8') }}", 1, "templates have no bytes"),
            ("{% do x() %}", 1, "is no tag that transformers' chat templates have"),
            ("{% macro m() %}\n{{ varargs }}{% endmacro %}", 2, "`varargs` of a macro is not supported"),
        ] {
            let fault = translate(source).expect_err(source);
            assert_eq!(fault.line, line, "{source}");
            assert!(fault.message.contains(text), "{source}: {}", fault.message);
        }
    }

    #[test]
    fn text_that_looks_like_a_tag_stays_text() {
        assert_eq!(translate("{ {#- c #}{ %}").expect("text"), "{%raw%}{{%endraw%}{ %}");
        assert_eq!(translate("a\r\nb\rc").expect("text"), "a\nb\nc");
    }
}
