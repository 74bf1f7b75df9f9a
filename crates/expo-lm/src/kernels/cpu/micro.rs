//! The innermost tile of every matrix product, chosen for the processor at run time.
//!
//! A tile computes `M` rows by `P` panels of [`PANEL`] columns: `C[r][p][l] (+)= sum over k of A[k][r] * B[p][k][l]`. Each output element
//! is one chain of fused multiply-adds in the order of k, whatever `M` and `P` are: results don't depend on how a product is cut into
//! tiles, on how many rows it has or on the thread that computes it.

use super::float::Float;

/// Columns of a panel: one AVX-512 vector or two AVX2 vectors of f32.
pub const PANEL: usize = 16;

/// Most rows of a tile of two panels.
pub const TILE_ROWS: usize = 12;

/// Most rows of a tile of one panel: it reads B once where two lower ones would read it twice, which counts where B comes from memory.
pub const TALL_TILE_ROWS: usize = 16;

/// Operands of one tile. Strides are in elements.
pub struct Tile<F> {
    /// Length of the sum.
    pub k: usize,
    /// `A[k][r]` at `a + k * M + r`.
    pub a: *const F,
    /// `B[p][k][l]` at `b + p * b_panel + k * PANEL + l`.
    pub b: *const F,
    /// Distance between panels of B.
    pub b_panel: usize,
    /// `C[r][p][l]` at `c + r * c_row + p * c_panel + l`.
    pub c: *mut F,
    /// Distance between rows of C.
    pub c_row: usize,
    /// Distance between panels of C.
    pub c_panel: usize,
    /// Add to C instead of overwriting it.
    pub accumulate: bool,
}

/// Runs a tile of `(rows, panels)`; `panels` is what [`panels_for`] gave, or 1.
pub type TileKernel<F> = unsafe fn(usize, usize, &Tile<F>);

/// How many panels a tile takes at once when the product has `rows` rows in all: few rows need many independent sums to hide latency.
pub fn panels_for(rows: usize) -> usize {
    match rows {
        1 => 8,
        2..=4 => 4,
        13..=TALL_TILE_ROWS => 1,
        _ => 2,
    }
}

/// # Safety
/// The tile's operands cover what it addresses.
#[inline(always)]
unsafe fn portable<F: Float, const M: usize, const P: usize>(t: &Tile<F>) {
    let mut acc = [[[F::ZERO; PANEL]; P]; M];
    // SAFETY: the caller promises that the operands cover the addressed elements.
    unsafe {
        for k in 0..t.k {
            for p in 0..P {
                let b: &[F; PANEL] = &*t.b.add(p * t.b_panel + k * PANEL).cast();
                for (r, row) in acc.iter_mut().enumerate() {
                    let a = *t.a.add(k * M + r);
                    for l in 0..PANEL {
                        row[p][l] = a.mul_add(b[l], row[p][l]);
                    }
                }
            }
        }
        for (r, row) in acc.iter().enumerate() {
            for (p, sums) in row.iter().enumerate() {
                let c: &mut [F; PANEL] = &mut *t.c.add(r * t.c_row + p * t.c_panel).cast();
                for l in 0..PANEL {
                    c[l] = if t.accumulate { c[l] + sums[l] } else { sums[l] };
                }
            }
        }
    }
}

