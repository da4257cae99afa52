"""Shows how graders' scores agree with those that people gave."""

from __future__ import annotations

from alpaqual.report.charts_calibration import calibration_map
from alpaqual.report.html_charts import Charts, place
from alpaqual.report.html_graders import confusion_figure
from alpaqual.report.known_scores import (
    LEVEL_HEADS,
    LEVELS_MEANING,
    MAP_HEADS,
    calibration_sentence,
    golden_confusion,
    golden_sentence,
    level_rows,
    map_rows,
    signed,
    threshold_sentences,
)
from alpaqual.report.markup import Html, count, folded, join, named, note, number, plain, table, tag
from alpaqual.results.graders import CalibrationResult, GoldenResult, GraderResult
from alpaqual.results.results import Results


def known_scores_section(results: Results, charts: Charts) -> Html:
    """Return each grader's agreement with people, its bias at each level, and the map of one that is calibrated."""
    parts = []
    for name, grader in results.graders.items():
        parts += (
            [_golden(name, grader.golden, charts, calibrated=grader.calibration is not None)]
            if grader.golden is not None
            else []
        )
        parts += [_calibration(name, grader, grader.calibration, charts)] if grader.calibration is not None else []
    return join(parts)


def _calibration(name: str, grader: GraderResult, found: CalibrationResult, charts: Charts) -> Html:
    body = [
        [number(raw), count(rows), "–" if mean is None else f"{mean:.2f}", f"{score:.2f}"]
        for raw, rows, mean, score in map_rows(found)
    ]
    chart = place(charts.add(calibration_map(found, grader.scale, name=plain(name))))
    reading = (
        "The line is the map; a point is the mean of people's scores where the grader gave this score, the larger the more rows. On "
        "the dashed line both are the same. Thresholds are the lines across. Beyond the file's scores the map is flat."
    )
    caption = join(["People's scores by those of ", named(name)])
    numbers = table(MAP_HEADS, body, words=(), label=f"Calibrated scores of {name}")
    figure = tag(
        "figure", tag("figcaption", caption), note(reading), chart, folded("numbers", numbers, class_="numbers")
    )
    sentences = [calibration_sentence(name, found), *threshold_sentences(name, found)]
    return join([tag("h3", named(name), " calibrated"), *(tag("p", each) for each in sentences), figure])


def _golden(name: str, golden: GoldenResult, charts: Charts, *, calibrated: bool) -> Html:
    found = golden_confusion(name, golden)
    body = [
        [number(level), count(rows), count(scored), "–" if mean is None else f"{mean:.2f}", signed(bias)]
        for level, rows, scored, mean, bias in level_rows(golden)
    ]
    levels = table(LEVEL_HEADS, body, words=(), label=f"Scores of {name} at each level of people's")
    figure = confusion_figure(found, charts) if found is not None else ""
    heading = tag("h3", named(name), " against people")
    return join(
        [heading, tag("p", golden_sentence(name, golden, calibrated=calibrated)), levels, note(LEVELS_MEANING), figure]
    )
