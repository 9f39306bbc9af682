#!/bin/bash
# Started by srun on every host of slurm.sbatch; the arguments are what crossalign adds: -m, the module and its options.
set -euo pipefail

gpus=${SLURM_GPUS_PER_NODE:-1}
gpus=${gpus##*:} # "a100:4" says the kind too
hosts=${SLURM_JOB_NUM_NODES:?not started by srun}
exec accelerate launch --multi_gpu \
  --num_machines "$hosts" --num_processes "$((hosts * gpus))" --machine_rank "${SLURM_NODEID:?not started by srun}" \
  --main_process_ip "${MAIN_HOST:?set by slurm.sbatch}" --main_process_port "${MAIN_PORT:-29500}" \
  --mixed_precision no --dynamo_backend no "$@"
