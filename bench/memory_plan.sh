#!/bin/sh
# The memory plan against real processes, for model files of published shapes with random weights. Writes
# bench/results/memory-plan-<date>.md. Usage: bench/memory_plan.sh [BUILD_DIR] [DIRECTORY FOR THE MODELS]
set -eu
cd "$(dirname "$0")/.."
build=${1:-build}
models=${2:-${TMPDIR:-/tmp}/ferrum-random-models}
out=bench/results/memory-plan-$(date -u +%Y-%m-%d).md
mkdir -p "$models" bench/results
[ -n "${SKIP_BUILD:-}" ] || cmake --build "$build" --target random_gguf memory_check

generate() { # SHAPE TYPE
  [ -f "$models/$1-$2.gguf" ] || "$build/tools/random_gguf" --shape "$1" --type "$2" --out "$models/$1-$2.gguf"
}
check() { # FILE NAME=NUMBER ...
  file=$1
  shift
  line=$("$build/tests/memory_check" "$file" "$@" tolerance=100)
  echo "$line" | python3 -c '
import json, sys
r = json.loads(sys.stdin.read())
mib = lambda b: f"{b / 2**20:.1f}"
sizes = [mib(r[k]) for k in ("planned_file", "rss_file", "planned_anonymous", "rss_anonymous", "planned", "peak")]
cells = [r["model"], str(r["max_seqs"]), str(r["context"]), r["kv_dtype"], *sizes, "%+.2f %%" % r["error_percent"]]
print("| " + " | ".join(cells) + " |")' |
    tee -a "$out"
}

{
  echo "# Memory: plan against measurement, $(date -u +%Y-%m-%d)"
  echo
  echo "Machine: $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1), $(nproc) CPUs, $(sed -n 's/^MemTotal: *//p' /proc/meminfo)."
  echo "Commit: $(git rev-parse --short HEAD). Command: \`bench/memory_plan.sh\` (tests/memory_check.cc says what a run does)."
  echo
  echo "Sizes in MiB; error = planned / peak - 1, where peak is VmHWM of a process of its own."
  echo
  echo "| Model | Sequences | Context | KV | File, planned | File, measured | Anonymous, planned | Anonymous, measured | Planned | Peak | Error |"
  echo "|---|---|---|---|---|---|---|---|---|---|---|"
} > "$out"
check models/ferrum-demo.gguf max_seqs=1
check models/ferrum-demo.gguf max_seqs=8
check models/ferrum-demo.gguf max_seqs=8 kv_f32=1
for shape in qwen3-0.6b llama-3.2-1b; do
  for type in Q4_K_M Q8_0; do
    generate "$shape" "$type"
    check "$models/$shape-$type.gguf" max_seqs=1 context=256 max_batched_tokens=128
    check "$models/$shape-$type.gguf" max_seqs=4 context=256 max_batched_tokens=128
  done
done
echo "written: $out"
