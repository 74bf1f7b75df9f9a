//! GGML's block formats expanded to f32. The formats are those of llama.cpp's `ggml-quants`; tests compare with its Python package.

use half::{bf16, f16};

/// A tensor's number format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(non_camel_case_types)] // GGML's own names.
pub(super) enum TensorType {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    IQ4_NL,
    IQ4_XS,
}

impl TensorType {
    pub const SUPPORTED: &str = "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS";

    pub fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            10 => Self::Q2_K,
            11 => Self::Q3_K,
            12 => Self::Q4_K,
            13 => Self::Q5_K,
            14 => Self::Q6_K,
            20 => Self::IQ4_NL,
            23 => Self::IQ4_XS,
            30 => Self::BF16,
            _ => return None,
        })
    }

    /// GGML's name for a type that can't be read here.
    pub fn name_of(code: u32) -> String {
        let name = match code {
            9 => "Q8_1",
            15 => "Q8_K",
            16 => "IQ2_XXS",
            17 => "IQ2_XS",
            18 => "IQ3_XXS",
            19 => "IQ1_S",
            21 => "IQ3_S",
            22 => "IQ2_S",
            24 => "I8",
            25 => "I16",
            26 => "I32",
            27 => "I64",
            28 => "F64",
            29 => "IQ1_M",
            34 => "TQ1_0",
            35 => "TQ2_0",
            39 => "MXFP4",
            _ => return format!("number {code}"),
        };
        name.to_owned()
    }

    /// Elements in one block.
    pub fn block_elements(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 | Self::IQ4_NL => 32,
            Self::Q2_K | Self::Q3_K | Self::Q4_K | Self::Q5_K | Self::Q6_K | Self::IQ4_XS => 256,
        }
    }

    /// Bytes in one block.
    pub fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q2_K => 84,
            Self::Q3_K => 110,
            Self::Q4_K => 144,
            Self::Q5_K => 176,
            Self::Q6_K => 210,
            Self::IQ4_NL => 18,
            Self::IQ4_XS => 136,
        }
    }
}

/// Every value of `bytes`, whole blocks of type `kind`.
pub(super) fn dequantize(kind: TensorType, bytes: &[u8]) -> Vec<f32> {
    let blocks = bytes.chunks_exact(kind.block_bytes());
    let mut out = Vec::with_capacity(blocks.len() * kind.block_elements());
    for block in blocks {
        match kind {
            TensorType::F32 => out.push(f32::from_le_bytes([block[0], block[1], block[2], block[3]])),
            TensorType::F16 => out.push(half_at(block, 0)),
            TensorType::BF16 => out.push(bf16::from_le_bytes([block[0], block[1]]).to_f32()),
            TensorType::Q4_0 => four_bits(&mut out, half_at(block, 0), -8.0, 0.0, &block[2..], 0),
            TensorType::Q4_1 => four_bits(&mut out, half_at(block, 0), 0.0, half_at(block, 2), &block[4..], 0),
            TensorType::Q5_0 => four_bits(&mut out, half_at(block, 0), -16.0, 0.0, &block[6..], bits_at(block, 2)),
            TensorType::Q5_1 => four_bits(&mut out, half_at(block, 0), 0.0, half_at(block, 2), &block[8..], bits_at(block, 4)),
            TensorType::Q8_0 => {
                let scale = half_at(block, 0);
                out.extend(block[2..].iter().map(|q| scale * f32::from(*q as i8)));
            }
            TensorType::Q2_K => q2_k(&mut out, block),
            TensorType::Q3_K => q3_k(&mut out, block),
            TensorType::Q4_K => k_block(&mut out, block, None, &block[16..]),
            TensorType::Q5_K => k_block(&mut out, block, Some(&block[16..48]), &block[48..]),
            TensorType::Q6_K => q6_k(&mut out, block),
            TensorType::IQ4_NL => uneven_levels(&mut out, half_at(block, 0), &block[2..]),
            TensorType::IQ4_XS => iq4_xs(&mut out, block),
        }
    }
    out
}

fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

