"""Which dataset is a part of which, and which random dataset is the control of which."""

from __future__ import annotations

from alpaqual.evaluation.values import TrainedDataset
from alpaqual.execution.trained_datasets import trained_datasets
from alpaqual.recipe.model import Dataset, Like, Quota

DATASETS = {
    "quality": Dataset(threshold={"accuracy": 4.5}),
    "quality-3k": Dataset(from_="quality", sample=3000),
    "random": Dataset(sample=Like(like="quality")),
    "random-3k": Dataset(from_="full", sample=3000),
    "coding": Dataset(quotas={"coding": Quota(min_rows=5)}),
    "full": Dataset(),
}
ROWS = {"quality": 9229, "quality-3k": 3000, "random": 9229, "random-3k": 3000, "coding": 500, "full": 52_002}


def test_the_datasets_of_a_recipe() -> None:
    assert trained_datasets(DATASETS, list(DATASETS), ROWS) == {
        "quality": TrainedDataset(9229, "full", "random", needs_control=True),
        "quality-3k": TrainedDataset(3000, "quality", "random-3k", needs_control=True),
        "random": TrainedDataset(9229, "full"),
        "random-3k": TrainedDataset(3000, "full"),
        "coding": TrainedDataset(500, "full", None, needs_control=True),
        "full": TrainedDataset(52_002),
    }


def test_datasets_that_are_not_trained_are_passed_over() -> None:
    found = trained_datasets(DATASETS, ["quality-3k", "full"], ROWS)
    assert found["quality-3k"] == TrainedDataset(3000, "full", None, needs_control=True)
    alone = trained_datasets(DATASETS, ["quality"], ROWS)
    assert alone["quality"] == TrainedDataset(9229, None, "random", needs_control=True)
