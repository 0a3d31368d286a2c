#!/bin/sh
# memory_limit.sh FERRUM RANDOM_GGUF: a model with experts that is larger than the memory its process may have, by a limit
# that the kernel enforces: it answers what it answers without the limit. Exits with 77, for ctest "skipped", where this
# user may not make a group with a limit (cgroups of version 1 or 2).
set -eu
ferrum=$1
random_gguf=$2
limit=$((288 << 20))

skip() { echo "skipped: $*"; exit 77; }
fail() { echo "FAILED: $*" >&2; exit 1; }

directory=$(mktemp -d)
group=
cleanup() {
  [ -z "$group" ] || rmdir "$group" || true
  rm -rf "$directory"
}
trap cleanup EXIT

if [ -e /sys/fs/cgroup/memory/memory.limit_in_bytes ]; then
  parent=/sys/fs/cgroup/memory maximum=memory.limit_in_bytes
  reached() { cat "$group/memory.failcnt"; }
elif grep -qw memory /sys/fs/cgroup/cgroup.subtree_control 2>/dev/null; then
  parent=/sys/fs/cgroup maximum=memory.max
  reached() { sed -n 's/^max //p' "$group/memory.events"; }
else
  skip "no cgroup here can limit memory"
fi
mkdir "$parent/ferrum-test-$$" 2>/dev/null || skip "$parent is not writable"
group=$parent/ferrum-test-$$
echo $limit > "$group/$maximum" || skip "$group/$maximum is not writable"
[ ! -e "$group/memory.swap.max" ] || echo 0 > "$group/memory.swap.max"
sh -c "echo \$\$ > $group/cgroup.procs" 2>/dev/null || skip "no process may enter $group"

limited() { sh -c 'echo $$ > "$0/cgroup.procs" && exec "$@"' "$group" "$@"; }
run() { "$@" run "$model" --raw -p hello --temp 0 --max-tokens 48 --threads 1; }

model=$directory/model.gguf
"$random_gguf" --shape custom --arch qwen3moe --hidden 256 --ffn 512 --layers 16 --experts 64 --experts-used 4 --heads 4 \
  --kv-heads 2 --head-dim 64 --vocab 1024 --context 512 --type Q8_0 --out "$model" 2>/dev/null
[ "$(stat -c %s "$model")" -gt $((limit * 4 / 3)) ] || fail "the model is too small to prove anything"
run "$ferrum" > "$directory/expected"
[ -s "$directory/expected" ] || fail "no answer without a limit"

# Pages that others have read are not counted: the file is forgotten first.
sync "$model"
dd if="$model" iflag=nocache count=0 2>/dev/null
run limited "$ferrum" > "$directory/answer" || fail "exit code $? with $limit bytes"
cmp "$directory/expected" "$directory/answer" || fail "another answer with $limit bytes"
[ "$(reached)" -gt 0 ] || fail "the limit of $limit bytes was never reached"

# Planning and the doctor measure the machine's memory, and stay within what they may have of it.
echo $((128 << 20)) > "$group/$maximum"
limited "$ferrum" plan "$model" --single-user --threads 1 --expert-cache 60 > "$directory/plan" || fail "plan: exit code $?"
grep -q 'of 64 of each layer have a place in memory' "$directory/plan" || fail "plan: $(cat "$directory/plan")"
limited "$ferrum" doctor > "$directory/doctor" 2>&1 || [ $? -lt 128 ] || fail "doctor: killed"