fn bits_at(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

/// 32 values: the low nibbles of 16 bytes, then the high ones; bit i of `fifth` is the fifth bit of value i.
fn four_bits(out: &mut Vec<f32>, scale: f32, shift: f32, minimum: f32, nibbles: &[u8], fifth: u32) {
    for (i, nibble) in nibbles.iter().map(|b| b & 15).chain(nibbles.iter().map(|b| b >> 4)).enumerate() {
        let q = u32::from(nibble) | ((fifth >> i & 1) << 4);
        out.push(scale * (q as f32 + shift) + minimum);
    }
}

/// 256 values of Q2_K: eight parts of 32, two bits each; parts 4h to 4h + 3 lie in the same 32 bytes. Each 16 values have a 4-bit scale and a 4-bit minimum.
fn q2_k(out: &mut Vec<f32>, block: &[u8]) {
    let (groups, bits) = (&block[..16], &block[16..80]);
    let (scale, minimum) = (half_at(block, 80), half_at(block, 82));
    for part in 0..8 {
        for j in 0..32 {
            let group = groups[2 * part + j / 16];
            let q = bits[part / 4 * 32 + j] >> (2 * (part % 4)) & 3;
            out.push(scale * f32::from(group & 15) * f32::from(q) - minimum * f32::from(group >> 4));
        }
    }
}

/// 256 values of Q3_K: as Q2_K, with a third bit of value j of part p in bit p of `high[j]`: without it, 4 is taken off. Each 16 values have a 6-bit scale, whose
/// low four bits are nibbles of 8 bytes and whose high two lie in 4 more.
fn q3_k(out: &mut Vec<f32>, block: &[u8]) {
    let (high, bits, scales) = (&block[..32], &block[32..96], &block[96..108]);
    let scale = half_at(block, 108);
    for part in 0..8 {
        for j in 0..32 {
            let group = 2 * part + j / 16;
            let six = scales[group % 8] >> (4 * (group / 8)) & 15 | (scales[8 + group % 4] >> (2 * (group / 4)) & 3) << 4;
            let q = bits[part / 4 * 32 + j] >> (2 * (part % 4)) & 3;
            let offset = if high[j] >> part & 1 == 1 { 0.0 } else { 4.0 };
            out.push(scale * (f32::from(six) - 32.0) * (f32::from(q) - offset));
        }
    }
}

/// What the 4-bit codes of IQ4_NL and IQ4_XS stand for: levels that are finer around 0.
const UNEVEN_LEVELS: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// 32 values by their levels: the low nibbles of 16 bytes, then the high ones.
fn uneven_levels(out: &mut Vec<f32>, scale: f32, nibbles: &[u8]) {
    let codes = nibbles.iter().map(|b| b & 15).chain(nibbles.iter().map(|b| b >> 4));
    out.extend(codes.map(|code| scale * f32::from(UNEVEN_LEVELS[usize::from(code)])));
}

/// 256 values of IQ4_XS: eight parts of 32, each with a 6-bit scale, whose low four bits are nibbles of 4 bytes and whose high two lie in 2 more.
fn iq4_xs(out: &mut Vec<f32>, block: &[u8]) {
    let (high, low) = (u16::from_le_bytes([block[2], block[3]]), &block[4..8]);
    let scale = half_at(block, 0);
    for part in 0..8 {
        let six = low[part / 2] >> (4 * (part % 2)) & 15 | ((high >> (2 * part) & 3) as u8) << 4;
        uneven_levels(out, scale * (f32::from(six) - 32.0), &block[8 + 16 * part..24 + 16 * part]);
    }
}

/// 256 values of Q4_K or Q5_K: eight parts of 32, each with a 6-bit scale and a 6-bit minimum; parts 2i and 2i + 1 are the low and
/// high nibbles of the same 32 bytes, and bit p of `fifth[j]` is the fifth bit of value j of part p.
fn k_block(out: &mut Vec<f32>, block: &[u8], fifth: Option<&[u8]>, nibbles: &[u8]) {
    let (scale, minimum) = (half_at(block, 0), half_at(block, 2));
    let packed = &block[4..16];
    for part in 0..8 {
        let (s, m) = if part < 4 {
            (packed[part] & 63, packed[part + 4] & 63)
        } else {
            let low = packed[part + 4];
            (low & 15 | packed[part - 4] >> 2 & 48, low >> 4 | packed[part] >> 2 & 48)
        };
        let (s, m) = (scale * f32::from(s), minimum * f32::from(m));
        for j in 0..32 {
            let byte = nibbles[part / 2 * 32 + j];
            let nibble = if part % 2 == 0 { byte & 15 } else { byte >> 4 };
            let high = fifth.map_or(0, |fifth| (fifth[j] >> part & 1) << 4);
            out.push(s * f32::from(nibble | high) - m);
        }
    }
}

/// 256 values of Q6_K: two halves of four parts of 32; the parts' low four bits are nibbles of 64 bytes, their high two bits lie in
/// 32 bytes; each 16 values have an 8-bit scale.
fn q6_k(out: &mut Vec<f32>, block: &[u8]) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let scale = half_at(block, 208);
    for half in 0..2 {
        for part in 0..4 {
            for j in 0..32 {
                let byte = low[half * 64 + part % 2 * 32 + j];
                let nibble = if part < 2 { byte & 15 } else { byte >> 4 };
                let q = nibble | (high[half * 32 + j] >> (2 * part) & 3) << 4;
                let group = scales[half * 8 + part * 2 + j / 16] as i8;
                out.push(scale * f32::from(group) * (f32::from(q) - 32.0));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_hex(text: &str) -> Vec<u8> {
        (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("hexadecimal")).collect()
    }

    #[test]
    fn every_block_type_is_llama_cpps() {
        let json = include_str!("../../tests/fixtures/gguf/blocks.json");
        let blocks: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).expect("JSON");
        assert_eq!(blocks.len(), 12);
        for (name, block) in blocks {
            let kind = TensorType::from_code(block["code"].as_u64().expect("code") as u32).expect("supported");
            assert_eq!(format!("{kind:?}"), name);
            let bytes = from_hex(block["bytes"].as_str().expect("bytes"));
            assert_eq!(bytes.len(), 2 * kind.block_bytes());
            let expected = from_hex(block["values"].as_str().expect("values"));
            let expected: Vec<f32> = expected.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            let found = dequantize(kind, &bytes);
            assert_eq!(found.len(), expected.len());
            // Equal but for the order of multiplication, in the last bit.
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() <= 2e-7 * expected.abs().max(1.0), "{name}: {found} {expected}");
            }
        }
    }
}
