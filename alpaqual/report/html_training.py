"""Shows training: settings, losses, time and cost."""

from __future__ import annotations

from collections.abc import Sequence

from alpaqual.report.charts_training import COLOURS, MOST_LINES, Line, averaged, loss_chart, loss_lines
from alpaqual.report.html_charts import Charts, place
from alpaqual.report.markup import (
    NOTHING,
    Child,
    Html,
    count,
    folded,
    join,
    named,
    note,
    percent,
    plain,
    records,
    table,
    tag,
)
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
    memory,
    pending,
    settings,
    start_of,
    tokens,
    tokens_per_second,
    total,
    trained,
    utilisation,
)
from alpaqual.results.results import Results
from alpaqual.results.training import HeldOutLoss

_TENTHS = 10
_DASHED = ("", "dashed", "dotted")


def training_section(results: Results, charts: Charts) -> Html:
    """Return the settings in a sentence, the datasets without a model, the losses with their chart, time and cost."""
    trainings = results.training
    if not trainings:
        return NOTHING
    lines = loss_lines(trainings)
    spec = loss_chart(lines, {name: plain(name) for name in trainings})
    waiting = (tag("p", named(name), f" {text}") for name, text in pending(trainings).items())
    figure = _figure(charts.add(spec), lines) if spec is not None else NOTHING
    losses = _losses(trainings, lines if spec is not None else ())
    return join([_settings(trainings), *waiting, _finding(trainings), losses, figure, _took(trainings)])


def _settings(trainings: Trainings) -> Html:
    models, shared, own = settings(trainings)
    start: list[Child] = [", from ", tag("code", models[0])] if len(models) == 1 else []
    sentence = tag("p", start_of(trainings), *start, f": {', '.join(shared)}.")
    alone = [tag("li", named(name), f": {', '.join(each)}") for name, each in own.items()]
    return join([sentence, tag("ul", *alone) if alone else ""])


def _finding(trainings: Trainings) -> Html:
    """Return the dataset with the lowest held-out loss, and how to compare losses."""
    held, best = held_out(trainings), lowest(trainings)
    if held is None:
        return NOTHING
    rows = join([f"over the {count(held[1])} rows of ", named(held[0])])
    compared = f" {COMPARED}" if len(measured(trainings)) > 1 else ""
    if best is None:
        return tag("p", "Held-out loss is ", rows, f".{compared}")
    after = loss(measured(trainings)[best].after)
    return tag("p", "Held-out loss, ", rows, ", is lowest after training on ", named(best), f": {after}.{compared}")


def _losses(trainings: Trainings, lines: Sequence[Line]) -> Html:
    """Return a table of rows and losses; the sign before a name is that of its line in the chart."""
    best = lowest(trainings)
    signs = {line.name: _sign(index) for index, line in enumerate(lines[:MOST_LINES])} if len(lines) > 1 else {}
    rows: list[dict[str, Child]] = []
    for name, each in trained(trainings).items():
        row: dict[str, Child] = {"dataset": join([signs.get(name, ""), name]), "rows": count(each.rows)}
        row["training loss"] = before_after(each.loss_first, each.loss_last)
        if has(trainings, "held_out"):
            row["held-out loss"] = _held(each.held_out, name == best)
        row["steps"] = count(each.steps)
        if has(trainings, "rows_truncated"):
            row["truncated"] = count(each.rows_truncated or 0)
        if has(trainings, "rows_dropped"):
            row["too long, left out"] = count(each.rows_dropped or 0)
        if has(trainings, "rows_held_out"):
            row["rows held out"] = count(each.rows_held_out or 0)
        rows.append(row)
    return records(rows, words=("dataset",), label="Losses of training")


def _held(held: HeldOutLoss | None, best: bool) -> Child:
    if held is None:
        return "–"
    after = loss(held.after)
    return join([f"{loss(held.before)} → ", tag("strong", after) if best else after])


def _sign(index: int) -> Html:
    """Return a short piece of a line of the chart; the page's script shows it with the chart."""
    classes = f"{COLOURS[index % len(COLOURS)]} {_DASHED[index // len(COLOURS)]}".rstrip()
    drawn = Html(
        f'<svg class="sign" viewBox="0 0 12 12" aria-hidden="true"><line class="{classes}" x2="12" y1="6" y2="6"/></svg>'
    )
    return tag("span", drawn, "\u00a0", class_="before needs-script", hidden=True)


def _figure(chart: str, lines: Sequence[Line]) -> Html:
    """Return the chart, and its numbers at every tenth of training."""
    some = f" (the first {MOST_LINES} datasets)" if len(lines) > MOST_LINES else ""
    meaning = ["Lines are moving means, points single measurements."] if averaged(lines) else []
    meaning += ["An epoch has the same width for all datasets, whatever its number of steps."] if len(lines) > 1 else []
    numbers = folded("numbers", _numbers(lines), class_="numbers")
    caption = tag("figcaption", f"Training loss{some}")
    return tag("article", tag("figure", caption, note(" ".join(meaning)) if meaning else "", place(chart), numbers))


def _numbers(lines: Sequence[Line]) -> Html:
    most = max(line.epochs[-1] for line in lines)
    epochs = [most * tenth / _TENTHS for tenth in range(1, _TENTHS + 1)]
    body = [[f"{epoch:.3g}", *(_mean(line, epoch) for line in lines)] for epoch in epochs]
    heads = ["epoch", *(line.name for line in lines)]
    return table(heads, body, words=(), label="Training loss by epoch")


def _mean(line: Line, epoch: float) -> str:
    mean = line.at(epoch)
    return "–" if mean is None else loss(mean)


def _took(trainings: Trainings) -> Html:
    """Return a table of time, tokens, speed, memory and cost."""
    rows: list[dict[str, Child]] = []
    for name, each in trained(trainings).items():
        row: dict[str, Child] = {
            "dataset": name,
            "time": duration(each.seconds),
            "tokens": tokens(each.tokens),
            "with loss": percent(each.loss_tokens or 0, each.tokens),
            "tokens a second": tokens_per_second(each.tokens_per_second),
        }
        if has(trainings, "mfu"):
            row["MFU"] = utilisation(each.mfu)
        if has(trainings, "memory_bytes"):
            row["peak memory"] = memory(each.memory_bytes)
        if has(trainings, "cost_usd"):
            row["cost"] = cost(each.cost_usd)
        if has(trainings, "model"):
            row["model"] = tag("code", each.model) if each.model else "–"
        rows.append(row)
    if not rows:
        return NOTHING
    shown = records(rows, words=("dataset", "model"), label="Time and speed of training")
    sentence = total(trainings)
    meaning = "Tokens count all epochs; the model learns from those with loss."
    if has(trainings, "mfu"):
        meaning += " MFU (model FLOPs utilisation) is the share of the device's peak speed that the model's arithmetic reaches."
    return join([tag("h3", "Time and speed of training"), tag("p", sentence) if sentence else "", shown, note(meaning)])
