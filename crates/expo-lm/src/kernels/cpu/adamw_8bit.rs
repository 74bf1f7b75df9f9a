//! AdamW with both moments in 8 bits a value: block-wise dynamic quantisation (Dettmers et al., arXiv 2110.02861, sections 2.1 and 2.2), with the value tables and
//! the block length of bitsandbytes.

use std::sync::OnceLock;

use super::elementwise::Update;
use super::float::Float;
use super::micro::PANEL;
use super::product::SharedMut;
use super::rows::{for_row_ranges, vectorized};
use crate::kernels::AdamWStep;

/// Values that share a scale.
pub const BLOCK: usize = 256;

/// A vector in 8 bits a value: each is its block's scale times the table's entry at its code.
#[derive(Debug, Clone)]
pub struct Quantized {
    codes: Vec<u8>,
    scales: Vec<f32>,
    signed: bool,
}

impl Quantized {
    /// `len` zeros; without sign, values can't be negative and have twice as many steps.
    pub fn zeros(len: usize, signed: bool) -> Self {
        Self { codes: vec![Table::of(signed).code(0.0); len], scales: vec![0.0; len.div_ceil(BLOCK)], signed }
    }

    /// The values.
    pub fn values(&self) -> Vec<f32> {
        let table = Table::of(self.signed);
        self.codes.iter().enumerate().map(|(i, code)| table.values[*code as usize] * self.scales[i / BLOCK]).collect()
    }
}

impl Quantized {
    /// Its codes, 0 to 255, and its scales.
    pub fn codes_and_scales(&self) -> [Vec<f32>; 2] {
        [self.codes.iter().map(|code| f32::from(*code)).collect(), self.scales.clone()]
    }

    /// Takes both over; `false`, and nothing is changed, where there are not as many, or one is no code.
    pub fn set(&mut self, codes: &[f32], scales: &[f32]) -> bool {
        let is_code = |code: &f32| (0.0..=255.0).contains(code) && code.fract() == 0.0;
        let fits = codes.len() == self.codes.len() && scales.len() == self.scales.len() && codes.iter().all(is_code);
        if fits {
            self.codes = codes.iter().map(|code| *code as u8).collect();
            self.scales = scales.to_vec();
        }
        fits
    }
}

/// The 256 values between -1 (or 0) and 1 that a code can stand for, and the way from a number to the code of the nearest.
pub struct Table {
    /// In ascending order.
    pub values: [f32; 256],
    /// `upper[c]` is half-way between the values of `c` and `c + 1`.
    upper: [f32; 256],
    /// The code of the smallest number with these leading bits.
    first: Box<[u8; 1 << LEADING]>,
}

/// Bits of a float that choose a place in [`Table::first`]: sign, exponent and seven of the mantissa. So a place is narrower than the distance of two codes,
/// the least of which is 0.9 / 128 near 1, and one comparison finds the code.
const LEADING: u32 = 16;

/// A float's bits so that their order as a whole number is that of the floats.
#[inline(always)]
fn ordered(value: f32) -> u32 {
    let bits = value.to_bits();
    bits ^ (((bits as i32 >> 31) as u32) | 0x8000_0000)
}

