"""Writes training in Markdown: settings, losses, time and cost."""

from __future__ import annotations

from alpaqual.report.escape import code, plain_markdown
from alpaqual.report.markdown_parts import MOST_LISTED, count, table
from alpaqual.report.training import (
    COMPARED,
    Trainings,
    before_after,
    cost,
    duration,
    has,
    held_out,
    loss,
    lowest,
    measured,
    pending,
    settings,
    start_of,
    tokens,
    tokens_per_second,
    total,
    trained,
    utilisation,
)
from alpaqual.results.training import TrainedModel

_MOST_CHARACTERS = 800


def training_section(trainings: Trainings) -> str:
    """Return the settings in a sentence, the datasets without a model, and a table of the models."""
    if not trainings:
        return ""
    waiting = [f"- **{plain_markdown(name)}** {plain_markdown(text)}" for name, text in pending(trainings).items()]
    parts = [_settings(trainings), _listed(waiting), _finding(trainings), _table(trainings)]
    return "### Training\n\n" + "\n".join(part for part in parts if part)


def _settings(trainings: Trainings) -> str:
    models, shared, own = settings(trainings)
    start = f"{start_of(trainings)}, from {code(models[0])}: " if len(models) == 1 else f"{start_of(trainings)}: "
    sentence = start + plain_markdown(", ".join(shared), _MOST_CHARACTERS) + ".\n"
    alone = [f"- **{plain_markdown(name)}**: {plain_markdown(', '.join(each))}" for name, each in own.items()]
    return sentence + (f"\n{_listed(alone)}" if alone else "")


def _listed(lines: list[str]) -> str:
    more = len(lines) - MOST_LISTED
    shown = lines[:MOST_LISTED] + ([f"- … and {more} more"] if more > 0 else [])
    return "\n".join(shown) + "\n" if shown else ""


def _finding(trainings: Trainings) -> str:
    """Return the dataset with the lowest held-out loss, and how to compare losses."""
    held = held_out(trainings)
    if held is None:
        return ""
    rows, best = f"over the {held[1]:,} rows of {plain_markdown(held[0])}", lowest(trainings)
    if best is not None:
        after = loss(measured(trainings)[best].after)
        sentence = f"Held-out loss, {rows}, is lowest after training on **{plain_markdown(best)}**: {after}."
    else:
        sentence = f"Held-out loss is {rows}."
    return sentence + (f" {COMPARED}\n" if len(measured(trainings)) > 1 else "\n")


def _table(trainings: Trainings) -> str:
    models, best = trained(trainings), lowest(trainings)
    if not models:
        return ""
    body = {name: _row(each, name == best) for name, each in list(models.items())[:MOST_LISTED]}
    optional = {"rows_truncated", "rows_dropped", "rows_held_out", "held_out", "mfu", "cost_usd"}
    left_out = {_HEADS[key] for key in optional if not has(trainings, key)}
    heads = [head for head in next(iter(body.values())) if head not in left_out]
    rows = [[plain_markdown(name), *(row[head] for head in heads)] for name, row in body.items()]
    more = len(models) - MOST_LISTED
    notes = [f"… and {more} more models."] if more > 0 else []
    notes += [total(trainings)] if len(models) > 1 else []
    return table(["dataset", *heads], rows) + "".join(f"\n{each}\n" for each in notes)


_HEADS = {
    "rows_truncated": "truncated",
    "rows_dropped": "too long, left out",
    "rows_held_out": "rows held out",
    "held_out": "held-out loss",
    "mfu": "MFU",
    "cost_usd": "cost",
}
"""Columns that are left out where no model has a value for them."""


def _row(each: TrainedModel, best: bool) -> dict[str, str]:
    held = "–" if each.held_out is None else before_after(each.held_out.before, each.held_out.after)
    if each.held_out is not None and best:
        held = f"{loss(each.held_out.before)} → **{loss(each.held_out.after)}**"
    return {
        "rows": count(each.rows),
        "training loss": before_after(each.loss_first, each.loss_last),
        _HEADS["held_out"]: held,
        _HEADS["rows_truncated"]: count(each.rows_truncated or 0),
        _HEADS["rows_dropped"]: count(each.rows_dropped or 0),
        _HEADS["rows_held_out"]: count(each.rows_held_out or 0),
        "steps": count(each.steps),
        "tokens": tokens(each.tokens),
        "time": duration(each.seconds),
        "tokens a second": tokens_per_second(each.tokens_per_second),
        _HEADS["mfu"]: utilisation(each.mfu),
        _HEADS["cost_usd"]: cost(each.cost_usd),
    }
