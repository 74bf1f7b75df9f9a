#!/bin/sh
# Compiles StableHLO programs for H100 GPUs, on a machine that needs none: time, planned memory, the kernels that XLA
# chose.
#
#     scripts/compile-h100.sh TOPOLOGY [--replicas N] [--dump DIR] [--flag NAME=VALUE]... PROGRAM.mlir...
#
# TOPOLOGY is 1x1x1 for one GPU, 1x1x8 for a machine with eight. Gets the plugin and NVIDIA's assembler (260 MB) by
# scripts/get-pjrt.sh.
set -eu
topology=${1:?usage: scripts/compile-h100.sh TOPOLOGY [OPTIONS] PROGRAM.mlir...}
shift
root=$(cd "$(dirname "$0")/.." && pwd)
plugin=$("$root/scripts/get-pjrt.sh" cuda13-compiler)
cuda=${plugin%/jax_plugins/*}/nvidia/cu13
# Where XLA finds libdevice, and ptxas and nvlink.
export XLA_FLAGS="--xla_gpu_cuda_data_dir=$cuda ${XLA_FLAGS:-}" PATH="$cuda/bin:$PATH"
cargo build --quiet --release --manifest-path "$root/Cargo.toml" -p expo-xla --example compile_ahead
target=$root/crates/expo-xla/targets/h100.txtpb
exec "${CARGO_TARGET_DIR:-$root/target}/release/examples/compile_ahead" "$plugin" "$target" "$topology" "$@"
