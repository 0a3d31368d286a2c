#!/bin/sh
# The demo model from nothing: corpus, vocabulary, training, export, measurements. About an hour on two cores.
# Usage: tools/demo_model/make.sh [WORK]    (WORK keeps rows and checkpoints; a second call goes on where the first stopped)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=${1:-/tmp/ferrum-demo-model}
models=$here/../../models
python=${PYTHON:-python3}
[ -f "$work/train-long.npz" ] || "$python" "$here/prepare.py" --out "$work"
"$python" "$here/train.py" --data "$work" --steps 2700 --long-steps 300 --batch 4096
"$python" "$here/export.py" --data "$work" --out "$models/ferrum-demo.gguf"
cp "$work/training.csv" "$models/ferrum-demo.training.csv"
"$python" "$here/evaluate.py" "$models/ferrum-demo.gguf" --data "$work"
