"""alpaqual's own trainer: torchrun starts `python -m alpaqual.trainers.fsdp_job job.json`, here, on Slurm or on Kubernetes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alpaqual.job import Job, to_json
from alpaqual.job_folder import JOB
from alpaqual.trainers.fsdp_job.kubernetes import kubernetes_yaml
from alpaqual.trainers.fsdp_job.launch_checks import check_launch
from alpaqual.trainers.fsdp_job.launch_scripts import launch_sh, slurm_sh


class Plugin:
    """Writes the scripts that start a job. The job itself is `__main__.py`; this module imports no torch."""

    VERSION = 1
    TRAINS = True

    def files(self, job: Job) -> Mapping[str, str]:
        """`job.json` and `launch.sh`; also `slurm.sh` and `kubernetes.yaml` where the recipe asks for them.

        Raises ValueError, with the setting, where two settings contradict each other or a value is unsafe in a script.
        """
        check_launch(job)
        files = {JOB: to_json(job), "launch.sh": launch_sh(job)}
        if job.launch.slurm is not None:
            files["slurm.sh"] = slurm_sh(job)
        if job.launch.kubernetes is not None:
            files["kubernetes.yaml"] = kubernetes_yaml(job)
        return files

    def command(self, job: Job) -> Sequence[str]:
        """Start the job on this machine; a job of several nodes runs it on each of them."""
        return ["bash", "launch.sh"]
