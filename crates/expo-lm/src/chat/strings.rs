//! String literals of templates.

/// What Python's `unicode-escape` codec makes of a string's inside.
pub(super) fn unescaped(source: &str) -> Result<String, String> {
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
