//! Compiling templates that anybody may have written. MiniJinja's parser, its code generator and the syntax tree's destructor go down one call for each `-`, `not`,
//! `|f` or `elif` of a chain without a limit, and a chain of constants costs time that grows with the square of its length. So chains are bounded here, and what
//! may remain gets a stack that is large enough.

use minijinja::Environment;

/// Longest source; published templates have up to some 50 KB.
const LONGEST: usize = 1 << 18;
/// Longest expression or statement, apart from the text in its quotes.
const LONGEST_BLOCK: usize = 1 << 12;
/// Stack for the longest chain within a block: one call a byte. A call was found to take up to 2 KB.
const BLOCK_STACK: usize = LONGEST_BLOCK * (8 << 10);
/// Stack for chains of blocks (`elif`), for each byte of the source.
const STACK_PER_BYTE: usize = 1 << 10;

/// Why a template was not added.
pub(super) enum Failure {
    /// It does not compile.
    Syntax(minijinja::Error),
    /// Anything else.
    Text(String),
}

/// Adds the template `name` with the text `source`. Errors: it or a part of it is too long; it does not compile.
pub(super) fn add(environment: &mut Environment<'static>, name: &'static str, source: String) -> Result<(), Failure> {
    if source.len() > LONGEST {
        return Err(Failure::Text(format!("has {} bytes; templates of up to {LONGEST} are read", source.len())));
    }
    if let Some(line) = too_long_block(&source) {
        let message = format!("has an expression or statement of more than {LONGEST_BLOCK} bytes (line {line}); split it");
        return Err(Failure::Text(message));
    }
    // Pages of a stack are only taken once they are touched.
    let stack = BLOCK_STACK + STACK_PER_BYTE * source.len();
    std::thread::scope(|scope| {
        let compiling = std::thread::Builder::new().stack_size(stack).spawn_scoped(scope, || environment.add_template_owned(name, source));
        match compiling.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(compiled)) => compiled.map_err(Failure::Syntax),
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(error) => Err(Failure::Text(format!("can't be compiled: no thread with a stack of {} MiB: {error}", stack >> 20))),
        }
    })
}

/// The line on which an expression or statement begins that is too long.
fn too_long_block(source: &str) -> Option<usize> {
    let bytes = source.as_bytes();
    let (mut begun, mut length, mut quote) = (None, 0, None);
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        let pair = bytes.get(at..at + 2).unwrap_or_default();
        match (begun, quote) {
            (None, _) if pair == b"{{" || pair == b"{%" => {
                (begun, length) = (Some(at), 0);
                at += 1;
            }
            (None, _) => {}
            // What is quoted is one token, whatever its length.
            (Some(_), Some(_)) if byte == b'\\' => at += 1,
            (Some(_), Some(end)) if byte == end => quote = None,
            (Some(_), Some(_)) => {}
            (Some(_), None) if pair == b"}}" || pair == b"%}" => begun = None,
            (Some(start), None) => {
                quote = (byte == b'"' || byte == b'\'').then_some(byte);
                length += 1;
                if length > LONGEST_BLOCK {
                    return Some(1 + bytes[..start].iter().filter(|byte| **byte == b'\n').count());
                }
            }
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(source: String) -> Option<String> {
        add(&mut Environment::new(), "t", source).err().map(|failure| match failure {
            Failure::Syntax(error) => format!("syntax: {error}"),
            Failure::Text(text) => text,
        })
    }

    #[test]
    fn the_longest_chains_end_in_an_error_or_a_template() {
        let parts =
            ["-", "not ", "1+", "1~", "1**", "9**", "1 is a is ", "a|", "a.", "a[0]", "a and ", "a==", "a if ", "(", "[", "{1:", "a("];
        for part in parts {
            failure(format!("{{{{{}1}}}}", part.repeat((LONGEST_BLOCK - 1) / part.len())));
            let message = failure(format!("\n{{{{{}1}}}}", part.repeat(LONGEST_BLOCK / part.len() + 2))).unwrap();
            assert!(message.contains("of more than 4096 bytes (line 2); split it"), "{message}");
        }
        assert_eq!(failure(format!("{{{{{}1}}}}", "-".repeat(LONGEST_BLOCK - 1))), None);
        for block in ["{% if 1 %}", "{% elif 1 %}", "{% for a in b %}", "{% set a %}", "{% macro a() %}", "{% filter a %}", "{% with %}"] {
            failure(format!("{{% if 1 %}}{}", block.repeat(LONGEST / block.len() - 2)));
        }
        assert_eq!(failure(format!("{{% if 1 %}}{}{{% endif %}}", "{% elif 1 %}".repeat(LONGEST / 12 - 2))), None);
        assert!(failure("x".repeat(LONGEST + 1)).unwrap().contains("has 262145 bytes; templates of up to 262144 are read"));
    }

    #[test]
    fn quoted_text_may_be_long() {
        let text = "a \\\" {{ }} '".repeat(1000);
        assert_eq!(failure(format!("{{{{ \"{text}\" }}}} it's {{% if '%}}' %}}{{% endif %}}{}", "-".repeat(LONGEST_BLOCK))), None);
    }
}
