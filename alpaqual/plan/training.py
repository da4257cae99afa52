"""The stages `training.<dataset>`: the job that a trainer runs, and the settings that decide its result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from alpaqual.plan.compilation import Compilation
from alpaqual.plan.selecting import SelectStage
from alpaqual.plan.stage import Stage
from alpaqual.plan.writing import WriteStage
from alpaqual.recipe.dataset_files import EVALUATED, TRAIN
from alpaqual.recipe.recipe import Recipe
from alpaqual.recipe.training import RandomModel, Training
from alpaqual.registry import find

if TYPE_CHECKING:
    from alpaqual.job import Job, Model


@dataclass(frozen=True, kw_only=True)
class TrainStage(Stage):
    """Trains the recipe's base model on one dataset."""

    kind: ClassVar[str] = "training"
    dataset: str
    job: Job

    @property
    def subject(self) -> str:
        return self.dataset


def train_stages(compilation: Compilation) -> Iterator[TrainStage]:
    """A stage for each dataset that the recipe trains on."""
    training = compilation.recipe.text.training
    for dataset in training.datasets if training is not None else ():
        assert training is not None
        job = training_job(compilation.recipe, training, dataset, compilation.digests)
        split = [(WriteStage, dataset)] if compilation.recipe.datasets[dataset].split else []
        _check_trainers(compilation, training, job)
        held_out = [(SelectStage, training.held_out)] if training.held_out else []
        yield TrainStage(
            dataset=dataset,
            job=job,
            settings=training_settings(job, training.trainer, find("trainers", training.trainer).VERSION),
            inputs=compilation.inputs((SelectStage, dataset), *split, *held_out),
        )


def _check_trainers(compilation: Compilation, training: Training, job: Job) -> None:
    """Note each trainer that cannot write files for the job."""
    for trainer in (training.trainer, *training.exports):
        try:
            find("trainers", trainer)().files(job)
        except ValueError as error:
            compilation.problems.append(compilation.recipe.problem(("training",), f"trainer {trainer}: {error}"))


def training_job(recipe: Recipe, training: Training, dataset: str, digests: Mapping[str, str]) -> Job:
    """The job of a dataset, without the values that depend on its rows. Paths of models are relative to the recipe.

    `digests` has those of models and tokenizers that are files; any other is a name on the hub.
    """
    from alpaqual.job import Job, Launch, Lora, Machine, Steps, Text

    hyperparameters = training.hyperparameters
    launch, checkpoints = training.launch, training.checkpoints
    targets = training.lora.targets
    data, held_out = _rows_of(recipe, training, dataset)
    return Job(
        recipe=recipe.name,
        dataset=dataset,
        data=data,
        held_out=held_out,
        model=_model(training, digests),
        method=training.method,
        lora=Lora(
            training.lora.rank,
            training.lora.alpha,
            training.lora.dropout,
            None if targets is None else tuple(targets),
            training.lora.output,
        ),
        text=Text(training.prompt, training.loss_on, training.max_length, training.too_long),
        steps=Steps(
            **hyperparameters,
            schedule=training.schedule,
            warmup_ratio=training.warmup_ratio,
            weight_decay=training.weight_decay,
            clip=training.clip,
            seed=training.seed,
        ),
        precision=training.precision,
        machine=Machine(
            micro_batch_tokens=training.micro_batch_tokens,
            activation_checkpointing=training.activation_checkpointing,
            compile=training.compile,
            attention=training.attention,
            cross_entropy=training.cross_entropy,
            replicas=launch.replicas,
            checkpoint_steps=checkpoints.every_steps,
            checkpoint_minutes=checkpoints.every_minutes,
            checkpoints_kept=checkpoints.keep,
            tensorboard=training.tensorboard,
            price_per_gpu_hour=training.price_per_gpu_hour,
        ),
        launch=Launch(
            start=launch.start,
            nodes=launch.nodes,
            processes=launch.processes,
            rendezvous=launch.rendezvous,
            environment=dict(launch.environment),
            slurm=None if launch.slurm is None else _all_keys(launch.slurm),
            kubernetes=None if launch.kubernetes is None else _all_keys(launch.kubernetes),
        ),
    )


def _rows_of(recipe: Recipe, training: Training, dataset: str) -> tuple[str, str | None]:
    """The names of the rows that a job trains on, and of those whose loss it measures: of splits where a dataset has them."""
    splits = recipe.datasets[dataset].split
    measured = next((split for split in EVALUATED if split in splits), None)
    held_out = None if measured is None else f"{dataset}.{measured}.jsonl"
    if training.held_out is not None:
        held_out = f"{training.held_out}.jsonl"
    return f"{dataset}.{TRAIN}.jsonl" if splits else f"{dataset}.jsonl", held_out


def training_settings(job: Job, trainer: str, version: int) -> dict[str, Any]:
    """The settings that decide the weights, besides the rows: no path, no setting of the machine."""
    model = job.model
    weights = model.config if model.config is not None else model.digest or model.name
    return {
        "trainer": [trainer, version],
        "model": weights,
        "tokenizer": model.tokenizer_digest or model.tokenizer,
        "method": job.method,
        "lora": None if job.method == "full" else _plain(job.lora),
        "text": _plain(job.text),
        "steps": _plain(job.steps),
        "precision": job.precision,
    }


def _model(training: Training, digests: Mapping[str, str]) -> Model:
    from alpaqual.job import Model

    base, tokenizer = training.base_model, training.tokenizer
    words: dict[str, Any] = {"tokenizer": tokenizer, "tokenizer_digest": digests.get(tokenizer or "", "")}
    if isinstance(base, RandomModel):
        return Model(config=dict(base.config), **words)
    if base in digests:
        return Model(path=base, digest=digests[base], **words)
    return Model(name=base, **words)


def _plain(part: Any) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(part)
    return found


def _all_keys(words: Any) -> dict[str, Any]:
    """Every key of a part of a recipe, with defaults for those left out."""
    return {word: msgspec.to_builtins(getattr(words, word)) for word in words.__struct_fields__}