/// Calls `$f::<M, P>($t)` for run-time `m` and `p`; shapes are those that [`panels_for`] can ask for.
macro_rules! for_shape {
    ($f:ident, [$($ty:ty)?], $m:expr, $p:expr, $t:expr) => {
        for_shape!(@arms $f, [$($ty)?], $m, $p, $t, [
            1 1, 2 1, 3 1, 4 1, 5 1, 6 1, 7 1, 8 1, 9 1, 10 1, 11 1, 12 1,
            13 1, 14 1, 15 1, 16 1,
            1 2, 2 2, 3 2, 4 2, 5 2, 6 2, 7 2, 8 2, 9 2, 10 2, 11 2, 12 2,
            1 4, 2 4, 3 4, 4 4, 1 8
        ])
    };
    (@arms $f:ident, $ty:tt, $m:expr, $p:expr, $t:expr, [$($M:literal $P:literal),*]) => {
        match ($m, $p) {
            $(($M, $P) => for_shape!(@call $f, $ty, $M, $P, $t),)*
            (m, p) => unreachable!("no tile of {m} rows and {p} panels"),
        }
    };
    // SAFETY: the same contract as the caller's.
    (@call $f:ident, [], $M:literal, $P:literal, $t:expr) => { unsafe { $f::<$M, $P>($t) } };
    // SAFETY: the same contract as the caller's.
    (@call $f:ident, [$ty:ty], $M:literal, $P:literal, $t:expr) => { unsafe { $f::<$ty, $M, $P>($t) } };
}

/// # Safety
/// The tile's operands cover what it addresses.
unsafe fn run_portable<F: Float>(m: usize, p: usize, t: &Tile<F>) {
    struct Run<'a, F>(usize, usize, &'a Tile<F>);
    impl<F: Float> pulp::NullaryFnOnce for Run<'_, F> {
        type Output = ();
        #[inline(always)]
        fn call(self) {
            for_shape!(portable, [F], self.0, self.1, self.2)
        }
    }
    // Inside `dispatch` the tile is compiled for the best instruction set that the processor has.
    pulp::Arch::new().dispatch(Run(m, p, t))
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{PANEL, Tile};
    use std::arch::x86_64::*;

    /// How many rows of a panel ahead B is fetched by a tile of `P` panels: in decoding it comes from memory, whose latency is that of some ten rows. Reading
    /// past the end of B is harmless, since a prefetch never faults.
    const fn prefetch(panels: usize) -> usize {
        if panels == 1 { 64 } else { 32 }
    }

    #[target_feature(enable = "avx512f")]
    unsafe fn avx512<const M: usize, const P: usize>(t: &Tile<f32>) {
        // SAFETY: the caller promises that the operands cover the addressed elements; loads and stores are unaligned ones.
        unsafe {
            let mut acc = [[_mm512_setzero_ps(); P]; M];
            let (mut a, mut b) = (t.a, t.b);
            for _ in 0..t.k {
                let mut bv = [_mm512_setzero_ps(); P];
                for (p, v) in bv.iter_mut().enumerate() {
                    *v = _mm512_loadu_ps(b.add(p * t.b_panel));
                    _mm_prefetch::<_MM_HINT_T0>(b.wrapping_add(p * t.b_panel + prefetch(P) * PANEL).cast());
                }
                for (r, row) in acc.iter_mut().enumerate() {
                    let av = _mm512_set1_ps(*a.add(r));
                    for p in 0..P {
                        row[p] = _mm512_fmadd_ps(av, bv[p], row[p]);
                    }
                }
                a = a.add(M);
                b = b.add(PANEL);
            }
            for (r, row) in acc.iter().enumerate() {
                for (p, sums) in row.iter().enumerate() {
                    let c = t.c.add(r * t.c_row + p * t.c_panel);
                    let value = if t.accumulate { _mm512_add_ps(_mm512_loadu_ps(c), *sums) } else { *sums };
                    _mm512_storeu_ps(c, value);
                }
            }
        }
    }

    /// One panel is two AVX2 vectors; 6 rows fill the sixteen registers, so taller tiles run as two halves.
    #[target_feature(enable = "avx2,fma")]
    unsafe fn avx2_rows<const R: usize>(t: &Tile<f32>, m: usize, first: usize, panel: usize) {
        // SAFETY: as above.
        unsafe {
            let mut acc = [[_mm256_setzero_ps(); 2]; R];
            let (mut a, mut b) = (t.a.add(first), t.b.add(panel * t.b_panel));
            for _ in 0..t.k {
                let (b0, b1) = (_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(8)));
                for (r, row) in acc.iter_mut().enumerate() {
                    let av = _mm256_set1_ps(*a.add(r));
                    row[0] = _mm256_fmadd_ps(av, b0, row[0]);
                    row[1] = _mm256_fmadd_ps(av, b1, row[1]);
                }
                a = a.add(m);
                b = b.add(PANEL);
            }
            for (r, row) in acc.iter().enumerate() {
                for (half, sums) in row.iter().enumerate() {
                    let c = t.c.add((first + r) * t.c_row + panel * t.c_panel + 8 * half);
                    let value = if t.accumulate { _mm256_add_ps(_mm256_loadu_ps(c), *sums) } else { *sums };
                    _mm256_storeu_ps(c, value);
                }
            }
        }
    }

    /// # Safety
    /// The processor has AVX2 and FMA, and the tile's operands cover what it addresses.
    pub unsafe fn run_avx2(m: usize, p: usize, t: &Tile<f32>) {
        for panel in 0..p {
            let mut first = 0;
            while first < m {
                let rows = (m - first).min(6);
                // SAFETY: the caller's contract.
                unsafe {
                    match rows {
                        1 => avx2_rows::<1>(t, m, first, panel),
                        2 => avx2_rows::<2>(t, m, first, panel),
                        3 => avx2_rows::<3>(t, m, first, panel),
                        4 => avx2_rows::<4>(t, m, first, panel),
                        5 => avx2_rows::<5>(t, m, first, panel),
                        _ => avx2_rows::<6>(t, m, first, panel),
                    }
                }
                first += rows;
            }
        }
    }

    /// # Safety
    /// The processor has AVX-512F, and the tile's operands cover what it addresses.
    pub unsafe fn run_avx512(m: usize, p: usize, t: &Tile<f32>) {
        for_shape!(avx512, [], m, p, t)
    }
}

