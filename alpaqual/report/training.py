"""Texts and numbers about training that the Markdown and the HTML report share; both escape them when they write."""

from __future__ import annotations

import math
from collections.abc import Mapping

from alpaqual import amounts
from alpaqual.report.escape import shorten
from alpaqual.results.training import HeldOutLoss, TrainedModel, TrainingResult

Trainings = Mapping[str, TrainingResult]
"""How the training of each dataset went."""

COMPARED = "Compare models by the held-out loss: each training loss is over that dataset's own rows."

_METHODS = {"full": "all weights", "lora": "LoRA adapters", "qlora": "QLoRA adapters (base weights in 4 bits)"}
_LOSS_ON = {"response": "loss on the response alone", "all": "loss on the prompt and the response"}
_PENDING = {"written": "is written here, to be trained on another machine", "waiting": "is not trained"}
_GIB = 2**30


def trained(trainings: Trainings) -> dict[str, TrainedModel]:
    """Return the trainings that have a model."""
    return {name: each for name, each in trainings.items() if isinstance(each, TrainedModel)}


def pending(trainings: Trainings) -> dict[str, str]:
    """Return for each training without a model why it has none, or what to do."""
    without = {name: each for name, each in trainings.items() if not isinstance(each, TrainedModel)}
    return {
        name: f"{_PENDING[each.state]}: {each.why}" if each.why else f"{_PENDING[each.state]}."
        for name, each in without.items()
    }


def start_of(trainings: Trainings) -> str:
    """Return the start of the sentence that lists the settings."""
    return "One model for each dataset" if len(trainings) > 1 else "One model"


def settings(trainings: Trainings) -> tuple[list[str], list[str], dict[str, list[str]]]:
    """Return the base models, the settings that all trainings share, and by dataset those that differ."""
    models = list(dict.fromkeys(shorten(each.base_model, 120) for each in trainings.values()))
    phrases = {name: _phrases(each, len(models) > 1) for name, each in trainings.items()}
    every: dict[str, set[str]] = {}
    for each in phrases.values():
        for key, phrase in each.items():
            every.setdefault(key, set()).add(phrase)
    shared = [phrase for found in every.values() if len(found) == 1 for phrase in found]
    own = {
        name: [phrase for key, phrase in each.items() if len(every[key]) > 1]
        for name, each in phrases.items()
        if any(len(every[key]) > 1 for key in each)
    }
    return models, shared, own


def _phrases(each: TrainingResult, named: bool) -> dict[str, str]:
    rate = f"{each.learning_rate:g}".replace("e-0", "e-")
    phrases = {"base_model": f"base model {shorten(each.base_model, 120)}"} if named else {}
    phrases |= {
        "method": _METHODS[each.method],
        "epochs": f"{each.epochs:,} epoch{'' if each.epochs == 1 else 's'}",
        "batch_size": f"batches of {each.batch_size:,} rows",
        "learning_rate": f"learning rate {rate}",
        "prompt": f"the {each.prompt} prompt",
        "loss_on": _LOSS_ON[each.loss_on],
        "max_length": f"at most {each.max_length:,} tokens a row",
        "precision": each.precision,
    }
    # A training without a model ran on no device, so it does not differ from the others by its device.
    if isinstance(each, TrainedModel) and each.device:
        many = each.processes or 1
        phrases["device"] = f"on {f'{many:,} × ' if many > 1 else ''}{shorten(each.device, 80)}"
    return phrases


def held_out(trainings: Trainings) -> tuple[str, int] | None:
    """Return the held-out dataset and its rows, where all models were measured on the same; else None."""
    found = {(each.dataset, each.rows) for each in measured(trainings).values()}
    return found.pop() if len(found) == 1 else None


def measured(trainings: Trainings) -> dict[str, HeldOutLoss]:
    """Return the held-out losses of the models that have one."""
    return {name: each.held_out for name, each in trained(trainings).items() if each.held_out is not None}


def lowest(trainings: Trainings) -> str | None:
    """Return the dataset whose model has the lowest held-out loss; None where no single one has."""
    if held_out(trainings) is None:
        return None
    after = {name: each.after for name, each in measured(trainings).items()}
    known = {name: value for name, value in after.items() if value is not None and math.isfinite(value)}
    if len(known) < 2:
        return None
    best = min(known, key=lambda name: known[name])
    return best if sum(loss(value) == loss(known[best]) for value in known.values()) == 1 else None


def total(trainings: Trainings) -> str:
    """Return the time and cost of all models together, as a sentence; empty where there is one model."""
    models = list(trained(trainings).values())
    if len(models) < 2:
        return ""
    costs = [each.cost_usd for each in models if each.cost_usd is not None]
    cost = f" and {amounts.dollars(sum(costs))}" if len(costs) == len(models) else ""
    return f"All {len(models)} together took {amounts.duration(sum(each.seconds or 0 for each in models))}{cost}."


def loss(value: float | None) -> str:
    """Return a loss with the three decimals that tell two models apart."""
    if value is None or not math.isfinite(value):
        return "not a number"
    return f"{value:.3f}" if value >= 0.1 else f"{value:.3g}"


def before_after(before: float | None, after: float | None) -> str:
    """Return two losses: before and after training."""
    return f"{loss(before)} → {loss(after)}"


def tokens(number: float | None) -> str:
    """Return a number of tokens to three digits, in thousands (k), millions (M) or billions (B)."""
    if number is None:
        return "–"
    for size, sign in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size * 0.9995:
            scaled = number / size
            return f"{scaled:.{0 if scaled >= 99.95 else 1 if scaled >= 9.995 else 2}f}{sign}"
    return f"{number:.0f}"


def duration(seconds: float | None) -> str:
    """Return a time, or a dash where it is unknown."""
    return "–" if seconds is None else amounts.duration(seconds)


def tokens_per_second(value: float | None) -> str:
    """Return tokens a second, or a dash."""
    return "–" if value is None else f"{value:,.0f}"


def utilisation(value: float | None) -> str:
    """Return the model FLOPs utilisation as a percentage, or a dash."""
    return "–" if value is None else f"{value * 100:.1f}%"


def cost(usd: float | None) -> str:
    """Return US dollars, or a dash where no price is known."""
    return "–" if usd is None else amounts.dollars(usd)


def memory(size: int | None) -> str:
    """Return the peak memory of a process, or a dash; `size` is in bytes."""
    return "–" if size is None else f"{size / _GIB:,.1f} GiB"


def has(trainings: Trainings, key: str) -> bool:
    """Return whether one of the models has a value that is worth a column."""
    return any(each[key] for each in trained(trainings).values())
