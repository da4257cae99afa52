"""Scripts that start a job: goldens, hostile values, and what bash makes of them.

`ALPAQUAL_BLESS=1 pytest tests/unit/trainers/test_launch_scripts.py` writes the goldens again; review the diff.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiers import examples

from alpaqual.job import Job, Launch, Lora, Machine, Model, Steps, Text, from_json, to_json
from alpaqual.trainers.fsdp_job import Plugin
from alpaqual.trainers.fsdp_job.launch_checks import check_launch
from alpaqual.trainers.fsdp_job.launch_scripts import GRACE, MARGIN, START_TIME, job_label

GOLDEN = Path(__file__).parents[2] / "golden" / "launch"
BLESS = os.environ.get("ALPAQUAL_BLESS") == "1"
KUBERNETES = {"image": "registry.example/alpaqual:1", "claim": "runs"}


def job(replicas: int = 1, recipe: str = "alpagasus-alpaca", dataset: str = "quality", **launch: Any) -> Job:
    return Job(
        recipe=recipe,
        dataset=dataset,
        data=f"../../datasets/{dataset}.jsonl",
        model=Model(path="../../../../llama-7b"),
        method="full",
        lora=Lora(16, 32.0, 0.0, None, "merged"),
        text=Text("alpaca", "response", 512, "truncate"),
        steps=Steps(3, 128, 2e-5, "cosine", 0.03, 0.0, 1.0, 42),
        precision="bf16",
        machine=Machine(4096, None, None, "auto", "auto", replicas, None, 10.0, 2, False, None),
        launch=Launch(
            **{"start": "elsewhere", "nodes": 1, "processes": None, "rendezvous": None, "environment": {}}
            | {"slurm": None, "kubernetes": None}
            | launch
        ),
        key="0123456789abcdef" * 4,
    )


CASES = {
    "here": job(),
    "one-node": job(
        processes=8,
        environment={"HF_HUB_OFFLINE": "1", "WANDB_NOTES": 'it\'s $HOME `pwd`\nof "two" lines'},
        slurm={},
        kubernetes=KUBERNETES,
    ),
    "several-nodes": job(
        replicas=2,
        nodes=4,
        processes=8,
        rendezvous="node0:29500",
        slurm={
            "partition": "gpu",
            "account": "paper",
            "time": "1-12:00:00",
            "cpus_per_node": 64,
            "memory": "512G",
            "options": ["--qos=high", '--comment="two words"'],
            "setup": ["module load cuda/12.4", "source /venv/bin/activate"],
        },
        kubernetes=KUBERNETES | {"path": "runs/alpaca", "namespace": "ml", "memory": "512Gi", "cpus": 64},
    ),
}


def write(folder: Path, made: Job) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in Plugin().files(made).items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("case", CASES)
def test_files_match_the_goldens(case: str) -> None:
    files = Plugin().files(CASES[case])
    golden = GOLDEN / case
    if BLESS:
        write(golden, CASES[case])
        (golden / "job.json").unlink()

    assert from_json(files["job.json"]) == CASES[case]
    assert {path.name: path.read_text(encoding="utf-8") for path in golden.iterdir()} | {
        "job.json": to_json(CASES[case])
    } == files


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_bash_can_read_every_script(case: str, tmp_path: Path) -> None:
    for path in write(tmp_path, CASES[case]).glob("*.sh"):
        subprocess.run(["bash", "-n", path], check=True)


def test_the_command() -> None:
    assert Plugin().command(job()) == ["bash", "launch.sh"]


@pytest.mark.parametrize(
    ("setting", "made"),
    [
        ("launch.replicas", {"replicas": 3, "processes": 4}),
        ("launch.replicas", {"replicas": 8, "nodes": 2, "processes": 2}),
        ("launch.rendezvous", {"nodes": 2, "rendezvous": "node0"}),
        ("launch.rendezvous", {"nodes": 2, "rendezvous": "node0:0"}),
        ("launch.rendezvous", {"nodes": 2, "rendezvous": "node0:65536"}),
        ("launch.rendezvous", {"nodes": 2, "rendezvous": "$(id):29500"}),
        ("launch.environment", {"environment": {"A-B": "1"}}),
        ("launch.environment", {"environment": {"A\n": "1"}}),
        ("launch.environment", {"environment": {"UID": "1"}}),
        ("launch.environment", {"environment": {"IFS": "1"}}),
        ("launch.environment", {"environment": {"A": "\0"}}),
        ("launch.environment", {"environment": {"A": "\ud800"}}),
        ("launch.slurm.partition", {"slurm": {"partition": "a b"}}),
        ("launch.slurm.account", {"slurm": {"account": "a\n#SBATCH --wrap=id"}}),
        ("launch.slurm.memory", {"slurm": {"memory": "1G\n"}}),
        ("launch.slurm.time", {"slurm": {"time": "1:2:3:4"}}),
        ("launch.slurm.time", {"slurm": {"time": "1-2-3"}}),
        ("launch.slurm.time", {"slurm": {"time": "60\n"}}),
        ("launch.slurm.options", {"slurm": {"options": ["--qos=a\nid"]}}),
        ("launch.slurm.options", {"slurm": {"options": ["--qos=a\x85id"]}}),
        ("launch.slurm.options", {"slurm": {"options": ["qos"]}}),
        ("launch.slurm.options", {"slurm": {"options": ["--nodes=4"]}}),
        ("launch.slurm.options", {"slurm": {"options": ["-N4"]}}),
        ("launch.slurm.setup", {"slurm": {"setup": ["a\nb"]}}),
        ("launch.processes", {"kubernetes": KUBERNETES}),
        ("launch.kubernetes.image", {"processes": 1, "kubernetes": KUBERNETES | {"image": "a b"}}),
        ("launch.kubernetes.claim", {"processes": 1, "kubernetes": KUBERNETES | {"claim": "A"}}),
        ("launch.kubernetes.namespace", {"processes": 1, "kubernetes": KUBERNETES | {"namespace": "a.b"}}),
        ("launch.kubernetes.memory", {"processes": 1, "kubernetes": KUBERNETES | {"memory": "much"}}),
        ("launch.kubernetes.path", {"processes": 1, "kubernetes": KUBERNETES | {"path": "../other"}}),
        ("launch.kubernetes.path", {"processes": 1, "kubernetes": KUBERNETES | {"path": "a\nb"}}),
    ],
)
def test_invalid_settings_are_refused_by_name(setting: str, made: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(setting)}: "):
        Plugin().files(job(**made))


@pytest.mark.parametrize(
    ("time", "warned"),
    [("0", 660), ("8", 120), ("20:00", 300), ("02:00:00", 660), ("1-0", 660), ("0-0:10", 150), ("0-00:00:02", 1)],
)
def test_slurm_warns_as_long_before_the_end_as_a_checkpoint_takes(time: str, warned: int) -> None:
    assert GRACE + MARGIN == 660
    assert f"\n#SBATCH --signal=B:USR1@{warned}\n" in Plugin().files(job(slurm={"time": time}))["slurm.sh"]


# Hostile values


names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True)
values = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)


@pytest.fixture(scope="module")
def printer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PYTHON that prints its environment."""
    path: Path = tmp_path_factory.mktemp("bin") / "printer"
    path.write_text("#!/bin/sh\nexec env -0\n")
    path.chmod(0o755)
    return path


