//! The CPU backend: own kernels, vectorised at run time, on rayon's pool.

pub mod adamw_8bit;
pub mod attention;
pub mod decode;
pub mod divergence;
pub mod elementwise;
pub mod float;
pub mod gemm;
pub mod glu;
pub mod head;
pub mod low_rank;
pub mod memory;
pub mod micro;
pub mod norm;
pub mod panels;
pub mod product;
pub mod rows;
pub mod sample;

use std::marker::PhantomData;
use std::ops::Range;

use float::Float;
use gemm::Columns;

use super::{
    AdamWStep, Backend, CacheSlot, CachedSequence, Draw, Dropout, HeadGradients, HeadLayout, HeadScores, LinearShape, LowRank,
    LowRankGradients, LowRankShape, NormShape, Teacher,
};
use crate::batch::{Segment, Target};
use crate::models::Activation;

/// Host memory and the processor's vector units, computing in `F` (f32; f64 for gradient checks).
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu<F>(PhantomData<F>);

impl<F: Float> Backend for Cpu<F> {
    type Buf = Vec<F>;
    type Quantized = adamw_8bit::Quantized;

    fn zeros(&self, len: usize) -> Vec<F> {
        vec![F::ZERO; len]
    }
    fn len(&self, buf: &Vec<F>) -> usize {
        buf.len()
    }
    fn clear(&self, buf: &mut Vec<F>, len: usize) {
        buf[..len].fill(F::ZERO);
    }
    fn copy(&self, from: &Vec<F>, to: &mut Vec<F>, len: usize) {
        to[..len].copy_from_slice(&from[..len]);
    }
    fn vector(&self, values: &[f64]) -> Vec<F> {
        values.iter().map(|v| F::of(*v)).collect()
    }
    fn matrix(&self, rows: usize, cols: usize, values: &[f32]) -> Vec<F> {
        let mut panels = vec![F::ZERO; panels::panels_len(rows, cols)];
        panels::to_panels(rows, cols, values, &mut panels);
        panels
    }
    fn read_vector(&self, buf: &Vec<F>) -> Vec<f64> {
        buf.iter().map(|v| v.f64()).collect()
    }
    fn read_matrix(&self, rows: Range<usize>, cols: usize, buf: &Vec<F>) -> Vec<f64> {
        panels::from_panels(rows, cols, buf)
    }
    fn read_rows(&self, width: usize, rows: &[usize], buf: &Vec<F>) -> Vec<f32> {
        rows.iter().flat_map(|row| &buf[row * width..][..width]).map(|v| v.f64() as f32).collect()
    }
    fn sum_of_squares(&self, buf: &Vec<F>) -> f64 {
        let mut sum = [0.0f64];
        rows::reduce_rows(buf.len(), 1, &mut sum, |range, part| {
            part[0] = buf[range].iter().map(|v| v.f64() * v.f64()).sum();
        });
        sum[0]
    }
    fn average(&self, from: &Vec<F>, to: &mut Vec<F>, keep: f64) {
        let (keep, rest) = (F::of(keep), F::of(1.0 - keep));
        for (t, f) in to.iter_mut().zip(from) {
            *t = *t * keep + *f * rest;
        }
    }
    fn adamw(&self, step: &AdamWStep, param: &mut Vec<F>, gradient: &Vec<F>, first: &mut Vec<F>, second: &mut Vec<F>) {
        elementwise::adamw(step, param, gradient, first, second);
    }
    fn quantized_zeros(&self, len: usize, signed: bool) -> Self::Quantized {
        adamw_8bit::Quantized::zeros(len, signed)
    }
    fn dequantize(&self, values: &Self::Quantized) -> Vec<F> {
        values.values().into_iter().map(|value| F::of(f64::from(value))).collect()
    }
    fn read_quantized(&self, values: &Self::Quantized) -> [Vec<f32>; 2] {
        values.codes_and_scales()
    }
    fn write_quantized(&self, codes: &[f32], scales: &[f32], values: &mut Self::Quantized) -> bool {
        values.set(codes, scales)
    }
    fn adamw_8bit(
        &self,
        step: &AdamWStep,
        param: &mut Vec<F>,
        gradient: &Vec<F>,
        first: &mut Self::Quantized,
        second: &mut Self::Quantized,
    ) {
        adamw_8bit::adamw(step, param, gradient, first, second);
    }
    fn add(&self, from: &Vec<F>, to: &mut Vec<F>, len: usize) {
        elementwise::add(&from[..len], &mut to[..len]);
    }
    fn embedding(&self, width: usize, scale: f64, tokens: &[u32], table: &Vec<F>, out: &mut Vec<F>) {
        elementwise::embedding_forward(width, F::of(scale), tokens, table, out);
    }
    fn embedding_backward(&self, width: usize, scale: f64, tokens: &[u32], dout: &Vec<F>, dtable: &mut Vec<F>) {
        elementwise::embedding_backward(width, F::of(scale), tokens, dout, dtable);
    }
    fn linear(&self, s: LinearShape, x: &Vec<F>, weight: &Vec<F>, y: &mut Vec<F>, accumulate: bool) {
        gemm::linear_forward(s.rows, s.inputs, s.outputs, x, weight, y, Columns::whole(s.outputs), accumulate);
    }
    fn linear_backward_input(&self, s: LinearShape, dy: &Vec<F>, weight: &Vec<F>, dx: &mut Vec<F>) {
        gemm::linear_backward_input(s.rows, s.inputs, s.outputs, dy, Columns::whole(s.outputs), weight, dx, false);
    }
    fn linear_backward_weight(&self, s: LinearShape, dy: &Vec<F>, x: &Vec<F>, dweight: &mut Vec<F>) {
        gemm::linear_backward_weight(s.rows, s.inputs, s.outputs, dy, Columns::whole(s.outputs), x, dweight);
    }
    fn low_rank(&self, s: LowRankShape, x: &Vec<F>, weights: LowRank<'_, Vec<F>>, h: &mut Vec<F>, y: &mut Vec<F>) {
        low_rank::forward(s, x, weights.a, weights.b, h, y);
    }
    fn low_rank_backward(
        &self,
        s: LowRankShape,
        dy: &Vec<F>,
        x: &Vec<F>,
        weights: LowRank<'_, Vec<F>>,
        scratch: [&mut Vec<F>; 2],
        gradients: LowRankGradients<'_, Vec<F>>,
    ) {
        let [h, dh] = scratch.map(Vec::as_mut_slice);
        let LowRankGradients { a, b, dx } = gradients;
        low_rank::backward(s, dy, x, weights.a, weights.b, h, dh, a, b, dx.map(Vec::as_mut_slice));
    }
    fn dropout(&self, dropout: Dropout, len: usize, x: &Vec<F>, out: &mut Vec<F>) {
        low_rank::dropout(dropout, &x[..len], &mut out[..len], false);
    }
    fn dropout_backward(&self, dropout: Dropout, len: usize, dout: &Vec<F>, dx: &mut Vec<F>) {
        low_rank::dropout(dropout, &dout[..len], &mut dx[..len], true);
    }
    fn bias(&self, rows: usize, bias: &Vec<F>, y: &mut Vec<F>) {
        elementwise::bias_forward(rows, bias, y);
    }
    fn bias_backward(&self, rows: usize, dy: &Vec<F>, dbias: &mut Vec<F>) {
        elementwise::bias_backward(rows, dy, dbias);
    }
    fn rms_norm(&self, shape: NormShape, x: &Vec<F>, weight: &Vec<F>, eps: f64, y: &mut Vec<F>, inv: &mut Vec<F>) {
        norm::forward(shape, x, weight, eps, y, inv);
    }
    fn rms_norm_backward(
        &self,
        shape: NormShape,
        dy: &Vec<F>,
        x: &Vec<F>,
        weight: &Vec<F>,
        inv: &Vec<F>,
        dx: &mut Vec<F>,
        dweight: Option<&mut Vec<F>>,
    ) {
        norm::backward(shape, dy, x, weight, inv, dx, dweight.map(Vec::as_mut_slice));
    }
    fn rms_norm_backward_in_place(
        &self,
        shape: NormShape,
        d: &mut Vec<F>,
        x: &Vec<F>,
        weight: &Vec<F>,
        inv: &Vec<F>,
        dweight: Option<&mut Vec<F>>,
    ) {
        norm::backward_in_place(shape, d, x, weight, inv, dweight.map(Vec::as_mut_slice));
    }
    fn rope(&self, layout: HeadLayout, positions: &[u32], table: &Vec<F>, qkv: &mut Vec<F>, inverse: bool) {
        elementwise::rope(layout, positions, table, qkv, inverse);
    }
    fn attention(&self, layout: HeadLayout, segments: &[Segment], window: Option<usize>, qkv: &Vec<F>, out: &mut Vec<F>, lse: &mut Vec<F>) {
        attention::forward(layout, segments, window, qkv, out, lse);
    }
    fn attention_backward(
        &self,
        layout: HeadLayout,
        segments: &[Segment],
        window: Option<usize>,
        qkv: &Vec<F>,
        out: &Vec<F>,
        lse: &Vec<F>,
        dout: &Vec<F>,
        dqkv: &mut Vec<F>,
    ) {
        attention::backward(layout, segments, window, qkv, out, lse, dout, dqkv);
    }
    fn glu(&self, activation: Activation, rows: usize, width: usize, gate_up: &Vec<F>, out: &mut Vec<F>) {
        glu::forward(activation, rows, width, gate_up, out);
    }
    fn glu_backward(&self, activation: Activation, rows: usize, width: usize, gate_up: &Vec<F>, dout: &Vec<F>, dgate_up: &mut Vec<F>) {
        glu::backward(activation, rows, width, gate_up, dout, dgate_up);
    }
    fn score(
        &self,
        width: usize,
        vocab: usize,
        hidden: &Vec<F>,
        weight: &Vec<F>,
        targets: &[Target],
        teacher: Option<&Teacher<'_, Vec<F>>>,
    ) -> HeadScores {
        head::score(width, vocab, hidden, weight, targets, teacher, None)
    }
    fn score_backward(
        &self,
        width: usize,
        vocab: usize,
        hidden: &Vec<F>,
        weight: &Vec<F>,
        targets: &[Target],
        teacher: Option<&Teacher<'_, Vec<F>>>,
        gradients: HeadGradients<'_, Vec<F>>,
    ) -> HeadScores {
        head::score(width, vocab, hidden, weight, targets, teacher, Some(gradients))
    }
    fn cache_len(&self, layout: HeadLayout, pages: usize) -> usize {
        pages * decode::page_len(layout)
    }
    fn cache_grow(&self, pool: &mut Vec<F>, len: usize) {
        if pool.len() < len {
            pool.resize(len, F::ZERO);
        }
    }
    fn cache_write(&self, layout: HeadLayout, qkv: &Vec<F>, slots: &[CacheSlot], keys: &mut Vec<F>, values: &mut Vec<F>) {
        decode::write(layout, qkv, slots, keys, values);
    }
    fn cache_copy_page(&self, layout: HeadLayout, from: u32, to: u32, pool: &mut Vec<F>) {
        decode::copy_page(layout, from, to, pool);
    }
    fn cache_attention(
        &self,
        layout: HeadLayout,
        window: Option<usize>,
        qkv: &Vec<F>,
        sequences: &[CachedSequence<'_>],
        keys: &Vec<F>,
        values: &Vec<F>,
        out: &mut Vec<F>,
    ) {
        decode::attention(layout, window, qkv, sequences, keys, values, out);
    }
    fn gather(&self, width: usize, rows: &[usize], x: &Vec<F>, out: &mut Vec<F>) {
        for (row, out) in rows.iter().zip(out.chunks_exact_mut(width)) {
            out.copy_from_slice(&x[row * width..][..width]);
        }
    }
    fn sample(&self, vocab: usize, logits: &mut Vec<F>, draws: &[Draw]) -> Vec<(u32, f32)> {
        sample::sample(vocab, logits, draws)
    }
}
