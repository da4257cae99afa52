"""The texts that start a job: a script for any machine, one for Slurm, a manifest for Kubernetes.

A job goes on from its last checkpoint by itself, so each of them may be run again. The times fit into each other: torchrun gives
its workers `GRACE` to write a checkpoint after SIGTERM, and whoever sends the signal kills nobody before `GRACE + MARGIN`.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
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
"""Seconds for what comes after it: torchrun's own end, and Slurm, which counts in half minutes."""
PORT = 29500
START_TIME = "ALPAQUAL_START_TIME"
"""By this variable the script tells the processes that it starts when it began, in seconds since 1970."""
VOLUME = "/mnt/alpaqual"


def label(job: Job) -> str:
    """What the job is called elsewhere: a DNS label that differs for another recipe, dataset or key.

    It starts with a letter, as a Service's must, and is short enough that a pod's host name, `<label>-<index>`, is one too.
    """
    unique = hashlib.sha256("\0".join((job.recipe, job.dataset, job.key)).encode("utf-8", "surrogatepass")).hexdigest()[
        :8
    ]
    words = re.sub(r"[^a-z0-9]+", "-", f"{job.recipe}-{job.dataset}".lower()).strip("-")
    room = 63 - len(f"train--{unique}-{job.launch.nodes - 1}")
    return f"train-{words[:room].strip('-')}-{unique}".replace("--", "-")


def launch_sh(job: Job) -> str:
    """The script that starts the processes of one node."""
    launch = job.launch
    lines = [
        "#!/usr/bin/env bash",
        "# Trains one model. Written by alpaqual from a recipe: what is changed here is written over.",
        "#   bash launch.sh [OPTION OF TORCHRUN ...]",
        "# Run again, it goes on from the last checkpoint. It ends with 0 when the model is written.",
        "set -euo pipefail",
        "",
        "# What the job costs counts from here.",
        f'export {START_TIME}="$(date +%s)"',
        "",
        f"# Every path in {JOB} counts from this folder.",
        """CDPATH='' cd -- "$(dirname -- "$0")\"""",
        "",
    ]
    if launch.environment:
        lines.append("# launch.environment of the recipe.")
        lines += [f"export {name}={shlex.quote(value)}" for name, value in launch.environment.items()]
        lines.append("")
    lines += [
        "# The python that has alpaqual and torch; torchrun is run as its module, for the command may not be on PATH.",
        'PYTHON="${PYTHON:-python3}"',
        "",
        *_processes(launch.processes),
        "# Each process computes with its share of the cores; torchrun would give it one.",
        'cores="$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)"',
        'export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$((cores > NPROC ? cores / NPROC : 1))}"',
        "# A checkpoint takes longer than the 30 s that torchrun gives its workers after SIGTERM; older torch does not read it.",
        f'export TORCH_ELASTIC_SHUTDOWN_TIMEOUT="${{TORCH_ELASTIC_SHUTDOWN_TIMEOUT:-{GRACE}}}"',
        "# SIGUSR1 asks for a checkpoint too: torchrun hands it on instead of dying and leaving its workers behind.",
        'export PET_SIGNALS_TO_HANDLE="${PET_SIGNALS_TO_HANDLE:-SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1}"',
        "# Each step has other lengths: in segments that cannot grow, gaps between tensors would take memory that the job needs.",
        'export PYTORCH_ALLOC_CONF="${PYTORCH_ALLOC_CONF:-${PYTORCH_CUDA_ALLOC_CONF:-expandable_segments:True}}"',
        "",
    ]
    return "\n".join([*lines, *(_one_node() if launch.nodes == 1 else _several_nodes(job))]) + "\n"


def _processes(processes: int | None) -> Iterator[str]:
    if processes is not None:
        yield "# Processes of this node, one a GPU (launch.processes)."
        yield f'NPROC="${{NPROC:-{processes}}}"'
    else:
        yield "# One process a GPU, or one: torchrun's own `gpu` fails where there is none, and its `auto` then takes every core."
        yield 'if [ -z "${NPROC:-}" ]; then'
        yield """  NPROC="$("$PYTHON" -c 'import torch; print(max(1, torch.cuda.device_count()))')\""""
        yield "fi"
    yield 'if [[ ! "$NPROC" =~ ^[1-9][0-9]*$ ]]; then'
    yield "  echo \"launch.sh: NPROC is '$NPROC', which is no number of processes\" >&2"
    yield "  exit 2"
    yield "fi"


