"""A trainer: torchrun starts `python -m alpaqual.trainers.fsdp_job job.json`, here, on Slurm or on Kubernetes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alpaqual.job import Job, to_json
from alpaqual.job_folder import JOB
from alpaqual.trainers.fsdp_job.launch_checks import check
from alpaqual.trainers.fsdp_job.launching import kubernetes_yaml, launch_sh, slurm_sh


class Plugin:
    """Writes what starts a job; what trains it is `__main__.py`, the only part that knows torch."""

    VERSION = 1
    TRAINS = True

    def files(self, job: Job) -> Mapping[str, str]:
        """`job.json` and `launch.sh`, with `slurm.sh` and `kubernetes.yaml` where the recipe asks for them.

        Raises ValueError, with the setting, where two settings contradict each other or one cannot be written safely.
        """
        check(job)
        files = {JOB: to_json(job), "launch.sh": launch_sh(job)}
        if job.launch.slurm is not None:
            files["slurm.sh"] = slurm_sh(job)
        if job.launch.kubernetes is not None:
            files["kubernetes.yaml"] = kubernetes_yaml(job)
        return files

    def command(self, job: Job) -> Sequence[str]:
        """The script of one machine; a job of several nodes needs it on each of them."""
        return ["bash", "launch.sh"]
