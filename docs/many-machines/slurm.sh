#!/bin/bash
# fmbench on all nodes of one Slurm job. What follows the script goes to `fmbench run`:
#
#   sbatch docs/many-machines/slurm.sh --all --protocol lite-v2 --results ~/results
#
# Every node needs the same environment, active when this is submitted: fmbench[ray] and the plugins.
#SBATCH --job-name=fmbench
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --mem=32G
#SBATCH --time=12:00:00
##SBATCH --gpus-per-node=1

set -euo pipefail

export RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=$(openssl rand -hex 32)
export RAY_AUTH_TOKEN

folder=/tmp/ray-$SLURM_JOB_ID
address=$(hostname -I | cut -d' ' -f1):$((20000 + SLURM_JOB_ID % 10000))
resources=(
    --num-cpus="$SLURM_CPUS_PER_TASK"
    --memory=$((SLURM_MEM_PER_NODE * 900000)) # bytes; the rest is for Ray itself
    --object-store-memory=500000000
)

end() {
    trap - EXIT
    kill $(jobs -p) 2>/dev/null || true
    wait
    srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 rm -rf "$folder"
}
trap end EXIT

wait_for_nodes() { # so many; ends the job when one of them has ended
    until (($(ray status --address "$address" 2>/dev/null | grep -c ' node_') == $1)); do
        (($(jobs -pr | wc -l) == $1)) || exit 1
        sleep 1
    done
}

# This script runs on the first node. Each `ray start` ends all it has started when it is killed.
ray start --head --port="${address#*:}" --node-ip-address="${address%:*}" --temp-dir="$folder" \
    --include-dashboard=false "${resources[@]}" --block &
wait_for_nodes 1
for node in $(scontrol show hostnames "$SLURM_JOB_NODELIST" | tail -n +2); do
    srun --nodes=1 --ntasks=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" --nodelist="$node" \
        ray start --address="$address" "${resources[@]}" --block &
done
wait_for_nodes "$SLURM_JOB_NUM_NODES"

fmbench run --engine ray --address "$address" "$@"