def _one_node() -> Iterator[str]:
    yield "# On one machine a fault comes again when it is tried again: it is shown at once (MAX_RESTARTS=3 tries three times more)."
    yield 'MAX_RESTARTS="${MAX_RESTARTS:-0}"'
    yield from _torchrun("--standalone --nnodes=1")


def _several_nodes(job: Job) -> Iterator[str]:
    yield f"# This script runs on each of {job.launch.nodes} nodes, in any order; which rank a node gets is settled when they meet."
    yield "# They meet at host:port of one of them, the same on all (launch.rendezvous, or this variable)."
    yield f'RDZV_ENDPOINT="${{RDZV_ENDPOINT:-{job.launch.rendezvous or ""}}}"'
    yield 'if [ -z "$RDZV_ENDPOINT" ]; then'
    yield f'  echo "launch.sh: this job runs on {job.launch.nodes} nodes: set RDZV_ENDPOINT on each to host:port of one of them," >&2'
    yield f'  echo "  as in  RDZV_ENDPOINT=node0:{PORT} bash launch.sh  (or launch.rendezvous in the recipe)" >&2'
    yield "  exit 2"
    yield "fi"
    yield "# Nodes of another job that come to the same door are turned away."
    yield f'RDZV_ID="${{RDZV_ID:-{label(job)}}}"'
    yield "# A node waits for the first one as long as for the others: torchrun would give up after 60 s."
    yield 'RDZV_CONF="${RDZV_CONF:-join_timeout=600,read_timeout=600}"'
    yield "# Who knows a node's number says who opens the door: torchrun else compares host names, which may not be known yet."
    yield 'if [ -n "${RDZV_NODE:-}" ]; then'
    yield '  RDZV_CONF="$RDZV_CONF,is_host=$((RDZV_NODE == 0))"'
    yield "fi"
    yield "# A node that is replaced finds the others waiting: they go back to the checkpoint instead of giving their machines away."
    yield 'MAX_RESTARTS="${MAX_RESTARTS:-3}"'
    yield "# With the store that torchrun shares with its workers, a node that survives does not tell a new one where rank 0 is (torch 2.13)."
    yield 'export TORCH_DISABLE_SHARE_RDZV_TCP_STORE="${TORCH_DISABLE_SHARE_RDZV_TCP_STORE:-1}"'
    meet = '--rdzv-backend=c10d --rdzv-endpoint="$RDZV_ENDPOINT" --rdzv-id="$RDZV_ID" --rdzv-conf="$RDZV_CONF"'
    yield from _torchrun(f"--nnodes={job.launch.nodes}", meet)


def _torchrun(nodes: str, *more: str) -> Iterator[str]:
    """The end of the script: torchrun, told how many `nodes` there are, and `more`, a line each."""
    yield ""
    yield "# exec: torchrun takes the place of this shell, so that signals reach it."
    yield 'exec "$PYTHON" -m torch.distributed.run \\'
    yield f'  {nodes} --nproc-per-node="$NPROC" --max-restarts="$MAX_RESTARTS" \\'
    yield from (f"  {options} \\" for options in more)
    yield f'  "$@" -m alpaqual.trainers.fsdp_job {JOB}'


