#!/usr/bin/env bash
# Checks and trains on a machine with one GPU and no network: see README.md beside this file.
#   run.sh pack [--limit MIB]     makes the folder that travels with the tree, where the data and a package index are
#   run.sh check                  tests, a restoration against the CPU, times of steps, memory
#   run.sh train NAME MINUTES [KEY=VALUE ...]     trains the recipe experiment=NAME for so long
# DEVICE is cuda or cpu, OUT the folder of the results, PYTHON the interpreter. A training goes on from the weights
# START; an energy is distilled from the weights TEACHER.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
pack=$here/pack out=${OUT:-$here/out} device=${DEVICE:-cuda} python=${PYTHON:-python3}
export PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
mkdir -p "$out" && out=$(cd "$out" && pwd)
cd "$here/../.."

stage() { # NAME COMMAND...: runs it, and tells how long it took
    local name=$1 start=$SECONDS status=0
    shift
    "$@" || status=$?
    echo "stage $name: $((SECONDS - start)) s, exit status $status"
    return $status
}

check() {
    local status=0 tests
    tests=$(grep -rl --include='test_*.py' 'mark\.cuda' tests)
    stage tests "$python" -m pytest -m cuda -q -rs -p no:cacheprovider $tests || status=1
    stage check timeout 270 "$python" experiments/gpu/check.py --device "$device" --pack "$pack" --output "$out" || status=1
    return $status
}

train() { # NAME MINUTES [KEY=VALUE ...]
    local name=$1 minutes=$2 verb=train kind=teacher module=training faces=$pack/data/faces log=$out/$1.log folder
    shift 2
    if [[ $name == *_energy* ]]; then verb=distill kind=energy module=distillation; fi
    local request=("experiment=$name" trainer.max_steps=-1 "trainer.max_time={minutes: $minutes}")
    request+=("trainer.accelerator=${device/cuda/gpu}" trainer.enable_progress_bar=false logger=csv output_root=outputs/gpu)
    if [[ $name == faces* ]]; then request+=("data.test.path=$faces/celeba_64.zip" data.test.crop=null); fi
    if [[ -n ${START:-} ]]; then request+=("$module.start={_target_: alps_exp.priors.load_$kind, name: $START}"); fi
    if [[ -n ${TEACHER:-} ]]; then request+=(teacher=file "teacher.name=$TEACHER"); fi
    { cat "$pack/about.json" && stage "train $name" "$python" -m alps_exp "$verb" "${request[@]}" "$@"; } 2>&1 |
        tee "$log" || return
    folder=$(sed -n 's/ is done already$//p; s|/[^/]*\.safetensors$||p' "$log" | tail -1)
    cp "$folder/$kind.safetensors" "$out/$name.safetensors" || return
    cp "$folder/$kind.md" "$out/$name.md" || return
    cp "$(ls -t "$folder"/metrics/*/metrics.csv | head -1)" "$out/$name.csv" || return
    printf '\n## train %s\n\nThe tree as packed: %s\n\n%s\n' "$name $minutes${*:+ $*}" \
        "$(sed -n 's/.*"commit": "\(.*\)",/\1/p' "$pack/about.json")" "$(grep '^|' "$out/$name.md")" >>"$out/RESULTS.md"
}

comes_back() { # at most 8 files of 16 MiB
    local count large
    count=$(find "$out" -type f | wc -l)
    large=$(find "$out" -type f -size +16M)
    ls -l "$out"
    if ((count > 8)) || [[ -n $large ]]; then
        echo "$out has $count files, expected at most 8, none above 16 MiB: $large" >&2
        return 1
    fi
}

case ${1:-} in
pack) PYTHONPATH=src exec "$python" experiments/gpu/pack.py "$pack" "${@:2}" ;;
check | train)
    export PYTHONPATH=src:$pack/site ALPS_DATA=$pack/data
    if [[ ! -f $pack/about.json ]]; then
        echo "no $pack/about.json: make the folder with run.sh pack where the data are" >&2
        exit 2
    fi
    status=0
    stage "$1, all of it" "$@" || status=1
    comes_back || status=1
    exit $status
    ;;
*)
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