@pytest.mark.slow
@settings(max_examples=examples(60), deadline=None)
@given(environment=st.dictionaries(names, values, max_size=5))
def test_the_environment_is_exactly_what_the_recipe_says(printer: Path, environment: dict[str, str]) -> None:
    made = job(processes=1, environment=environment | {"CDPATH": "/"})
    try:
        check_launch(made)
    except ValueError:
        return
    if environment.keys() & {"PATH", "PYTHON", "NPROC", "LD_PRELOAD", "LD_LIBRARY_PATH"}:
        return
    found = environment_of(made, printer)
    assert {name: found.get(name) for name in environment} == environment


@pytest.mark.slow
def test_the_processes_get_the_scripts_start_time(printer: Path) -> None:
    assert 0 <= time.time() - int(environment_of(job(processes=1), printer)[START_TIME]) < 30


def environment_of(made: Job, printer: Path) -> dict[str, str]:
    """The environment that the script gives to its processes; stderr is empty."""
    script = Plugin().files(made)["launch.sh"]
    ran = subprocess.run(["bash", "-c", script], env={"PATH": os.environ["PATH"], "PYTHON": str(printer)}, **TEXT)
    assert ran.stderr == b""
    return dict(line.split("=", 1) for line in ran.stdout.decode().split("\0") if line)


TEXT: dict[str, Any] = {"capture_output": True, "check": True}

