"""The scripts that start a job: one for any machine, and one for Slurm.

A job resumes from its last checkpoint, so each script can be run again. torchrun gives its workers `GRACE` seconds to write a
checkpoint after SIGTERM; Slurm and Kubernetes send the signal `GRACE + MARGIN` seconds before they kill the job.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from alpaqual.job import Job
from alpaqual.job_folder import JOB
from alpaqual.trainers.fsdp_job.launch_checks import seconds_of

GRACE = 600
"""Seconds for a checkpoint: 13B parameters are 156 GB with Adam's state, 520 s at 0.3 GB/s."""
MARGIN = 60
"""Seconds after it: torchrun ends, and Slurm counts in half minutes."""
PORT = 29500
START_TIME = "ALPAQUAL_START_TIME"
"""Environment variable with the time at which launch.sh started, in seconds since 1970."""


def job_label(job: Job) -> str:
    """The job's name on a cluster: a DNS label, unique for recipe, dataset and key.

    It starts with a letter, as a Service's name must; a pod's host name, `<label>-<index>`, is a DNS label, too.
    """
    identity = "\0".join((job.recipe, job.dataset, job.key)).encode("utf-8", "surrogatepass")
    unique = hashlib.sha256(identity).hexdigest()[:8]
    words = re.sub(r"[^a-z0-9]+", "-", f"{job.recipe}-{job.dataset}".lower()).strip("-")
    length = 63 - len(f"train--{unique}-{job.launch.nodes - 1}")
    return f"train-{words[:length].strip('-')}-{unique}".replace("--", "-")


def launch_sh(job: Job) -> str:
    """The script that starts the processes of one node."""
    launch = job.launch
    lines = [
        "#!/usr/bin/env bash",
        "# Trains one model. Written by alpaqual from a recipe: the next run overwrites changes.",
        "#   bash launch.sh [OPTION OF TORCHRUN ...]",
        "# Run it again to resume from the last checkpoint. The exit code is 0 once the model is saved.",
        "set -euo pipefail",
        "",
        "# The cost of the job counts from here.",
        f'export {START_TIME}="$(date +%s)"',
        "",
        f"# Paths in {JOB} are relative to this folder.",
        """CDPATH='' cd -- "$(dirname -- "$0")\"""",
        "",
    ]
    if launch.environment:
        lines.append("# launch.environment of the recipe.")
        lines += [f"export {name}={shlex.quote(value)}" for name, value in launch.environment.items()]
        lines.append("")
    lines += [
        "# The python that has alpaqual and torch. torchrun is run as a module: the command may not be on PATH.",
        'PYTHON="${PYTHON:-python3}"',
        "",
        *_processes(launch.processes),
        "# Each process gets an equal share of the cores; torchrun's default is one.",
        'cores="$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)"',
        'export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$((cores > NPROC ? cores / NPROC : 1))}"',
        "# Seconds for a checkpoint after SIGTERM; torchrun's default is 30. Older versions of torch ignore it.",
        f'export TORCH_ELASTIC_SHUTDOWN_TIMEOUT="${{TORCH_ELASTIC_SHUTDOWN_TIMEOUT:-{GRACE}}}"',
        "# torchrun forwards SIGUSR1, too, which asks for a checkpoint; by default it would die and leave its workers behind.",
        'export PET_SIGNALS_TO_HANDLE="${PET_SIGNALS_TO_HANDLE:-SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1}"',
        "# Steps differ in length: fixed segments would fragment the GPU's memory.",
        'export PYTORCH_ALLOC_CONF="${PYTORCH_ALLOC_CONF:-${PYTORCH_CUDA_ALLOC_CONF:-expandable_segments:True}}"',
        "",
    ]
    return "\n".join([*lines, *(_one_node() if launch.nodes == 1 else _several_nodes(job))]) + "\n"


