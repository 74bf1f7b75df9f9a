#!/bin/sh
# Gets a PJRT plugin from PyPI by pip, pinned by hash, and prints its path.
#
#     export EXPO_RL_PJRT_PLUGIN=$(scripts/get-pjrt.sh cpu)
#
#   cpu              XLA's CPU plugin of 2025 (xla-cpu-pjrt 0.0.1; its metadata names the OpenXLA authors and calls it
#                    "Planning"); x86-64 and aarch64
#   cpu-new          XLA's CPU plugin of 2026 (lammps-jax-pjrt-cpu 0.11.2, built by the authors of lammps-jax from the
#                    XLA of jaxlib 0.11.2); x86-64
#   cuda13           the plugin for NVIDIA GPUs (jax-cuda13-pjrt, by the JAX team) alone, for machines on which the
#                    system's loader finds CUDA 13's libraries. With them (about 2.3 GB): pip install "jax[cuda13]" in
#                    a Python environment, where `expo-rl devices` finds it
#   cuda13-compiler  the same with ptxas and libdevice, to compile for GPUs that are not there (scripts/compile-h100.sh)
#
# It lies in EXPO_RL_PJRT_DIR, or else in expo-rl/pjrt in XDG_DATA_HOME (~/.local/share); what is there already is not
# fetched again. Needs pip (PYTHON names another python3).
set -eu
kind=${1:-}
python=${PYTHON:-python3}
case $kind in
  cpu)
    plugin=xla_plugins/xla_cpu_pjrt/xla_cpu_pjrt.so
    requirements='xla-cpu-pjrt==0.0.1
      --hash=sha256:55837b6b7b47daa717f2d9a5a03563ea0ceaa338d06a81a1e2d3f060d960decc
      --hash=sha256:8f613be6e891858f40d64f9799319502fff42689661944fc18a6ffd8210b30c9' ;;
  cpu-new)
    plugin=lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so
    requirements='lammps-jax-pjrt-cpu==0.11.2
      --hash=sha256:1319390d948b39f69f7dade496b7c385149d9ca6097a6b62114da113216d9ad1' ;;
  cuda13|cuda13-compiler)
    plugin=jax_plugins/xla_cuda13/xla_cuda_plugin.so
    requirements='jax-cuda13-pjrt==0.12.0.1
      --hash=sha256:5899bb6177eda86ea532afb9a26794f2bdd04966f6a01f9028266b16c2b6cf90' ;;
  *)
    echo "usage: scripts/get-pjrt.sh cpu|cpu-new|cuda13|cuda13-compiler" >&2
    exit 2 ;;
esac
# Each package on a line of its own, with its hashes.
list=$(printf '%s' "$requirements" | tr -s '\n ' '  ')
if [ "$kind" = cuda13-compiler ]; then
  list="$list
nvidia-cuda-nvcc==13.5.37 --hash=sha256:f5c4f7ead5d964fb4af42bbf1e6d3ec3c1e6e9d83b53749f691d387e7fcaa3a7
nvidia-nvvm==13.5.37 --hash=sha256:c41bfa362e407405163f103c2229f0765f8cc2ed7d148b754dc77f228bf7e070"
fi
root=${EXPO_RL_PJRT_DIR:-${XDG_DATA_HOME:-$HOME/.local/share}/expo-rl/pjrt}
# The folder's name says what is in it: other hashes are another folder.
name=$kind-$(printf '%s' "$list" | cksum | cut -d ' ' -f 1)
if [ ! -e "$root/$name/$plugin" ]; then
  mkdir -p "$root"
  temporary=$(mktemp -d "$root/.getting-XXXXXX")
  trap 'rm -rf "$temporary"' EXIT
  printf '%s\n' "$list" > "$temporary/requirements.txt"
  echo "getting the PJRT plugin $kind into $root/$name" >&2
  # As root, in a container say, pip warns of environments that --target does not touch.
  PIP_ROOT_USER_ACTION=ignore "$python" -m pip install --quiet --disable-pip-version-check --no-deps \
    --only-binary=:all: --require-hashes --requirement "$temporary/requirements.txt" --target "$temporary/$name" >&2
  rm -rf "${root:?}/$name"
  mv "$temporary/$name" "$root/$name"
fi
# What `expo-rl devices` and the tests look for.
ln -sfn "$name/$plugin" "$root/$kind.so"
echo "$root/$name/$plugin"
