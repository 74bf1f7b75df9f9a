//! The element type of the CPU kernels: f32 for work, f64 for gradient checks.

use std::cell::RefCell;
use std::fmt::Debug;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

use super::micro::TileKernel;

/// A floating-point type that the kernels can run in.
pub trait Float:
    Copy
    + Send
    + Sync
    + Debug
    + Default
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + Sum
    + 'static
{
    /// 0
    const ZERO: Self;
    /// 1
    const ONE: Self;
    /// Negative infinity.
    const NEG_INFINITY: Self;
    /// Rounds from f64.
    fn of(value: f64) -> Self;
    /// Widens to f64.
    fn f64(self) -> f64;
    /// Fused multiply-add: `self * a + b`.
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// e^self; vectorises inside a dispatched loop. Under -87 (f32) the result is 0.
    fn exp(self) -> Self;
    /// The natural logarithm of a positive normal number; vectorises inside a dispatched loop.
    fn ln(self) -> Self;
    /// The larger of two (neither is NaN).
    fn larger(self, other: Self) -> Self;
    /// The matrix-product tile for this type on this processor.
    fn tile_kernel() -> TileKernel<Self>;
    /// `to[c][r] = from[r][c]` for four rows of four elements.
    ///
    /// # Safety
    /// Each pointer covers four elements; none of `to` overlaps another.
    unsafe fn transpose_4x4(from: [*const Self; 4], to: [*mut Self; 4]) {
        for (c, to) in to.into_iter().enumerate() {
            for (r, from) in from.iter().enumerate() {
                // SAFETY: the caller's promise.
                unsafe { *to.add(r) = *from.add(c) };
            }
        }
    }
    /// Takes a scratch vector from this thread's pool, of `len` elements and not very many more; empty where the pool has none.
    fn take_scratch(len: usize) -> Vec<Self>;
    /// Gives it back.
    fn give_scratch(scratch: Vec<Self>);
}

/// A scratch vector of at most this many elements serves any smaller request; larger ones only those of a quarter of their length or more, so that
/// the largest request's memory exists once.
const SMALL_SCRATCH: usize = 1 << 16;

/// Most scratch vectors that a thread keeps.
const MOST_SCRATCH: usize = 24;

macro_rules! common {
    ($t:ty, $pool:ident) => {
        const ZERO: Self = 0.0;
        const ONE: Self = 1.0;
        const NEG_INFINITY: Self = <$t>::NEG_INFINITY;
        #[inline(always)]
        fn of(value: f64) -> Self {
            value as $t
        }
        #[inline(always)]
        fn f64(self) -> f64 {
            self as f64
        }
        #[inline(always)]
        fn mul_add(self, a: Self, b: Self) -> Self {
            <$t>::mul_add(self, a, b)
        }
        #[inline(always)]
        fn sqrt(self) -> Self {
            <$t>::sqrt(self)
        }
        #[inline(always)]
        fn larger(self, other: Self) -> Self {
            if self > other { self } else { other }
        }
        fn take_scratch(len: usize) -> Vec<Self> {
            $pool.with_borrow_mut(|pool| {
                let fitting = |v: &Vec<Self>| (len..=(4 * len).max(SMALL_SCRATCH)).contains(&v.len());
                let best = (0..pool.len()).filter(|i| fitting(&pool[*i])).min_by_key(|i| pool[*i].len());
                best.map(|i| pool.swap_remove(i)).unwrap_or_default()
            })
        }
        fn give_scratch(scratch: Vec<Self>) {
            $pool.with_borrow_mut(|pool| {
                if pool.len() == MOST_SCRATCH {
                    let smallest = (0..pool.len()).min_by_key(|i| pool[*i].len()).unwrap_or(0);
                    pool.swap_remove(smallest);
                }
                pool.push(scratch);
            });
        }
    };
}

thread_local! {
    static POOL_F32: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
    static POOL_F64: RefCell<Vec<Vec<f64>>> = const { RefCell::new(Vec::new()) };
}

impl Float for f32 {
    common!(f32, POOL_F32);

    /// Range reduction by ln 2 in two parts and a polynomial of degree 6 (the coefficients are Cephes' expf); relative error under 3e-7.
    #[inline(always)]
    fn exp(self) -> Self {
        // Adding 1.5 * 2^23 rounds to the nearest integer and leaves that integer in the low bits.
        const MAGIC: f32 = 12_582_912.0;
        let x = if self < 88.0 { self } else { 88.0 };
        let x = if x > -87.0 { x } else { -87.0 };
        let shifted = x.mul_add(std::f32::consts::LOG2_E, MAGIC);
        let n = shifted - MAGIC;
        let r = n.mul_add(-0.693_359_4, x);
        let r = n.mul_add(2.121_944_4e-4, r);
        let p = r.mul_add(1.987_569_1e-4, 1.398_199_9e-3);
        let p = r.mul_add(p, 8.333_452e-3);
        let p = r.mul_add(p, 4.166_579_6e-2);
        let p = r.mul_add(p, 1.666_666_5e-1);
        let p = r.mul_add(p, 0.5);
        let y = (r * r).mul_add(p, r) + 1.0;
        let scale = f32::from_bits(shifted.to_bits().wrapping_sub(MAGIC.to_bits()).wrapping_add(127) << 23);
        if self > -87.0 { y * scale } else { 0.0 }
    }

