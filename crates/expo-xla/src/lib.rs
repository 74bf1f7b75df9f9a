//! Programs for accelerators: StableHLO text, compiled and run by a plugin that speaks XLA's PJRT C API.
//!
//! A plugin is a shared library (`jax-cuda13-pjrt`, `jax-rocm7-pjrt`, `libtpu`, a CPU plugin) that is loaded at run
//! time: nothing of XLA is needed to build. The crate knows no language model.
//!
//! [`graph`] builds programs, typed and checked as they are built; [`grad`] differentiates them. [`attention`], [`head`] and [`layers`] are parts of models
//! whose backward is given by hand, since memory is the point. [`client`] compiles and runs:
//!
//! ```no_run
//! use expo_xla::client::{CompileOptions, Limits, Plugin};
//! use expo_xla::Program;
//!
//! # fn main() -> expo_xla::Result<()> {
//! let plugin = Plugin::load("pjrt_c_api_cpu_plugin.so".as_ref())?;
//! let client = plugin.client(&[("cpu_device_count", 2.into())], Limits::default())?;
//! let program = Program::new(
//!     "double",
//!     "func.func public @main(%x: tensor<2x3xf32>) -> tensor<2x3xf32> {
//!        %y = stablehlo.add %x, %x : tensor<2x3xf32>
//!        return %y : tensor<2x3xf32>
//!      }",
//! );
//! let executable = client.compile(&program, &CompileOptions::default())?;
//! let x = client.buffer("x", &[1f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3], &client.devices()[0])?;
//! let outputs = executable.execute(&[&x])?;
//! assert_eq!(outputs[0].to_vec::<f32>()?, [2.0, 4.0, 6.0, 8.0, 10.0, 12.0]);
//! # Ok(()) }
//! ```
#![deny(unsafe_code)]

pub mod attention;
pub mod cache;
pub mod client;
pub mod element;
pub mod error;
pub mod grad;
pub mod graph;
pub mod head;
pub mod layers;
pub mod plugins;
pub mod program;

pub use element::{Element, ElementType, Shape};
pub use error::{Error, Result};
pub use program::{Argument, Program};
