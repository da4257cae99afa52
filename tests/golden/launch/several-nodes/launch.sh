#!/usr/bin/env bash
# Trains one model. Written by alpaqual from a recipe: what is changed here is written over.
#   bash launch.sh [OPTION OF TORCHRUN ...]
# Run again, it goes on from the last checkpoint. It ends with 0 when the model is written.
set -euo pipefail

# What the job costs counts from here.
export ALPAQUAL_BEGAN="$(date +%s)"

# Every path in job.json counts from this folder.
CDPATH='' cd -- "$(dirname -- "$0")"

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

# This script runs on each of 4 nodes, in any order; which rank a node gets is settled when they meet.
# They meet at host:port of one of them, the same on all (launch.rendezvous, or this variable).
RDZV_ENDPOINT="${RDZV_ENDPOINT:-node0:29500}"
if [ -z "$RDZV_ENDPOINT" ]; then
  echo "launch.sh: this job runs on 4 nodes: set RDZV_ENDPOINT on each to host:port of one of them," >&2
  echo "  as in  RDZV_ENDPOINT=node0:29500 bash launch.sh  (or launch.rendezvous in the recipe)" >&2
  exit 2
fi
# Nodes of another job that come to the same door are turned away.
RDZV_ID="${RDZV_ID:-train-alpagasus-alpaca-quality-b551fbbf}"
# A node waits for the first one as long as for the others: torchrun would give up after 60 s.
RDZV_CONF="${RDZV_CONF:-join_timeout=600,read_timeout=600}"
# Who knows a node's number says who opens the door: torchrun else compares host names, which may not be known yet.
if [ -n "${RDZV_NODE:-}" ]; then
  RDZV_CONF="$RDZV_CONF,is_host=$((RDZV_NODE == 0))"
fi
# A node that is replaced finds the others waiting: they go back to the checkpoint instead of giving their machines away.
MAX_RESTARTS="${MAX_RESTARTS:-3}"
# With the store that torchrun shares with its workers, a node that survives does not tell a new one where rank 0 is (torch 2.13).
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE="${TORCH_DISABLE_SHARE_RDZV_TCP_STORE:-1}"

# exec: torchrun takes the place of this shell, so that signals reach it.
exec "$PYTHON" -m torch.distributed.run \
  --nnodes=4 --nproc-per-node="$NPROC" --max-restarts="$MAX_RESTARTS" \
  --rdzv-backend=c10d --rdzv-endpoint="$RDZV_ENDPOINT" --rdzv-id="$RDZV_ID" --rdzv-conf="$RDZV_CONF" \
  "$@" -m alpaqual.trainers.fsdp_job job.json
