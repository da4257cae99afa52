"""Training in Markdown: what was trained, what became of the losses, what it took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alpaqual.report.escape import code, plain_markdown
from alpaqual.report.markdown_parts import MOST_LISTED, count, table
from alpaqual.report.training import (
    COMPARED,
    Trainings,
    amount,
    duration,
    fall,
    has,
    held_out,
    loss,
    lowest,
    measured,
    pending,
    price,
    rate,
    settings,
    start_of,
    total,
    trained,
    utilisation,
)

_MOST_WORDS = 800


def training_section(trainings: Trainings) -> str:
    """The settings in a sentence, those that are not trained, a table of those that are."""
    if not trainings:
        return ""
    waiting = [f"- **{plain_markdown(name)}** {plain_markdown(said)}" for name, said in pending(trainings).items()]
    parts = [_settings(trainings), _listed(waiting), _finding(trainings), _table(trainings)]
    return "### Training\n\n" + "\n".join(part for part in parts if part)


def _settings(trainings: Trainings) -> str:
    models, shared, own = settings(trainings)
    start = f"{start_of(trainings)}, from {code(models[0])}: " if len(models) == 1 else f"{start_of(trainings)}: "
    said = start + plain_markdown(", ".join(shared), _MOST_WORDS) + ".\n"
    alone = [f"- **{plain_markdown(name)}**: {plain_markdown(', '.join(each))}" for name, each in own.items()]
    return said + (f"\n{_listed(alone)}" if alone else "")


def _listed(lines: list[str]) -> str:
    more = len(lines) - MOST_LISTED
    shown = lines[:MOST_LISTED] + ([f"- … and {more} more"] if more > 0 else [])
    return "\n".join(shown) + "\n" if shown else ""


def _finding(trainings: Trainings) -> str:
    """Which data gave the lowest held-out loss, and what the losses can be compared with."""
    held = held_out(trainings)
    if held is None:
        return ""
    rows, best = f"over the {held[1]:,} rows of {plain_markdown(held[0])}", lowest(trainings)
    if best is not None:
        after = loss(trainings[best]["held_out"]["after"])
        said = f"Held-out loss, {rows}, is lowest after training on **{plain_markdown(best)}**: {after}."
    else:
        said = f"Held-out loss is {rows}."
    return said + (f" {COMPARED}\n" if len(measured(trainings)) > 1 else "\n")


def _table(trainings: Trainings) -> str:
    done, best = trained(trainings), lowest(trainings)
    if not done:
        return ""
    body = {name: _row(each, name == best) for name, each in list(done.items())[:MOST_LISTED]}
    there = {"rows_truncated", "rows_dropped", "rows_held_out", "held_out", "mfu", "cost_usd"}
    left_out = {_HEADS[key] for key in there if not has(trainings, key)}
    heads = [head for head in next(iter(body.values())) if head not in left_out]
    rows = [[plain_markdown(name), *(row[head] for head in heads)] for name, row in body.items()]
    more = len(done) - MOST_LISTED
    notes = [f"… and {more} more models."] if more > 0 else []
    notes += [total(trainings)] if len(done) > 1 else []
    return table(["dataset", *heads], rows) + "".join(f"\n{each}\n" for each in notes)


_HEADS = {
    "rows_truncated": "truncated",
    "rows_dropped": "too long, left out",
    "rows_held_out": "held out of it",
    "held_out": "held-out loss",
    "mfu": "MFU",
    "cost_usd": "cost",
}
"""Columns that are there where one training has something in them."""


def _row(each: Mapping[str, Any], best: bool) -> dict[str, str]:
    held = each.get("held_out")
    after = f"{loss(held['before'])} → **{loss(held['after'])}**" if held and best else ""
    return {
        "rows": count(each["rows"]),
        "training loss": fall(each["loss_first"], each["loss_last"]),
        _HEADS["held_out"]: after or (fall(held["before"], held["after"]) if held else "–"),
        _HEADS["rows_truncated"]: count(each.get("rows_truncated") or 0),
        _HEADS["rows_dropped"]: count(each.get("rows_dropped") or 0),
        _HEADS["rows_held_out"]: count(each.get("rows_held_out") or 0),
        "steps": count(each["steps"]),
        "tokens": amount(each["tokens"]),
        "time": duration(each["seconds"]),
        "tokens a second": rate(each["tokens_per_second"]),
        _HEADS["mfu"]: utilisation(each.get("mfu")),
        _HEADS["cost_usd"]: price(each.get("cost_usd")),
    }
