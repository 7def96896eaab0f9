#!/usr/bin/env bash
# One sitting of the CPU's workloads: this engine's ordinary and private step, the peers, and the engine again, one after the
# other on one machine. docs/performance.md's first table is made of it.
#
#   cargo build --release && bench/sitting.sh "W1 W2" > sitting.txt
#
# Where the peers' benchmark (bench_peers.py, which is not in this repository) and the Python that has them are:
#   PEERS=FOLDER  PYTHON=python3  THREADS=2  RUN="" (a command put before each, such as nice or taskset)
set -euo pipefail
secateur=$(realpath "${SECATEUR:-target/release/secateur}")
threads=${THREADS:-2}
declare -A steps=([W1]=1500 [W2]=250 [W3]=30 [W4]=16)
declare -A peers=([W1]="torch jax opacus-ghost" [W2]="torch jax opacus-ghost" [W3]="torch jax opacus-ew" [W4]="torch jax opacus-ew")

engine() {
    for mode in ordinary private; do
        ${RUN:-} "$secateur" bench --workload "$1" --threads "$2" "--$mode" --steps "${steps[$1]}" | tail -n 1
    done
}

for workload in ${1:-W1 W2 W3 W4}; do
    echo "== $workload, $threads threads"
    engine "$workload" "$threads"
    if [ -n "${PEERS:-}" ]; then
        (cd "$PEERS" && ${RUN:-} "${PYTHON:-python3}" bench_peers.py --device cpu --threads "$threads" --workloads "$workload" \
            --peers ${peers[$workload]} --retries 0 --quiet-wait-s 0 --budget-s 1.5 --warmup-s 0.5)
    fi
    engine "$workload" "$threads"
    echo "== $workload, one thread"
    engine "$workload" 1
done