impl Table {
    /// The table with or without sign.
    pub fn of(signed: bool) -> &'static Self {
        static TABLES: [OnceLock<Table>; 2] = [const { OnceLock::new() }; 2];
        TABLES[usize::from(signed)].get_or_init(|| Self::new(signed))
    }

    /// The dynamic data type: seven decades, in each of them the middles between evenly spaced points from 0.1 to 1, twice as many in each decade as in
    /// the one below; and 0 and 1.
    fn new(signed: bool) -> Self {
        const DECADES: i32 = 7;
        let mut all: Vec<f64> = vec![0.0, 1.0];
        for decade in 0..DECADES {
            let steps = 1 << (decade + i32::from(!signed));
            let scale = 10f64.powi(decade - (DECADES - 1));
            for step in 0..steps {
                let middle = scale * (0.1 + 0.9 * (f64::from(step) + 0.5) / f64::from(steps));
                all.push(middle);
                if signed {
                    all.push(-middle);
                }
            }
        }
        all.sort_by(f64::total_cmp);
        let mut values = [1.0; 256];
        for (value, exact) in values.iter_mut().zip(&all) {
            *value = *exact as f32;
        }
        debug_assert_eq!(all.len(), 256);
        let mut upper = [f32::INFINITY; 256];
        for code in 0..255 {
            upper[code] = (values[code] + values[code + 1]) / 2.0;
        }
        let shift = 32 - LEADING;
        let first = (0..1u32 << LEADING).map(|leading| {
            let key = leading << shift;
            let smallest = f32::from_bits(if key >> 31 == 1 { key ^ 0x8000_0000 } else { !key });
            if smallest.is_nan() { 0 } else { upper.partition_point(|upper| *upper < smallest).min(255) as u8 }
        });
        let first: Vec<u8> = first.collect();
        Self { values, upper, first: first.try_into().expect("one entry for each place") }
    }

    /// The code of the value nearest to `value`, which is at most 1 in size; half-way between two the lower one.
    #[inline(always)]
    pub fn code(&self, value: f32) -> u8 {
        let code = self.first[(ordered(value) >> (32 - LEADING)) as usize];
        // No branch, which would be guessed wrong half the time. The last entry is infinite: no code goes beyond 255.
        code + u8::from(value > self.upper[code as usize])
    }
}

/// One AdamW update (as [`super::elementwise::adamw`]) whose moments are kept in 8 bits. The update itself uses them unrounded.
pub fn adamw<F: Float>(s: &AdamWStep, param: &mut [F], gradient: &[F], first: &mut Quantized, second: &mut Quantized) {
    let len = param.len();
    assert!(gradient.len() == len && first.codes.len() == len && second.codes.len() == len);
    let update = Update::<F>::new(s);
    let (first_table, second_table) = (Table::of(first.signed), Table::of(second.signed));
    let param = SharedMut::new(param);
    let (first_codes, first_scales) = (SharedMut::new(&mut first.codes), SharedMut::new(&mut first.scales));
    let (second_codes, second_scales) = (SharedMut::new(&mut second.codes), SharedMut::new(&mut second.scales));
    for_row_ranges(len.div_ceil(BLOCK), BLOCK, |blocks| {
        vectorized(
            #[inline(always)]
            || {
                for block in blocks {
                    let (at, n) = (block * BLOCK, BLOCK.min(len - block * BLOCK));
                    // SAFETY: blocks are disjoint and inside the five slices, whose lengths were asserted.
                    let (p, first_codes, first_scale, second_codes, second_scale) = unsafe {
                        (
                            std::slice::from_raw_parts_mut(param.at(at), n),
                            std::slice::from_raw_parts_mut(first_codes.at(at), n),
                            &mut *first_scales.at(block),
                            std::slice::from_raw_parts_mut(second_codes.at(at), n),
                            &mut *second_scales.at(block),
                        )
                    };
                    let mut m = read(first_table, first_codes, *first_scale);
                    let mut v = read(second_table, second_codes, *second_scale);
                    update.apply(p, &gradient[at..at + n], &mut m[..n], &mut v[..n]);
                    write(first_table, &m[..n], first_codes, first_scale);
                    write(second_table, &v[..n], second_codes, second_scale);
                }
            },
        )
    });
}

/// The values of a block.
#[inline(always)]
fn read<F: Float>(table: &Table, codes: &[u8], scale: f32) -> [F; BLOCK] {
    let mut values = [F::ZERO; BLOCK];
    for (value, code) in values.iter_mut().zip(codes) {
        *value = F::of(f64::from(table.values[*code as usize] * scale));
    }
    values
}

