#!/usr/bin/env bash
# Trains one model on Slurm: `sbatch slurm.sh`, in this folder. Written by alpaqual from a recipe.
#SBATCH --job-name=train-alpagasus-alpaca-quality-b551fbbf
#SBATCH --output=slurm-%j.log
#SBATCH --open-mode=append
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --mem=0
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@660
#SBATCH --requeue
set -euo pipefail

if [ ! -f launch.sh ]; then
  echo "slurm.sh: there is no launch.sh in $PWD: run sbatch in the folder of slurm.sh, or with --chdir=FOLDER" >&2
  exit 2
fi

# Slurm's warning comes to this script alone. srun would kill at once on SIGTERM: scancel hands it to the tasks instead.
ending=''
end() {
  ending=yes
  scancel --signal=TERM "$SLURM_JOB_ID" || true
}
trap end USR1

# One task a node starts all of its processes: it is bound to no core, and gets the CPUs that sbatch asked for, which srun
# forgets. When a node ends, the others have as long as torchrun itself waits for them.
srun --nodes=1 --ntasks-per-node=1 --cpu-bind=none \
  --kill-on-bad-exit=0 --wait=300 bash launch.sh &
step=$!
# `wait` ends when a signal comes: what counts is that the step has ended.
status=0
while kill -0 "$step" 2>/dev/null; do
  status=0
  wait "$step" || status=$?
done

# Ended by the warning and not done: the same job queues again, and goes on from its checkpoint.
if [ "$status" -ne 0 ] && [ -n "$ending" ] && [ "${SLURM_RESTART_COUNT:-0}" -lt "${MAX_REQUEUES:-50}" ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