def slurm_sh(job: Job) -> str:
    """The script for sbatch: one task a node; before its time is over the job writes a checkpoint and queues again."""
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
        lines += ["# launch.slurm.setup of the recipe; such lines may read variables that are not set.", "set +u"]
        lines += [*slurm["setup"], "set -u", ""]
    if job.launch.nodes > 1:
        lines += [
            "# The nodes meet at the first of them, at a port of this job's own.",
            'hosts="$(scontrol show hostnames "$SLURM_JOB_NODELIST")"',
            "export RDZV_ENDPOINT=\"${hosts%%$'\\n'*}:$((20000 + SLURM_JOB_ID % 10000))\"",
            'export RDZV_ID="$SLURM_JOB_ID"',
            "",
        ]
    cpus = f" --cpus-per-task={slurm['cpus_per_node']}" if slurm.get("cpus_per_node") else ""
    lines += [
        "# Slurm's warning comes to this script alone. srun would kill at once on SIGTERM: scancel hands it to the tasks instead.",
        "ending=''",
        "end() {",
        "  ending=yes",
        '  scancel --signal=TERM "$SLURM_JOB_ID" || true',
        "}",
        "trap end USR1",
        "",
        "# One task a node starts all of its processes: it is bound to no core, and gets the CPUs that sbatch asked for, which srun",
        "# forgets. When a node ends, the others have as long as torchrun itself waits for them.",
        "srun --nodes=" + str(job.launch.nodes) + " --ntasks-per-node=1" + cpus + " --cpu-bind=none \\",
        "  --kill-on-bad-exit=0 --wait=300 bash launch.sh &",
        "step=$!",
        "# `wait` ends when a signal comes: what counts is that the step has ended.",
        "status=0",
        'while kill -0 "$step" 2>/dev/null; do',
        "  status=0",
        '  wait "$step" || status=$?',
        "done",
        "",
        "# Ended by the warning and not done: the same job queues again, and goes on from its checkpoint.",
        'if [ "$status" -ne 0 ] && [ -n "$ending" ] && [ "${SLURM_RESTART_COUNT:-0}" -lt "${MAX_REQUEUES:-50}" ]; then',
        '  scontrol requeue "$SLURM_JOB_ID"',
        "fi",
        'exit "$status"',
    ]
    return "\n".join(lines) + "\n"


def _sbatch(job: Job, slurm: Mapping[str, Any]) -> Iterator[str]:
    yield f"--job-name={label(job)}"
    yield "--output=slurm-%j.log"
    # A job that queues again writes on in the same log.
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
    # A short job is warned in its last quarter.
    limit = seconds_of(time)
    yield f"--signal=B:USR1@{min(GRACE + MARGIN, max(1, limit // 4)) if limit else GRACE + MARGIN}"
    # Preempted, or its node lost: the same again.
    yield "--requeue"
    yield from slurm.get("options") or ()


def kubernetes_yaml(job: Job) -> str:
    """The manifest: an Indexed Job with a pod a node, and where there are several, the Service that makes their names known."""
    kubernetes, nodes, name = job.launch.kubernetes or {}, job.launch.nodes, label(job)
    several = nodes > 1
    lines = [
        "# Trains one model on Kubernetes: `kubectl apply -f kubernetes.yaml`. Written by alpaqual from a recipe.",
        "# The volume holds the run folder at "
        + _quoted(kubernetes.get("path", "."))
        + (", and is mounted by every pod (ReadWriteMany)." if several else "."),
        *(_service(name, kubernetes) if several else ()),
        "apiVersion: batch/v1",
        "kind: Job",
        *_metadata(name, kubernetes),
        "spec:",
        "  completionMode: Indexed",
        f"  completions: {nodes}",
        f"  parallelism: {nodes}",
        "  # A pod that fails is started again and goes on from the checkpoint; a pod each is lost when a whole group fails.",
        f"  backoffLimit: {3 * nodes}",
        "  # Evicted, preempted, its node drained: no fault of the job's, and never counted.",
        "  podFailurePolicy:",
        "    rules:",
        "      - action: Ignore",
        "        onPodConditions:",
        "          - type: DisruptionTarget",
        '            status: "True"',
        "  template:",
        "    metadata:",
        "      labels:",
        f"        app.kubernetes.io/instance: {name}",
        "    spec:",
        *(f"      {line}" for line in _pod(job, kubernetes)),
    ]
    return "\n".join(lines) + "\n"