/// Quantises a block: its scale is its largest size.
#[inline(always)]
fn write<F: Float>(table: &Table, values: &[F], codes: &mut [u8], scale: &mut f32) {
    // In lanes, which vectorise.
    let mut sizes = [0.0f32; PANEL];
    for values in values.chunks(PANEL) {
        for (size, value) in sizes.iter_mut().zip(values) {
            let value = (value.f64() as f32).abs();
            *size = if value > *size { value } else { *size };
        }
    }
    let largest = sizes.into_iter().fold(0.0, f32::max);
    // What has no finite reciprocal counts as 0.
    let (kept, inverse) = if largest < f32::MIN_POSITIVE { (0.0, 0.0) } else { (largest, 1.0 / largest) };
    *scale = kept;
    for (code, value) in codes.iter_mut().zip(values) {
        *code = table.code((value.f64() as f32 * inverse).clamp(-1.0, 1.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_those_of_bitsandbytes() {
        // `create_dynamic_map(signed)` of bitsandbytes 0.50, by scripts/fixtures/dynamic_map.py.
        let fixture = include_str!("../../../tests/fixtures/dynamic_map.json");
        let maps: serde_json::Value = serde_json::from_str(fixture).unwrap();
        for (name, signed) in [("signed", true), ("unsigned", false)] {
            let expected: Vec<f32> = maps[name].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
            let table = Table::of(signed);
            assert_eq!(expected.len(), 256);
            for (found, expected) in table.values.iter().zip(&expected) {
                assert!((found - expected).abs() <= 1e-6 * expected.abs(), "{name}: {found} {expected}");
            }
        }
    }

    #[test]
    fn the_code_is_that_of_the_nearest_value() {
        for signed in [true, false] {
            let table = Table::of(signed);
            let nearest = |x: f32| {
                let distance = |v: f32| (f64::from(v) - f64::from(x)).abs();
                table.values.iter().map(|v| distance(*v)).fold(f64::INFINITY, f64::min)
            };
            let mut x = 1.0f32;
            while x > 1e-9 {
                for x in [x, -x, 0.0] {
                    let x = if signed { x } else { x.abs() };
                    let found = table.values[table.code(x) as usize];
                    assert!((f64::from(found) - f64::from(x)).abs() <= nearest(x) + 1e-12, "{x}: {found}");
                }
                x *= 0.9973;
            }
            for (code, value) in table.values.iter().enumerate() {
                assert_eq!(table.code(*value) as usize, code, "a value of the table is its own");
            }
        }
    }

    #[test]
    fn quantising_again_changes_nothing() {
        let table = Table::of(true);
        let values: Vec<f32> = (0..BLOCK).map(|i| ((i * 37 % 101) as f32 - 50.0) * 1.7e-4).collect();
        let (mut codes, mut scale) = (vec![0; BLOCK], 0.0);
        write(table, &values, &mut codes, &mut scale);
        let once = read::<f32>(table, &codes, scale);
        let (before, scale_before) = (codes.clone(), scale);
        write(table, &once, &mut codes, &mut scale);
        assert_eq!((codes, scale), (before, scale_before));
        let worst = values.iter().zip(once).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // Half a step of the widest decade, 0.9 / 64.
        assert!(worst <= scale * 0.9 / 128.0 * 1.001, "{worst} {scale}");
    }

    #[test]
    fn the_first_update_is_that_of_full_precision() {
        let n = 700;
        let gradient: Vec<f32> = (0..n).map(|i| ((i * 7919 % 211) as f32 - 105.0) * 1e-3).collect();
        let start: Vec<f32> = (0..n).map(|i| (i as f32 * 0.37).sin()).collect();
        let step = |step| AdamWStep { lr: 1e-2, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.1, step, gradient_scale: 0.5 };
        let (mut full, mut eight) = (start.clone(), start);
        let (mut m, mut v) = (vec![0.0; n], vec![0.0; n]);
        let (mut first, mut second) = (Quantized::zeros(n, true), Quantized::zeros(n, false));
        for s in 1..=3 {
            super::super::elementwise::adamw(&step(s), &mut full, &gradient, &mut m, &mut v);
            adamw(&step(s), &mut eight, &gradient, &mut first, &mut second);
            let worst = full.iter().zip(&eight).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < if s == 1 { 1e-7 } else { 3e-3 }, "step {s}: {worst}");
        }
        let close = |full: &[f32], kept: Vec<f32>| {
            for (block, (full, kept)) in full.chunks(BLOCK).zip(kept.chunks(BLOCK)).enumerate() {
                let scale = full.iter().fold(0.0f32, |a, b| a.max(b.abs()));
                let worst = full.iter().zip(kept).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst < 0.02 * scale, "block {block}: {worst} of {scale}");
            }
        };
        close(&m, first.values());
        close(&v, second.values());
    }
}
