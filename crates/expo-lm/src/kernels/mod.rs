//! Kernels (interface draft).
