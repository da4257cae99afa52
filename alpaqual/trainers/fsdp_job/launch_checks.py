"""Checks a job's launch settings for contradictions, and for values that are unsafe in a script or manifest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from alpaqual.job import Job

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Variables that bash reserves: it refuses to set them, sets them itself, or parses lines by them.
_RESERVED_BY_BASH = re.compile(
    r"_|BASH\w*|COMP_\w+|DIRSTACK|E?UID|EPOCH\w+|FUNCNAME|GROUPS|HISTCMD|IFS|LINENO|OLDPWD|OPTARG|OPTERR|OPTIND"
    r"|PIPESTATUS|POSIXLY_CORRECT|PPID|PWD|S?RANDOM|SECONDS|SHELLOPTS|SHLVL"
)
_HOST_AND_PORT = re.compile(r"[A-Za-z0-9_.-]+:([0-9]{1,5})")
_SLURM_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,:+@/-]*")
# These options are written from other settings, which torchrun's options depend on, too.
_SLURM_GENERATED = re.compile(r"(--nodes|-N|--ntasks|--ntasks-per-node|-n|--signal)(?![a-z-])")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./:@-]*")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?([kMGTPE]|[KMGTPE]i)?")


def check_launch(job: Job) -> None:
    """Raises ValueError, with the setting, where settings contradict each other or a value is unsafe in a script."""
    launch = job.launch
    if launch.processes is not None and launch.nodes * launch.processes % job.machine.replicas:
        total = f"{launch.nodes} x {launch.processes} processes (launch.nodes, launch.processes)"
        raise ValueError(f"launch.replicas: {job.machine.replicas} groups of equal size are not possible with {total}")
    if launch.rendezvous is not None:
        _require_match("launch.rendezvous", launch.rendezvous, _HOST_AND_PORT, "host:port, such as node0:29500")
        if not 0 < int(launch.rendezvous.rpartition(":")[2]) < 65536:
            raise ValueError(f"launch.rendezvous: {launch.rendezvous!r} has no port between 1 and 65535")
    for name, value in launch.environment.items():
        _check_variable(name, value)
    if launch.slurm is not None:
        _check_slurm(launch.slurm)
    if launch.kubernetes is not None:
        _check_kubernetes(job, launch.kubernetes)


def seconds_of(time: str) -> int:
    """Parse a Slurm time limit into seconds; 0 is no limit. Raises ValueError."""
    head, dash, tail = time.rpartition("-")
    parts = tail.split(":")
    units = (3600, 60, 1) if dash or len(parts) == 3 else (60, 1)
    if len(parts) > len(units) or not re.fullmatch(r"([0-9]+-)?[0-9]+(:[0-9]+)*", time):
        raise ValueError(
            f"launch.slurm.time: {time!r} is not a Slurm time, such as 90 (minutes), 02:00:00 or 1-12:00:00"
        )
    return int(head or 0) * 86400 + sum(int(part) * unit for part, unit in zip(parts, units, strict=False))


def _check_variable(name: str, value: str) -> None:
    if not _VARIABLE.fullmatch(name):
        raise ValueError(f"launch.environment: {name!r} is not the name of a variable")
    if _RESERVED_BY_BASH.fullmatch(name):
        raise ValueError(f"launch.environment: {name} is reserved by bash, which starts the job")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError(
            f"launch.environment: the value of {name} has a character that is not allowed in an environment variable"
        )


def _check_slurm(slurm: Mapping[str, Any]) -> None:
    for name in ("partition", "account", "memory"):
        if slurm.get(name):
            _require_match(f"launch.slurm.{name}", slurm[name], _SLURM_WORD, "a word")
    seconds_of(slurm.get("time", "04:00:00"))
    for option in slurm.get("options") or ():
        if not option.startswith("-") or not option.isprintable():
            raise ValueError(
                f"launch.slurm.options: {option!r} is not an option of sbatch on one line, such as --qos=high"
            )
        if generated := _SLURM_GENERATED.match(option):
            raise ValueError(
                f"launch.slurm.options: {generated[1]} is written from other settings (launch.nodes, checkpoints)"
            )
    for line in slurm.get("setup") or ():
        if not line.replace("\t", " ").isprintable():
            raise ValueError(f"launch.slurm.setup: {line!r} is not one line of text")


def _check_kubernetes(job: Job, kubernetes: Mapping[str, Any]) -> None:
    if job.launch.processes is None:
        raise ValueError("launch.processes: launch.kubernetes needs it: a pod requests one GPU for each process")
    _require_match("launch.kubernetes.image", kubernetes["image"], _IMAGE, "the name of an image")
    _require_match("launch.kubernetes.claim", kubernetes["claim"], _SUBDOMAIN, "the name of a claim")
    if kubernetes.get("namespace"):
        _require_match("launch.kubernetes.namespace", kubernetes["namespace"], _LABEL, "the name of a namespace")
    if kubernetes.get("memory"):
        _require_match(
            "launch.kubernetes.memory", kubernetes["memory"], _QUANTITY, "an amount of memory, such as 512Gi"
        )
    path = kubernetes.get("path", ".")
    if not path.isprintable() or ".." in path.split("/"):
        raise ValueError(f"launch.kubernetes.path: {path!r} is not a folder within the volume")
    if not job.dataset.isprintable() or "/" in job.dataset or job.dataset == "..":
        raise ValueError(f"datasets: {job.dataset!r} is not the name of a folder")


def _require_match(setting: str, value: str, pattern: re.Pattern[str], what: str) -> None:
    if not pattern.fullmatch(value):
        raise ValueError(f"{setting}: {value!r} is not {what}")
