"""Training: what decides its result, and the job that a trainer is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from alpaqual.job import Job, Launch, Lora, Machine, Model, Steps, Text
from alpaqual.recipe.recipe import Recipe
from alpaqual.recipe.training import RandomModel, Training


def training_job(recipe: Recipe, training: Training, dataset: str, digests: Mapping[str, str]) -> Job:
    """The job of a dataset, as far as it is known before there are rows. Paths of models are the recipe's own.

    `digests` has those of a model and tokenizer that are files; what is not among them is a name on the hub.
    """
    hyperparameters = training.hyperparameters
    launch, checkpoints = training.launch, training.checkpoints
    targets = training.lora.targets
    return Job(
        recipe=recipe.name,
        dataset=dataset,
        data=f"{dataset}.jsonl",
        held_out=None if training.held_out is None else f"{training.held_out}.jsonl",
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
            slurm=None if launch.slurm is None else _all(launch.slurm),
            kubernetes=None if launch.kubernetes is None else _all(launch.kubernetes),
        ),
    )


def training_settings(job: Job, trainer: str, version: int) -> dict[str, Any]:
    """All of a job that decides what is learned, beside the rows: no path, and nothing of the machine."""
    model = job.model
    known = model.config if model.config is not None else model.digest or model.name
    words = model.tokenizer_digest or model.tokenizer
    return {
        "trainer": [trainer, version],
        "model": known,
        "tokenizer": words,
        "method": job.method,
        "lora": None if job.method == "full" else _plain(job.lora),
        "text": _plain(job.text),
        "steps": _plain(job.steps),
        "precision": job.precision,
    }


def _model(training: Training, digests: Mapping[str, str]) -> Model:
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


def _all(words: Any) -> dict[str, Any]:
    """Every word of a part of a recipe, also those that it leaves out."""
    return {word: msgspec.to_builtins(getattr(words, word)) for word in words.__struct_fields__}
