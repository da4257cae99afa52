"""The Kubernetes manifest of a job: an Indexed Job with a pod a node, and a headless Service where there are several."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from alpaqual.job import Job
from alpaqual.trainers._yaml import document, quoted
from alpaqual.trainers.fsdp_job.launch_scripts import GRACE, MARGIN, PORT, job_label

VOLUME = "/mnt/alpaqual"
_INDEX = "metadata.annotations['batch.kubernetes.io/job-completion-index']"


def kubernetes_yaml(job: Job) -> str:
    """The manifest for `kubectl apply`."""
    kubernetes, several = job.launch.kubernetes or {}, job.launch.nodes > 1
    mounted = ", mounted by every pod (ReadWriteMany)" if several else ""
    comment = [
        "Trains one model on Kubernetes: `kubectl apply -f kubernetes.yaml`. Written by alpaqual from a recipe.",
        f"The volume has the run folder at {quoted(kubernetes.get('path', '.'))}{mounted}.",
        "A pod that fails is replaced and resumes from the last checkpoint; one that is evicted or preempted is not counted.",
    ]
    return document(comment, *([_service(job, kubernetes)] if several else []), _job(job, kubernetes))


def _service(job: Job, kubernetes: Mapping[str, Any]) -> dict[str, Any]:
    """A headless Service: it gives each pod a host name."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(job, kubernetes),
        "spec": {
            "clusterIP": "None",
            # Pods look each other up before they are ready.
            "publishNotReadyAddresses": True,
            "selector": {"app.kubernetes.io/instance": job_label(job)},
            "ports": [{"name": "rendezvous", "port": PORT}],
        },
    }


def _job(job: Job, kubernetes: Mapping[str, Any]) -> dict[str, Any]:
    nodes = job.launch.nodes
    disrupted = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(job, kubernetes),
        "spec": {
            "completionMode": "Indexed",
            "completions": nodes,
            "parallelism": nodes,
            # When the whole group fails, each of its pods counts.
            "backoffLimit": 3 * nodes,
            # Evicted, preempted, its node drained: not the job's fault.
            "podFailurePolicy": {"rules": [disrupted]},
            "template": {
                "metadata": {"labels": {"app.kubernetes.io/instance": job_label(job)}},
                "spec": _pod(job, kubernetes),
            },
        },
    }


def _metadata(job: Job, kubernetes: Mapping[str, Any]) -> dict[str, Any]:
    namespace = {"namespace": kubernetes["namespace"]} if kubernetes.get("namespace") else {}
    labels = {"app.kubernetes.io/managed-by": "alpaqual", "app.kubernetes.io/instance": job_label(job)}
    return {"name": job_label(job), **namespace, "labels": labels}


def _pod(job: Job, kubernetes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "restartPolicy": "Never",
        # Long enough for a checkpoint after SIGTERM.
        "terminationGracePeriodSeconds": GRACE + MARGIN,
        # torchrun must not be process 1, which ignores SIGTERM until torchrun has started its workers.
        "shareProcessNamespace": True,
        # Training does not call the cluster's API.
        "automountServiceAccountToken": False,
        **({"subdomain": job_label(job)} if job.launch.nodes > 1 else {}),
        "containers": [_container(job, kubernetes)],
        "volumes": [
            {"name": "run", "persistentVolumeClaim": {"claimName": kubernetes["claim"]}},
            # NCCL passes tensors between the processes of a node through it; a container's default is 64 MB.
            {"name": "shared-memory", "emptyDir": {"medium": "Memory"}},
        ],
    }


def _container(job: Job, kubernetes: Mapping[str, Any]) -> dict[str, Any]:
    environment = _environment(job, kubernetes)
    limits = {"nvidia.com/gpu": job.launch.processes}
    limits |= {"cpu": kubernetes["cpus"]} if kubernetes.get("cpus") else {}
    limits |= {"memory": kubernetes["memory"]} if kubernetes.get("memory") else {}
    # The whole volume is mounted: the model may be beside the run folder.
    folder = posixpath.join(VOLUME, kubernetes.get("path", ".").lstrip("/"), "training", job.dataset)
    return {
        "name": "train",
        "image": kubernetes["image"],
        "command": ["bash", "launch.sh"],
        "workingDir": posixpath.normpath(folder),
        **({"env": environment} if environment else {}),
        "resources": {"limits": limits},
        "volumeMounts": [
            {"name": "run", "mountPath": VOLUME},
            {"name": "shared-memory", "mountPath": "/dev/shm"},
        ],
    }


def _environment(job: Job, kubernetes: Mapping[str, Any]) -> list[dict[str, Any]]:
    variables: list[dict[str, Any]] = []
    if kubernetes.get("cpus"):
        # `nproc` counts the machine's cores, not the container's limit.
        threads = max(1, kubernetes["cpus"] // (job.launch.processes or 1))
        variables.append({"name": "OMP_NUM_THREADS", "value": str(threads)})
    if job.launch.nodes > 1:
        # The first pod hosts the rendezvous, even while its name is not resolvable yet.
        endpoint = f"{job_label(job)}-0.{job_label(job)}:{PORT}"
        variables.append({"name": "RDZV_ENDPOINT", "value": endpoint})
        variables.append({"name": "RDZV_NODE", "valueFrom": {"fieldRef": {"fieldPath": _INDEX}}})
    return variables
