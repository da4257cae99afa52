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

# Processes of this node, one a GPU (launch.processes).
NPROC="${NPROC:-8}"
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

# This script runs on each of 4 nodes, in any order; ranks are assigned at the rendezvous.
# The rendezvous is host:port of one node, the same on all (launch.rendezvous, or this variable).
RDZV_ENDPOINT="${RDZV_ENDPOINT:-node0:29500}"
if [ -z "$RDZV_ENDPOINT" ]; then
  echo "launch.sh: this job runs on 4 nodes: set RDZV_ENDPOINT on each to host:port of one of them," >&2
  echo "  as in  RDZV_ENDPOINT=node0:29500 bash launch.sh  (or launch.rendezvous in the recipe)" >&2
  exit 2
fi
# Nodes of another job at the same address are refused.
RDZV_ID="${RDZV_ID:-train-alpagasus-alpaca-quality-b551fbbf}"
# Seconds to wait for the host of the rendezvous, and for the other nodes; torchrun's default is 60 for the host.
RDZV_CONF="${RDZV_CONF:-join_timeout=600,read_timeout=600}"
# RDZV_NODE=0 hosts the rendezvous; without it torchrun compares host names, which may not be resolvable yet.
if [ -n "${RDZV_NODE:-}" ]; then
  RDZV_CONF="$RDZV_CONF,is_host=$((RDZV_NODE == 0))"
fi
# When a node is replaced, the others wait for it and resume from the checkpoint together.
MAX_RESTARTS="${MAX_RESTARTS:-3}"
# With torchrun's shared store, a replaced node does not learn the address of rank 0 (torch 2.13).
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE="${TORCH_DISABLE_SHARE_RDZV_TCP_STORE:-1}"

# exec: torchrun replaces this shell, so that signals reach it.
exec "$PYTHON" -m torch.distributed.run \
  --nnodes=4 --nproc-per-node="$NPROC" --max-restarts="$MAX_RESTARTS" \
  --rdzv-backend=c10d --rdzv-endpoint="$RDZV_ENDPOINT" --rdzv-id="$RDZV_ID" --rdzv-conf="$RDZV_CONF" \
  "$@" -m alpaqual.trainers.fsdp_job job.json