# Variables that bash 5.2 sets in a script, and those that its manual lists as read.
BASH = """BASH BASHOPTS BASHPID BASH_ENV COMP_WORDBREAKS DIRSTACK EPOCHREALTIME EUID FUNCNAME GROUPS HISTCMD IFS LINENO
OLDPWD OPTARG OPTERR OPTIND PIPESTATUS POSIXLY_CORRECT PPID PWD RANDOM SECONDS SHELLOPTS SHLVL SRANDOM UID _"""


@pytest.mark.parametrize("name", BASH.split())
def test_variables_that_bash_reserves_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="reserved by bash"):
        check_launch(job(environment={name: "1"}))


@settings(max_examples=examples(150), suppress_health_check=[HealthCheck.too_slow])
@given(recipe=st.text(), dataset=st.text(), key=st.text(), nodes=st.integers(1, 100_000))
def test_a_label_is_a_dns_label_for_every_name(recipe: str, dataset: str, key: str, nodes: int) -> None:
    made = replace(job(recipe=recipe, dataset=dataset, nodes=nodes), key=key)

    assert re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", job_label(made))
    assert len(f"{job_label(made)}-{nodes - 1}") <= 63
    assert job_label(made) == job_label(replace(made))
    assert (
        len(
            {
                job_label(made),
                job_label(replace(made, key=key + "x")),
                job_label(replace(made, dataset=dataset + "x")),
            }
        )
        == 3
    )


@settings(max_examples=examples(25), deadline=None)
@given(
    recipe=st.text(max_size=100),
    dataset=st.text(max_size=100),
    path=st.text(max_size=30),
    nodes=st.integers(1, 3),
    more=st.fixed_dictionaries({}, optional={"cpus": st.integers(1, 64), "memory": st.just("1.5Ti")}),
)
def test_kubernetes_takes_every_manifest(
    recipe: str, dataset: str, path: str, nodes: int, more: dict[str, Any]
) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate")
    made = job(recipe=recipe, dataset=dataset, nodes=nodes, processes=8, kubernetes=KUBERNETES | {"path": path} | more)
    try:
        files = Plugin().files(made)
    except ValueError:
        return
    manifests = list(yaml.safe_load_all(files["kubernetes.yaml"]))

    for manifest in manifests:
        validate.validate(manifest, "1.34", strict=True)
    pod = manifests[-1]["spec"]["template"]["spec"]
    folder = Path(pod["containers"][0]["workingDir"])
    assert folder.is_relative_to("/mnt/alpaqual")
    assert folder == Path("/mnt/alpaqual") / path.lstrip("/") / "training" / dataset
    assert pod["terminationGracePeriodSeconds"] > GRACE
    assert len(manifests) == (1 if nodes == 1 else 2)


@pytest.mark.parametrize("dataset", ["/", "/etc", "a/../../b", ".."])
def test_kubernetes_refuses_a_dataset_that_leads_out_of_the_run_folder(dataset: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a folder"):
        Plugin().files(job(dataset=dataset, processes=8, kubernetes=KUBERNETES))


# Scripts that are run


@pytest.mark.slow
def test_a_node_without_a_rendezvous_names_the_variable(tmp_path: Path) -> None:
    write(tmp_path, job(nodes=2, processes=1))
    environment = {key: value for key, value in os.environ.items() if key != "RDZV_ENDPOINT"}

    ran = subprocess.run(
        ["bash", "launch.sh"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )

    assert ran.returncode == 2
    assert "RDZV_ENDPOINT=node0:29500 bash launch.sh" in ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["0", "gpu", "08", "-1", "2 x"])
def test_an_invalid_number_of_processes_is_refused(tmp_path: Path, wrong: str) -> None:
    write(tmp_path, job(processes=8))

    ran = subprocess.run(
        ["bash", "launch.sh"],
        cwd=tmp_path,
        env=os.environ | {"NPROC": wrong},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ran.returncode, ran.stderr) == (2, f"launch.sh: NPROC is '{wrong}', which is not a number of processes\n")


@pytest.mark.slow
def test_options_of_torchrun_come_last_and_win(tmp_path: Path) -> None:
    printer = tmp_path / "printer"
    printer.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    printer.chmod(0o755)
    write(tmp_path, job(processes=8))

    ran = subprocess.run(
        ["bash", "launch.sh", "--log-dir", "my logs"], cwd=tmp_path, env=os.environ | {"PYTHON": str(printer)}, **TEXT
    )

    assert ran.stdout.decode().splitlines()[-5:] == [
        "--log-dir",
        "my logs",
        "-m",
        "alpaqual.trainers.fsdp_job",
        "job.json",
    ]