def _processes(processes: int | None) -> Iterator[str]:
    if processes is not None:
        yield "# Processes of this node, one a GPU (launch.processes)."
        yield f'NPROC="${{NPROC:-{processes}}}"'
    else:
        yield "# One process a GPU, or one without a GPU, where torchrun's `gpu` fails and its `auto` starts one a core."
        yield 'if [ -z "${NPROC:-}" ]; then'
        yield """  NPROC="$("$PYTHON" -c 'import torch; print(max(1, torch.cuda.device_count()))')\""""
        yield "fi"
    yield 'if [[ ! "$NPROC" =~ ^[1-9][0-9]*$ ]]; then'
    yield "  echo \"launch.sh: NPROC is '$NPROC', which is not a number of processes\" >&2"
    yield "  exit 2"
    yield "fi"


def _one_node() -> Iterator[str]:
    yield "# On one machine a failure repeats, so it is shown at once; MAX_RESTARTS=3 retries three times."
    yield 'MAX_RESTARTS="${MAX_RESTARTS:-0}"'
    yield from _torchrun("--standalone --nnodes=1")


def _several_nodes(job: Job) -> Iterator[str]:
    yield f"# This script runs on each of {job.launch.nodes} nodes, in any order; ranks are assigned at the rendezvous."
    yield "# The rendezvous is host:port of one node, the same on all (launch.rendezvous, or this variable)."
    yield f'RDZV_ENDPOINT="${{RDZV_ENDPOINT:-{job.launch.rendezvous or ""}}}"'
    yield 'if [ -z "$RDZV_ENDPOINT" ]; then'
    yield f'  echo "launch.sh: this job runs on {job.launch.nodes} nodes: set RDZV_ENDPOINT on each to host:port of one of them," >&2'
    yield f'  echo "  as in  RDZV_ENDPOINT=node0:{PORT} bash launch.sh  (or launch.rendezvous in the recipe)" >&2'
    yield "  exit 2"
    yield "fi"
    yield "# Nodes of another job at the same address are refused."
    yield f'RDZV_ID="${{RDZV_ID:-{job_label(job)}}}"'
    yield "# Seconds to wait for the host of the rendezvous, and for the other nodes; torchrun's default is 60 for the host."
    yield 'RDZV_CONF="${RDZV_CONF:-join_timeout=600,read_timeout=600}"'
    yield "# RDZV_NODE=0 hosts the rendezvous; without it torchrun compares host names, which may not be resolvable yet."
    yield 'if [ -n "${RDZV_NODE:-}" ]; then'
    yield '  RDZV_CONF="$RDZV_CONF,is_host=$((RDZV_NODE == 0))"'
    yield "fi"
    yield "# When a node is replaced, the others wait for it and resume from the checkpoint together."
    yield 'MAX_RESTARTS="${MAX_RESTARTS:-3}"'
    yield "# With torchrun's shared store, a replaced node does not learn the address of rank 0 (torch 2.13)."
    yield 'export TORCH_DISABLE_SHARE_RDZV_TCP_STORE="${TORCH_DISABLE_SHARE_RDZV_TCP_STORE:-1}"'
    meet = '--rdzv-backend=c10d --rdzv-endpoint="$RDZV_ENDPOINT" --rdzv-id="$RDZV_ID" --rdzv-conf="$RDZV_CONF"'
    yield from _torchrun(f"--nnodes={job.launch.nodes}", meet)


def _torchrun(nodes: str, *more: str) -> Iterator[str]:
    """The end of the script: torchrun with its options for `nodes`, and `more` options, a line each."""
    yield ""
    yield "# exec: torchrun replaces this shell, so that signals reach it."
    yield 'exec "$PYTHON" -m torch.distributed.run \\'
    yield f'  {nodes} --nproc-per-node="$NPROC" --max-restarts="$MAX_RESTARTS" \\'
    yield from (f"  {options} \\" for options in more)
    yield f'  "$@" -m alpaqual.trainers.fsdp_job {JOB}'