    /// The exponent's bits times ln 2 in two parts, and a polynomial of degree 9 around 1 (the coefficients are Cephes' logf); absolute error under 1e-7 near
    /// 1, relative error under 2e-7 elsewhere.
    #[inline(always)]
    fn ln(self) -> Self {
        // The bits of sqrt(1/2): the mantissa is brought between that and sqrt(2).
        const ROOT_HALF: u32 = 0x3f35_04f3;
        let exponent = (self.to_bits().wrapping_sub(ROOT_HALF) as i32) >> 23;
        let mantissa = f32::from_bits(self.to_bits().wrapping_sub((exponent << 23) as u32));
        let (n, x) = (exponent as f32, mantissa - 1.0);
        let p = x.mul_add(7.037_683_6e-2, -1.151_461e-1);
        let p = x.mul_add(p, 1.167_699_9e-1);
        let p = x.mul_add(p, -1.242_014_1e-1);
        let p = x.mul_add(p, 1.424_932_3e-1);
        let p = x.mul_add(p, -1.666_805_8e-1);
        let p = x.mul_add(p, 2.000_071_5e-1);
        let p = x.mul_add(p, -2.499_999_4e-1);
        let p = x.mul_add(p, 3.333_333e-1);
        let square = x * x;
        let y = n.mul_add(-2.121_944_4e-4, square * x * p);
        let y = square.mul_add(-0.5, y);
        n.mul_add(0.693_359_4, x + y)
    }

    /// By shuffles of SSE, which every x86-64 processor has; compilers leave the plain loops scalar.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn transpose_4x4(from: [*const Self; 4], to: [*mut Self; 4]) {
        use std::arch::x86_64::{_MM_TRANSPOSE4_PS, _mm_loadu_ps, _mm_storeu_ps};
        // SAFETY: the caller's promise; loads and stores are unaligned ones.
        unsafe {
            let [mut a, mut b, mut c, mut d] = from.map(|row| _mm_loadu_ps(row));
            _MM_TRANSPOSE4_PS(&mut a, &mut b, &mut c, &mut d);
            for (to, row) in to.into_iter().zip([a, b, c, d]) {
                _mm_storeu_ps(to, row);
            }
        }
    }

    fn tile_kernel() -> TileKernel<Self> {
        super::micro::tile_kernel_f32()
    }
}

impl Float for f64 {
    common!(f64, POOL_F64);

    #[inline(always)]
    fn exp(self) -> Self {
        f64::exp(self)
    }

    #[inline(always)]
    fn ln(self) -> Self {
        f64::ln(self)
    }

    fn tile_kernel() -> TileKernel<Self> {
        super::micro::tile_kernel_f64()
    }
}

/// Scratch memory from the thread's pool; given back on drop.
pub struct Scratch<F: Float>(Vec<F>);

impl<F: Float> Scratch<F> {
    /// At least `len` elements of unspecified (but initialised) content.
    pub fn new(len: usize) -> Self {
        let mut buffer = F::take_scratch(len);
        if buffer.len() < len {
            buffer.resize(len, F::ZERO);
        }
        Self(buffer)
    }
}

impl<F: Float> std::ops::Deref for Scratch<F> {
    type Target = [F];
    fn deref(&self) -> &[F] {
        &self.0
    }
}

impl<F: Float> std::ops::DerefMut for Scratch<F> {
    fn deref_mut(&mut self) -> &mut [F] {
        &mut self.0
    }
}

impl<F: Float> Drop for Scratch<F> {
    fn drop(&mut self) {
        F::give_scratch(std::mem::take(&mut self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_f32_agrees_with_std() {
        for i in -8690..8790 {
            let x = i as f32 / 100.0 + 0.003;
            let (ours, exact) = (Float::exp(x).f64(), (x as f64).exp());
            assert!((ours - exact).abs() <= 3e-7 * exact, "exp({x}): {ours} against {exact}");
        }
        assert_eq!(Float::exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(Float::exp(0.0f32), 1.0);
    }

    #[test]
    fn ln_f32_agrees_with_std() {
        let values = (1..4000).map(|i| i as f32 / 1000.0).chain((-125..127).map(|n| 1.37 * (n as f32).exp2()));
        for x in values {
            let (ours, exact) = (Float::ln(x).f64(), (x as f64).ln());
            assert!((ours - exact).abs() <= 2e-7 * exact.abs().max(0.5), "ln({x}): {ours} against {exact}");
        }
        assert_eq!(Float::ln(1.0f32), 0.0);
    }
}
