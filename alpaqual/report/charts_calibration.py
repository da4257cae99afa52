"""Draws the map of a calibrated grader, with the means of people's scores that it was fitted to."""

from __future__ import annotations

from alpaqual.report.charts import Spec, layered
from alpaqual.results.graders import CalibrationResult, ScoreScale

_HEIGHT = 240


def calibration_map(found: CalibrationResult, scale: ScoreScale, *, name: str) -> Spec:
    """Draw people's scores by the grader's: the map as a line, the means at each raw score, thresholds, and equal scores."""
    domain = {"domain": [scale.min, scale.max], "nice": False}
    labels = {"format": "~g", "tickCount": 6}
    x = {
        "field": "raw",
        "type": "quantitative",
        "scale": domain,
        "axis": {"title": f"score of {name}", **labels},
    }
    y = {**x, "field": "score", "axis": {"title": "people's score", "grid": True, **labels}}
    ends = [{"raw": at, "score": at} for at in (scale.min, scale.max)]
    means = [
        {"raw": each.raw, "score": each.mean, "rows": each.rows, "mapped to": each.score}
        for each in found.levels
        if each.rows
    ]
    edges = [(scale.min, found.knots[0].score), *((knot.raw, knot.score) for knot in found.knots)]
    edges.append((scale.max, found.knots[-1].score))
    size = {"field": "rows", "type": "quantitative", "scale": {"range": [20, 320]}, "legend": None}
    tooltip = [
        {"field": "raw", "type": "quantitative", "format": "~g", "title": f"score of {name}"},
        {"field": "score", "type": "quantitative", "format": ".2f", "title": "people's mean"},
        {"field": "mapped to", "type": "quantitative", "format": ".2f"},
        {"field": "rows", "type": "quantitative", "format": ",d"},
    ]
    equal = {"type": "line", "color": "var(--strong-line)", "strokeDash": [4, 3], "strokeWidth": 1, "aria": False}
    line = {"type": "line", "color": "var(--kept)", "strokeWidth": 2, "aria": False}
    point = {"type": "point", "filled": True, "color": "var(--kept)", "opacity": 0.45}
    rule = {"type": "rule", "color": "var(--mark)", "strokeWidth": 1.5, "aria": False}
    layers: list[Spec] = [
        {"data": {"values": ends}, "mark": equal, "encoding": {"x": x, "y": y}},
        {
            "data": {"values": means},
            "mark": point,
            "encoding": {"x": x, "y": y, "size": size, "tooltip": tooltip},
        },
        {
            "data": {"values": [{"raw": raw, "score": score} for raw, score in edges]},
            "mark": line,
            "encoding": {"x": x, "y": y},
        },
    ]
    lines = sorted({each.threshold for each in found.thresholds})
    if lines:
        values = [{"score": threshold} for threshold in lines]
        layers.append({"data": {"values": values}, "mark": rule, "encoding": {"y": y}})
    return layered(_HEIGHT, f"People's score by the score of {name}", layers)