/// The best f32 tile for this processor.
pub fn tile_kernel_f32() -> TileKernel<f32> {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            return x86::run_avx512;
        }
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            return x86::run_avx2;
        }
    }
    run_portable::<f32>
}

/// The f64 tile (gradient checks only).
pub fn tile_kernel_f64() -> TileKernel<f64> {
    run_portable::<f64>
}

/// The instruction set of the matrix product in use, as written into `run.json`.
pub fn instruction_set() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            return "avx512f";
        }
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            return "avx2+fma";
        }
    }
    if cfg!(target_arch = "aarch64") { "neon" } else { "portable" }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every shape of every kernel that this processor can run gives the bits of the portable one.
    #[test]
    fn kernels_agree_bit_for_bit() {
        let mut kernels: Vec<TileKernel<f32>> = vec![tile_kernel_f32()];
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            kernels.push(x86::run_avx2);
        }
        let k = 37;
        let value = |i: usize| ((i * 2_654_435_761) % 1000) as f32 / 500.0 - 1.0;
        for (m, p) in
            (1..=12).flat_map(|m| [(m, 1), (m, 2)]).chain((13..=16).map(|m| (m, 1))).chain([(1, 4), (2, 4), (3, 4), (4, 4), (1, 8)])
        {
            let a: Vec<f32> = (0..k * m).map(value).collect();
            let b: Vec<f32> = (0..p * k * PANEL).map(|i| value(i + 7)).collect();
            for accumulate in [false, true] {
                let run = |kernel: TileKernel<f32>| {
                    let mut c: Vec<f32> = (0..m * p * PANEL).map(|i| value(i + 3)).collect();
                    let (a, b, c_ptr) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
                    let tile = Tile { k, a, b, b_panel: k * PANEL, c: c_ptr, c_row: p * PANEL, c_panel: PANEL, accumulate };
                    // SAFETY: the operands have exactly the sizes that the tile addresses.
                    unsafe { kernel(m, p, &tile) };
                    c
                };
                let expected = run(run_portable::<f32>);
                for kernel in &kernels {
                    assert_eq!(run(*kernel), expected, "{m} rows, {p} panels");
                }
            }
        }
    }
}