def slurm_sh(job: Job) -> str:
    """The script for sbatch: one task a node. Before its time limit the job writes a checkpoint and is requeued."""
    slurm = job.launch.slurm or {}
    lines = [
        "#!/usr/bin/env bash",
        "# Trains one model on Slurm: `sbatch slurm.sh`, in this folder. Written by alpaqual from a recipe.",
        *(f"#SBATCH {option}" for option in _sbatch(job, slurm)),
        "set -euo pipefail",
        "",
        "if [ ! -f launch.sh ]; then",
        '  echo "slurm.sh: there is no launch.sh in $PWD: run sbatch in the folder of slurm.sh, or with --chdir=FOLDER" >&2',
        "  exit 2",
        "fi",
        "",
    ]
    if slurm.get("setup"):
        lines += ["# launch.slurm.setup of the recipe, which may read unset variables.", "set +u"]
        lines += [*slurm["setup"], "set -u", ""]
    if job.launch.nodes > 1:
        lines += [
            "# The rendezvous is on the first node, at a port of this job's own.",
            'hosts="$(scontrol show hostnames "$SLURM_JOB_NODELIST")"',
            "export RDZV_ENDPOINT=\"${hosts%%$'\\n'*}:$((20000 + SLURM_JOB_ID % 10000))\"",
            'export RDZV_ID="$SLURM_JOB_ID"',
            "",
        ]
    cpus = f" --cpus-per-task={slurm['cpus_per_node']}" if slurm.get("cpus_per_node") else ""
    lines += [
        "# Slurm warns this script only. scancel forwards SIGTERM to the tasks; srun would kill them at once.",
        "ending=''",
        "end() {",
        "  ending=yes",
        '  scancel --signal=TERM "$SLURM_JOB_ID" || true',
        "}",
        "trap end USR1",
        "",
        "# One task a node, not bound to cores, starts all of its processes. srun does not inherit the CPUs of sbatch.",
        "# When a node ends, the others have as long as torchrun itself waits for them.",
        "srun --nodes=" + str(job.launch.nodes) + " --ntasks-per-node=1" + cpus + " --cpu-bind=none \\",
        "  --kill-on-bad-exit=0 --wait=300 bash launch.sh &",
        "step=$!",
        "# `wait` returns early on a signal: loop until the step has ended.",
        "status=0",
        'while kill -0 "$step" 2>/dev/null; do',
        "  status=0",
        '  wait "$step" || status=$?',
        "done",
        "",
        "# Stopped by the warning before the model was saved: requeue, and resume from the checkpoint.",
        'if [ "$status" -ne 0 ] && [ -n "$ending" ] && [ "${SLURM_RESTART_COUNT:-0}" -lt "${MAX_REQUEUES:-50}" ]; then',
        '  scontrol requeue "$SLURM_JOB_ID"',
        "fi",
        'exit "$status"',
    ]
    return "\n".join(lines) + "\n"


def _sbatch(job: Job, slurm: Mapping[str, Any]) -> Iterator[str]:
    yield f"--job-name={job_label(job)}"
    yield "--output=slurm-%j.log"
    # A requeued job appends to the same log.
    yield "--open-mode=append"
    yield f"--nodes={job.launch.nodes}"
    yield "--ntasks-per-node=1"
    if job.launch.processes is not None:
        yield f"--gpus-per-node={job.launch.processes}"
    if slurm.get("cpus_per_node"):
        yield f"--cpus-per-task={slurm['cpus_per_node']}"
    yield f"--mem={slurm.get('memory') or 0}"
    for name in ("partition", "account"):
        if slurm.get(name):
            yield f"--{name}={slurm[name]}"
    time = slurm.get("time", "04:00:00")
    yield f"--time={time}"
    # A short job is warned when a quarter of its time is left.
    limit = seconds_of(time)
    yield f"--signal=B:USR1@{min(GRACE + MARGIN, max(1, limit // 4)) if limit else GRACE + MARGIN}"
    # Requeue when the job is preempted or its node fails.
    yield "--requeue"
    yield from slurm.get("options") or ()
