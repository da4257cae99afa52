#!/usr/bin/env bash
# Trains one model on Slurm: `sbatch slurm.sh`, in this folder. Written by alpaqual from a recipe.
#SBATCH --job-name=train-alpagasus-alpaca-quality-b551fbbf
#SBATCH --output=slurm-%j.log
#SBATCH --open-mode=append
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --mem=512G
#SBATCH --partition=gpu
#SBATCH --account=paper
#SBATCH --time=1-12:00:00
#SBATCH --signal=B:USR1@660
#SBATCH --requeue
#SBATCH --qos=high
#SBATCH --comment="two words"
set -euo pipefail

if [ ! -f launch.sh ]; then
  echo "slurm.sh: there is no launch.sh in $PWD: run sbatch in the folder of slurm.sh, or with --chdir=FOLDER" >&2
  exit 2
fi

# launch.slurm.setup of the recipe, which may read unset variables.
set +u
module load cuda/12.4
source /venv/bin/activate
set -u

# The rendezvous is on the first node, at a port of this job's own.
hosts="$(scontrol show hostnames "$SLURM_JOB_NODELIST")"
export RDZV_ENDPOINT="${hosts%%$'\n'*}:$((20000 + SLURM_JOB_ID % 10000))"
export RDZV_ID="$SLURM_JOB_ID"

# Slurm warns this script only. scancel forwards SIGTERM to the tasks; srun would kill them at once.
ending=''
end() {
  ending=yes
  scancel --signal=TERM "$SLURM_JOB_ID" || true
}
trap end USR1

# One task a node, not bound to cores, starts all of its processes. srun does not inherit the CPUs of sbatch.
# When a node ends, the others have as long as torchrun itself waits for them.
srun --nodes=4 --ntasks-per-node=1 --cpus-per-task=64 --cpu-bind=none \
  --kill-on-bad-exit=0 --wait=300 bash launch.sh &
step=$!
# `wait` returns early on a signal: loop until the step has ended.
status=0
while kill -0 "$step" 2>/dev/null; do
  status=0
  wait "$step" || status=$?
done

# Stopped by the warning before the model was saved: requeue, and resume from the checkpoint.
if [ "$status" -ne 0 ] && [ -n "$ending" ] && [ "${SLURM_RESTART_COUNT:-0}" -lt "${MAX_REQUEUES:-50}" ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