def _metadata(name: str, kubernetes: Mapping[str, Any]) -> Iterator[str]:
    yield "metadata:"
    yield f"  name: {name}"
    if kubernetes.get("namespace"):
        yield f"  namespace: {_quoted(kubernetes['namespace'])}"
    yield from ("  labels:", "    app.kubernetes.io/managed-by: alpaqual", f"    app.kubernetes.io/instance: {name}")


def _service(name: str, kubernetes: Mapping[str, Any]) -> Iterator[str]:
    yield from ("apiVersion: v1", "kind: Service")
    yield from _metadata(name, kubernetes)
    yield "spec:"
    yield "  # Headless: it gives each pod a name, and no address of its own."
    yield '  clusterIP: "None"'
    yield "  # Pods meet while they start."
    yield "  publishNotReadyAddresses: true"
    yield from ("  selector:", f"    app.kubernetes.io/instance: {name}")
    yield from ("  ports:", "    - name: rendezvous", f"      port: {PORT}", "---")


def _pod(job: Job, kubernetes: Mapping[str, Any]) -> Iterator[str]:
    yield "restartPolicy: Never"
    yield "# Long enough for a checkpoint after SIGTERM."
    yield f"terminationGracePeriodSeconds: {GRACE + MARGIN}"
    yield "# torchrun is not process 1, which would not hear SIGTERM before it has workers."
    yield "shareProcessNamespace: true"
    yield "# Training asks nothing of the cluster."
    yield "automountServiceAccountToken: false"
    if job.launch.nodes > 1:
        yield f"subdomain: {label(job)}"
    yield from ("containers:", "  - name: train")
    yield f"    image: {_quoted(kubernetes['image'])}"
    yield '    command: ["bash", "launch.sh"]'
    yield f"    workingDir: {_quoted(_working_dir(job, kubernetes))}"
    yield from (f"    {line}" for line in _environment(job, kubernetes))
    yield "    resources:"
    yield "      limits:"
    yield f"        nvidia.com/gpu: {job.launch.processes}"
    if kubernetes.get("cpus"):
        yield f"        cpu: {kubernetes['cpus']}"
    if kubernetes.get("memory"):
        yield f"        memory: {_quoted(kubernetes['memory'])}"
    yield from ("    volumeMounts:", "      - name: run", f"        mountPath: {VOLUME}")
    yield from ("      - name: shared-memory", "        mountPath: /dev/shm")
    yield from ("volumes:", "  - name: run", "    persistentVolumeClaim:")
    yield f"      claimName: {_quoted(kubernetes['claim'])}"
    yield "  # NCCL passes tensors between the processes of a node through it; a container has 64 MB."
    yield from ("  - name: shared-memory", "    emptyDir:", "      medium: Memory")


def _environment(job: Job, kubernetes: Mapping[str, Any]) -> list[str]:
    """`env:` of the container; nothing where there is nothing to say."""
    lines = []
    if kubernetes.get("cpus"):
        lines += [
            "  # `nproc` sees every core of the machine, not the limit of the container.",
            "  - name: OMP_NUM_THREADS",
            f'    value: "{max(1, kubernetes["cpus"] // (job.launch.processes or 1))}"',
        ]
    if job.launch.nodes > 1:
        lines += [
            "  # The first pod opens the door, whether or not its name is known yet.",
            "  - name: RDZV_ENDPOINT",
            f'    value: "{label(job)}-0.{label(job)}:{PORT}"',
            "  - name: RDZV_NODE",
            "    valueFrom:",
            "      fieldRef:",
            "        fieldPath: metadata.annotations['batch.kubernetes.io/job-completion-index']",
        ]
    return ["env:", *lines] if lines else []


def _working_dir(job: Job, kubernetes: Mapping[str, Any]) -> str:
    """The job's folder in the container. The whole volume is mounted: what the run reads may lie beside its folder."""
    return posixpath.normpath(posixpath.join(VOLUME, kubernetes.get("path", ".").lstrip("/"), "training", job.dataset))


def _quoted(value: str) -> str:
    """A text of printable characters as YAML: within double quotes the two read JSON alike."""
    return json.dumps(value, ensure_ascii=False)
