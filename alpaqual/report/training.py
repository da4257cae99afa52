"""What both the Markdown and the HTML report say of training, as plain texts and numbers: whoever writes them escapes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from alpaqual.report.escape import shorten
from alpaqual.report.graders import money

Trainings = Mapping[str, Mapping[str, Any]]
"""Dataset -> what training on it came to."""

COMPARED = "Compare models by the held-out loss: each training loss is over that dataset's own rows."

_METHODS = {"full": "all weights", "lora": "LoRA adapters", "qlora": "QLoRA adapters (base weights in 4 bits)"}
_LEARNED = {"response": "loss on the response alone", "all": "loss on the prompt and the response"}
_PENDING = {"written": "is written here and trained elsewhere", "waiting": "is not started"}
_GIB = 2**30


def trained(trainings: Trainings) -> dict[str, Mapping[str, Any]]:
    """Those that are done."""
    return {name: each for name, each in trainings.items() if each["state"] == "done"}


def pending(trainings: Trainings) -> dict[str, str]:
    """What is said of those that are not: why, or what to do."""
    there = {name: each for name, each in trainings.items() if each["state"] != "done"}
    states = {name: _PENDING.get(each["state"], f"is {each['state']}") for name, each in there.items()}
    return {
        name: f"{state}: {there[name]['why']}" if there[name].get("why") else f"{state}."
        for name, state in states.items()
    }


def start_of(trainings: Trainings) -> str:
    """How the sentence of the settings begins."""
    return "One model for each dataset" if len(trainings) > 1 else "One model"


def settings(trainings: Trainings) -> tuple[list[str], list[str], dict[str, list[str]]]:
    """The base models; the settings that all trainings share; by dataset those that they do not."""
    models = list(dict.fromkeys(shorten(str(each["base_model"]), 120) for each in trainings.values()))
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


def _phrases(each: Mapping[str, Any], named: bool) -> dict[str, str]:
    rate = f"{each['learning_rate']:g}".replace("e-0", "e-")
    epochs = each["epochs"]
    said = {"base_model": f"base model {shorten(str(each['base_model']), 120)}"} if named else {}
    said |= {
        "method": _METHODS.get(each["method"], str(each["method"])),
        "epochs": f"{epochs:,} epoch{'' if epochs == 1 else 's'}",
        "batch_size": f"batches of {each['batch_size']:,} rows",
        "learning_rate": f"learning rate {rate}",
        "prompt": f"the {each['prompt']} prompt",
        "loss_on": _LEARNED.get(each["loss_on"], str(each["loss_on"])),
        "max_length": f"at most {each['max_length']:,} tokens a row",
        "precision": str(each["precision"]),
    }
    # One that is not done has been on no machine, and does not contradict those that have.
    if each.get("device"):
        many = each.get("processes") or 1
        said["device"] = f"on {f'{many:,} × ' if many > 1 else ''}{shorten(str(each['device']), 80)}"
    return said


def held_out(trainings: Trainings) -> tuple[str, int] | None:
    """The held-out dataset and its rows, where all that were measured were measured on the same."""
    found = {(each["held_out"]["dataset"], each["held_out"]["rows"]) for each in measured(trainings).values()}
    return found.pop() if len(found) == 1 else None


def measured(trainings: Trainings) -> dict[str, Mapping[str, Any]]:
    """Those whose held-out loss is known."""
    return {name: each for name, each in trained(trainings).items() if each.get("held_out")}


def lowest(trainings: Trainings) -> str | None:
    """The dataset whose model has the lowest held-out loss, where there are several to compare."""
    if held_out(trainings) is None:
        return None
    after = {name: each["held_out"]["after"] for name, each in measured(trainings).items()}
    known = {name: value for name, value in after.items() if value is not None and math.isfinite(value)}
    if len(known) < 2:
        return None
    best = min(known, key=lambda name: known[name])
    return best if sum(loss(value) == loss(known[best]) for value in known.values()) == 1 else None


def total(trainings: Trainings) -> str:
    """What all of it took, in a sentence; nothing where it was one alone."""
    done = list(trained(trainings).values())
    if len(done) < 2:
        return ""
    costs = [each["cost_usd"] for each in done if each.get("cost_usd") is not None]
    cost = f" and {money(sum(costs))}" if len(costs) == len(done) else ""
    return f"All {len(done)} together took {duration(sum(each['seconds'] or 0 for each in done))}{cost}."


def loss(value: float | None) -> str:
    """A loss: three decimals tell two models apart."""
    if value is None or not math.isfinite(value):
        return "not a number"
    return f"{value:.3f}" if value >= 0.1 else f"{value:.3g}"


def fall(before: float | None, after: float | None) -> str:
    """How a loss went."""
    return f"{loss(before)} → {loss(after)}"


def amount(number: float | None) -> str:
    """A number of tokens, in thousands, millions or billions: three digits are enough to compare."""
    if number is None:
        return "–"
    for size, sign in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size * 0.9995:
            scaled = number / size
            return f"{scaled:.{0 if scaled >= 99.95 else 1 if scaled >= 9.995 else 2}f}{sign}"
    return f"{number:.0f}"


def duration(seconds: float | None) -> str:
    """Seconds as a person says them."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 90:
        return f"{whole} s" if seconds >= 10 else f"{seconds:.1f} s"
    if whole < 600:
        return f"{whole // 60} min {whole % 60:02} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60:,} h {minutes % 60:02} min"


def rate(value: float | None) -> str:
    """Tokens a second."""
    return "–" if value is None else f"{value:,.0f}"


def utilisation(value: float | None) -> str:
    """Model FLOPs utilisation, as a share."""
    return "–" if value is None else f"{value * 100:.1f}%"


def price(dollars: float | None) -> str:
    """What it cost, where a price is known."""
    return "–" if dollars is None else money(dollars)


def memory(size: int | None) -> str:
    """The most memory that a process held."""
    return "–" if size is None else f"{size / _GIB:,.1f} GiB"


def has(trainings: Trainings, key: str) -> bool:
    """Whether one that is done has a number worth a column."""
    return any(each.get(key) for each in trained(trainings).values())
