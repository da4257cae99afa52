"""Checks of `training` beyond the schema: datasets and trainers that do not exist, settings that exclude each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from alpaqual.errors import Problem
from alpaqual.recipe.dataset_files import TRAIN
from alpaqual.recipe.model import Dataset
from alpaqual.recipe.training import Lora, Training
from alpaqual.recipe.unknown import unknown_plugin
from alpaqual.recipe.yaml_nodes import Document, Path
from alpaqual.registry import find, names


def check_training(
    training: Training | None,
    datasets: Mapping[str, Dataset],
    document: Document,
    unknown: Callable[[str, str], str],
) -> Iterator[Problem]:
    """Yield the problems of a recipe's training. `unknown` gives the message for a name that nothing defines, or nothing."""
    if training is None:
        return
    yield from _datasets(training, datasets, document, unknown)
    if training.held_out is not None:
        message = unknown("dataset", training.held_out)
        if not message and training.held_out in training.datasets:
            message = f"the dataset '{training.held_out}' is trained on: hold another one out"
        if message:
            yield document.problem(("training", "held_out"), message)
    if training.method == "full" and training.lora != Lora():
        message = "adapters are trained with method: lora or qlora; with method: full they have no effect"
        yield document.problem(("training", "lora"), message)
    yield from _trainers(training, document)
    launch = training.launch
    if launch.processes is not None and launch.nodes * launch.processes % launch.replicas:
        message = f"{launch.nodes * launch.processes} processes cannot be split into {launch.replicas} replicas of the same size"
        yield document.problem(("training", "launch", "replicas"), message)


def _datasets(
    training: Training, datasets: Mapping[str, Dataset], document: Document, unknown: Callable[[str, str], str]
) -> Iterator[Problem]:
    for index, name in enumerate(training.datasets):
        place: Path = ("training", "datasets", index)
        if message := unknown("dataset", name):
            yield document.problem(place, message)
        elif name in training.datasets[:index]:
            yield document.problem(place, f"the dataset '{name}' is named twice")
        elif name in datasets and datasets[name].split and TRAIN not in datasets[name].split:
            message = f"the dataset '{name}' has splits, and none of them is '{TRAIN}', which is the one to train on"
            yield document.problem(place, message)


def _trainers(training: Training, document: Document) -> Iterator[Problem]:
    named: list[tuple[Path, str]] = [(("training", "trainer"), training.trainer)]
    named += [(("training", "exports", index), name) for index, name in enumerate(training.exports)]
    for place, name in named:
        if name not in names("trainers"):
            yield document.problem(place, unknown_plugin("trainers", "trainer", name))
        elif place == ("training", "trainer") and not find("trainers", name).TRAINS:
            yield document.problem(place, f"run cannot start {name}: name it in 'exports', and leave 'trainer' out")
