#!/usr/bin/env bash
# Trains one model. Written by alpaqual from a recipe: the next run overwrites changes.
#   bash launch.sh [OPTION OF TORCHRUN ...]
# Run it again to resume from the last checkpoint. The exit code is 0 once the model is saved.
set -euo pipefail

# The cost of the job counts from here.
export ALPAQUAL_START_TIME="$(date +%s)"

# Paths in job.json are relative to this folder.
CDPATH='' cd -- "$(dirname -- "$0")"

# The python that has alpaqual and torch. torchrun is run as a module: the command may not be on PATH.
PYTHON="${PYTHON:-python3}"

# One process a GPU, or one without a GPU, where torchrun's `gpu` fails and its `auto` starts one a core.
if [ -z "${NPROC:-}" ]; then
  NPROC="$("$PYTHON" -c 'import torch; print(max(1, torch.cuda.device_count()))')"
fi
if [[ ! "$NPROC" =~ ^[1-9][0-9]*$ ]]; then
  echo "launch.sh: NPROC is '$NPROC', which is not a number of processes" >&2
  exit 2
fi
# Each process gets an equal share of the cores; torchrun's default is one.
cores="$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$((cores > NPROC ? cores / NPROC : 1))}"
# Seconds for a checkpoint after SIGTERM; torchrun's default is 30. Older versions of torch ignore it.
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT="${TORCH_ELASTIC_SHUTDOWN_TIMEOUT:-600}"
# torchrun forwards SIGUSR1, too, which asks for a checkpoint; by default it would die and leave its workers behind.
export PET_SIGNALS_TO_HANDLE="${PET_SIGNALS_TO_HANDLE:-SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1}"
# Steps differ in length: fixed segments would fragment the GPU's memory.
export PYTORCH_ALLOC_CONF="${PYTORCH_ALLOC_CONF:-${PYTORCH_CUDA_ALLOC_CONF:-expandable_segments:True}}"

# On one machine a failure repeats, so it is shown at once; MAX_RESTARTS=3 retries three times.
MAX_RESTARTS="${MAX_RESTARTS:-0}"

# exec: torchrun replaces this shell, so that signals reach it.
exec "$PYTHON" -m torch.distributed.run \
  --standalone --nnodes=1 --nproc-per-node="$NPROC" --max-restarts="$MAX_RESTARTS" \
  "$@" -m alpaqual.trainers.fsdp_job job.json
