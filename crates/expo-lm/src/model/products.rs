//! The products of a block by name.

/// The products of a block; the first and the third are several of Hugging Face's modules at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Projection {
    /// `q_proj`, `k_proj`, `v_proj`.
    Qkv,
    /// `o_proj`.
    O,
    /// `gate_proj`, `up_proj`.
    GateUp,
    /// `down_proj`.
    Down,
}
