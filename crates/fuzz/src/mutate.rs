//! Seeded changes to inputs that are valid: of bits and bytes, of numbers in text, of structure.

/// A number generator of its own, so that a seed means the same everywhere: SplitMix64 (Steele, Lea, Flood 2014).
pub struct Random(pub u64);

impl Random {
    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `n` - 1 (0 for `n` = 0).
    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n.max(1) as u64) as usize
    }

    /// One of `list`, which is not empty.
    pub fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// The files of an input, by their names.
pub type Case = Vec<(String, Vec<u8>)>;

/// Bytes of all files.
pub fn size(case: &Case) -> usize {
    case.iter().map(|(_, bytes)| bytes.len()).sum()
}

/// Longer inputs say nothing new and take long.
const LONGEST: usize = 1 << 18;

/// Values at which sizes, counts and offsets go wrong.
const INTERESTING: [u64; 24] = [
    0,
    1,
    2,
    7,
    8,
    16,
    63,
    127,
    128,
    255,
    256,
    1000,
    32767,
    65535,
    65536,
    1 << 20,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 32,
    1 << 53,
    1 << 62,
    i64::MAX as u64,
    u64::MAX,
];

/// Values of JSON, TOML and templates.
const VALUES: [&str; 34] = [
    "0",
    "-1",
    "-0",
    "0.5",
    "1e308",
    "-1e-308",
    "1e400",
    "1e99999999999",
    "2147483648",
    "4294967296",
    "9007199254740993",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "340282366920938463463374607431768211456",
    "nan",
    "inf",
    "null",
    "true",
    "false",
    "\"\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "[]",
    "{}",
    "[[]]",
    "[null]",
    "{\"\":{}}",
    "\"../../x\"",
    "\"/\"",
    "\"F32\"",
    "\u{feff}",
    "\u{202e}",
    "😀",
];

/// `case` with one to six changes, some of them taken from `other`.
pub fn mutate(random: &mut Random, mut case: Case, other: &Case) -> Case {
    let changes = 1 + random.below(3) * random.below(3);
    for _ in 0..changes {
        // The first file of a target is the one that matters most.
        let place = if random.below(2) == 0 { 0 } else { random.below(case.len()) };
        let name = case[place].0.clone();
        let donor = other.iter().find(|(other, _)| *other == name).map_or(&[][..], |(_, bytes)| bytes);
        change(random, &mut case[place].1, donor);
        case[place].1.truncate(LONGEST);
    }
    case
}

/// A range of `bytes`, often a short one.
fn range(random: &mut Random, bytes: &[u8]) -> std::ops::Range<usize> {
    let start = random.below(bytes.len() + 1);
    let most = bytes.len() - start;
    let length = if random.below(3) == 0 { random.below(most + 1) } else { random.below(most.min(16) + 1) };
    start..start + length
}

fn change(random: &mut Random, bytes: &mut Vec<u8>, donor: &[u8]) {
    match random.below(14) {
        0 if !bytes.is_empty() => {
            let at = random.below(bytes.len());
            bytes[at] ^= 1 << random.below(8);
        }
        1 if !bytes.is_empty() => {
            let at = random.below(bytes.len());
            bytes[at] = random.bits() as u8;
        }
        2 => bytes.truncate(random.below(bytes.len() + 1)),
        3 => drop(bytes.drain(range(random, bytes))),
        4 => {
            // Repeated, rarely very often: deep nesting and long chains.
            let range = range(random, bytes);
            let part = bytes[range.start..range.end.min(range.start + 64)].to_vec();
            let times = if random.below(40) == 0 { 4000 } else { 1 + random.below(4) };
            insert(bytes, range.end, &part.repeat(times.min(LONGEST / part.len().max(1))));
        }
        5 => {
            let part = donor[range(random, donor)].to_vec();
            let range = range(random, bytes);
            bytes.splice(range, part);
        }
        6 => {
            let at = random.below(bytes.len() + 1);
            insert(bytes, at, random.of(&VALUES).as_bytes());
        }
        7 => {
            let at = random.below(bytes.len() + 1);
            let depth = *random.of(&[3, 100, 200, 20_000]);
            insert(bytes, at, &random.of(&["[", "{\"a\":", "(", "{% if 1 %}", "{{", "((", "not ", "-"]).as_bytes().repeat(depth));
        }
        8 | 9 => replace_number(random, bytes),
        10 => replace_value(random, bytes),
        _ => {
            // A number as binary formats have it.
            let width = *random.of(&[1, 2, 4, 8]);
            let near = random.of(&[0, 0, 1, u64::MAX]).wrapping_add(*random.of(&INTERESTING));
            let number = if random.below(4) == 0 { bytes.len() as u64 + near % 3 } else { near };
            if bytes.len() >= width {
                let at = random.below(bytes.len() - width + 1);
                bytes[at..at + width].copy_from_slice(&number.to_le_bytes()[..width]);
            }
        }
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, part: &[u8]) {
    bytes.splice(at..at, part.iter().copied());
}

/// Where the first byte at or behind `from` lies that `wanted` is true of, and the end of the run of such.
fn find_run(bytes: &[u8], from: usize, wanted: impl Fn(u8) -> bool) -> Option<std::ops::Range<usize>> {
    let start = from + bytes[from..].iter().position(|byte| wanted(*byte))?;
    let end = bytes[start..].iter().position(|byte| !wanted(*byte)).map_or(bytes.len(), |length| start + length);
    Some(start..end)
}

/// A number in the text becomes another.
fn replace_number(random: &mut Random, bytes: &mut Vec<u8>) {
    let from = random.below(bytes.len() + 1);
    if let Some(range) = find_run(bytes, from, |byte| byte.is_ascii_digit()) {
        let number = if random.below(3) == 0 {
            (*random.of(&VALUES)).to_owned()
        } else {
            random.of(&INTERESTING).wrapping_sub(random.below(2) as u64).to_string()
        };
        bytes.splice(range, number.into_bytes());
    }
}

/// A value behind a colon or an equals sign becomes another.
fn replace_value(random: &mut Random, bytes: &mut Vec<u8>) {
    let from = random.below(bytes.len() + 1);
    if let Some(sign) = find_run(bytes, from, |byte| byte == b':' || byte == b'=')
        && let Some(value) = find_run(bytes, sign.end, |byte| !b",}]\n".contains(&byte))
    {
        bytes.splice(value, random.of(&VALUES).bytes());
    }
}
