#!/usr/bin/env bash
# Trains one model. Written by alpaqual from a recipe: what is changed here is written over.
#   bash launch.sh [OPTION OF TORCHRUN ...]
# Run again, it goes on from the last checkpoint. It ends with 0 when the model is written.
set -euo pipefail

# What the job costs counts from here.
export ALPAQUAL_BEGAN="$(date +%s)"

# Every path in job.json counts from this folder.
CDPATH='' cd -- "$(dirname -- "$0")"

# launch.environment of the recipe.
export HF_HUB_OFFLINE=1
export WANDB_NOTES='it'"'"'s $HOME `pwd`
of "two" lines'

# The python that has alpaqual and torch; torchrun is run as its module, for the command may not be on PATH.
PYTHON="${PYTHON:-python3}"

# Processes of this node, one a GPU (launch.processes).
NPROC="${NPROC:-8}"
if [[ ! "$NPROC" =~ ^[1-9][0-9]*$ ]]; then
  echo "launch.sh: NPROC is '$NPROC', which is no number of processes" >&2
  exit 2
fi
# Each process computes with its share of the cores; torchrun would give it one.
cores="$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$((cores > NPROC ? cores / NPROC : 1))}"
# A checkpoint takes longer than the 30 s that torchrun gives its workers after SIGTERM; older torch does not read it.
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT="${TORCH_ELASTIC_SHUTDOWN_TIMEOUT:-600}"
# SIGUSR1 asks for a checkpoint too: torchrun hands it on instead of dying and leaving its workers behind.
export PET_SIGNALS_TO_HANDLE="${PET_SIGNALS_TO_HANDLE:-SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1}"
# Each step has other lengths: in segments that cannot grow, gaps between tensors would take memory that the job needs.
export PYTORCH_ALLOC_CONF="${PYTORCH_ALLOC_CONF:-${PYTORCH_CUDA_ALLOC_CONF:-expandable_segments:True}}"

# On one machine a fault comes again when it is tried again: it is shown at once (MAX_RESTARTS=3 tries three times more).
MAX_RESTARTS="${MAX_RESTARTS:-0}"

# exec: torchrun takes the place of this shell, so that signals reach it.
exec "$PYTHON" -m torch.distributed.run \
  --standalone --nnodes=1 --nproc-per-node="$NPROC" --max-restarts="$MAX_RESTARTS" \
  "$@" -m alpaqual.trainers.fsdp_job job.json
