"""What a job's launch settings may not say: what contradicts itself, and what no script or manifest can hold safely."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from alpaqual.job import Job

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Bash keeps these for itself: it refuses to set them, sets them anew, or reads its own lines by them.
_OF_BASH = re.compile(
    r"_|BASH\w*|COMP_\w+|DIRSTACK|E?UID|EPOCH\w+|FUNCNAME|GROUPS|HISTCMD|IFS|LINENO|OLDPWD|OPTARG|OPTERR|OPTIND"
    r"|PIPESTATUS|POSIXLY_CORRECT|PPID|PWD|S?RANDOM|SECONDS|SHELLOPTS|SHLVL"
)
_HOST_AND_PORT = re.compile(r"[A-Za-z0-9_.-]+:([0-9]{1,5})")
_SLURM_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,:+@/-]*")
# What these ask for is written from settings that torchrun's line is made of too.
_SLURM_OURS = re.compile(r"(--nodes|-N|--ntasks|--ntasks-per-node|-n|--signal)(?![a-z-])")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./:@-]*")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?([kMGTPE]|[KMGTPE]i)?")


def check(job: Job) -> None:
    """Raises ValueError, with the setting, where a job cannot be started as it says or a value cannot be written safely."""
    launch = job.launch
    if launch.processes is not None and launch.nodes * launch.processes % job.machine.replicas:
        total = f"{launch.nodes} x {launch.processes} processes (launch.nodes, launch.processes)"
        raise ValueError(f"launch.replicas: {job.machine.replicas} groups of equal size cannot be made of {total}")
    if launch.rendezvous is not None:
        _want("launch.rendezvous", launch.rendezvous, _HOST_AND_PORT, "host:port, as in node0:29500")
        if not 0 < int(launch.rendezvous.rpartition(":")[2]) < 65536:
            raise ValueError(f"launch.rendezvous: {launch.rendezvous!r} has no port between 1 and 65535")
    for name, value in launch.environment.items():
        _check_variable(name, value)
    if launch.slurm is not None:
        _check_slurm(launch.slurm)
    if launch.kubernetes is not None:
        _check_kubernetes(job, launch.kubernetes)


def seconds_of(time: str) -> int:
    """Seconds of a time as Slurm writes it; 0 is no limit. Raises ValueError where it is none."""
    head, dash, tail = time.rpartition("-")
    parts = tail.split(":")
    units = (3600, 60, 1) if dash or len(parts) == 3 else (60, 1)
    if len(parts) > len(units) or not re.fullmatch(r"([0-9]+-)?[0-9]+(:[0-9]+)*", time):
        raise ValueError(f"launch.slurm.time: {time!r} is no time of Slurm's, as 90 (minutes), 02:00:00 or 1-12:00:00")
    return int(head or 0) * 86400 + sum(int(part) * unit for part, unit in zip(parts, units, strict=False))


def _check_variable(name: str, value: str) -> None:
    if not _VARIABLE.fullmatch(name):
        raise ValueError(f"launch.environment: {name!r} is no name of a variable")
    if _OF_BASH.fullmatch(name):
        raise ValueError(f"launch.environment: {name} is bash's own, which starts the job")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError(f"launch.environment: the value of {name} has a character that no environment can hold")


def _check_slurm(slurm: Mapping[str, Any]) -> None:
    for name in ("partition", "account", "memory"):
        if slurm.get(name):
            _want(f"launch.slurm.{name}", slurm[name], _SLURM_WORD, "a word")
    seconds_of(slurm.get("time", "04:00:00"))
    for option in slurm.get("options") or ():
        if not option.startswith("-") or not option.isprintable():
            raise ValueError(f"launch.slurm.options: {option!r} is no option of sbatch on one line, as --qos=high")
        if ours := _SLURM_OURS.match(option):
            raise ValueError(
                f"launch.slurm.options: {ours[1]} is written from other settings (launch.nodes, checkpoints)"
            )
    for line in slurm.get("setup") or ():
        if not line.replace("\t", " ").isprintable():
            raise ValueError(f"launch.slurm.setup: {line!r} is not one line of text")


def _check_kubernetes(job: Job, kubernetes: Mapping[str, Any]) -> None:
    if job.launch.processes is None:
        raise ValueError(
            "launch.processes: a pod is given as many GPUs as it has processes, so launch.kubernetes needs it"
        )
    _want("launch.kubernetes.image", kubernetes["image"], _IMAGE, "the name of an image")
    _want("launch.kubernetes.claim", kubernetes["claim"], _SUBDOMAIN, "the name of a claim")
    if kubernetes.get("namespace"):
        _want("launch.kubernetes.namespace", kubernetes["namespace"], _LABEL, "the name of a namespace")
    if kubernetes.get("memory"):
        _want("launch.kubernetes.memory", kubernetes["memory"], _QUANTITY, "an amount of memory, as 512Gi")
    path = kubernetes.get("path", ".")
    if not path.isprintable() or ".." in path.split("/"):
        raise ValueError(f"launch.kubernetes.path: {path!r} is no folder within the volume")
    if not job.dataset.isprintable() or ".." in job.dataset.split("/"):
        raise ValueError(f"datasets: {job.dataset!r} is no name of a folder")


def _want(setting: str, value: str, pattern: re.Pattern[str], what: str) -> None:
    if not pattern.fullmatch(value):
        raise ValueError(f"{setting}: {value!r} is not {what}")
