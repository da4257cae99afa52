"""Charts: where bars and lines are drawn."""

from __future__ import annotations

from typing import Any

import pytest
from found import found

from alpaqual.report.charts import bars, histogram
from alpaqual.results.datasets import ScoreCount
from alpaqual.results.graders import ScoreScale


def test_the_line_of_a_threshold_is_left_of_the_bars_it_keeps() -> None:
    scale = found(ScoreScale, min=0, max=1)
    scores = [found(ScoreCount, score=0.0, rows=3), found(ScoreCount, score=1.0, rows=1)]
    drawn_bars = bars(scores, scale)
    kept = drawn_bars.values[1]
    assert kept["begin"] > kept["score"] - drawn_bars.before > drawn_bars.values[0]["end"]
    drawn = histogram(scores, scale, title="t", threshold=1)
    assert drawn["params"] == [{"name": "threshold", "value": 1}]


@pytest.mark.parametrize(
    "scores", [[], [{"score": 3.0, "rows": 1}], [{"score": 9.0, "rows": 1}, {"score": -2.0, "rows": 1}]]
)
@pytest.mark.parametrize(
    "scale", [{"min": 0, "max": 5, "step": 0.5}, {"min": 0, "max": 5, "step": None}, {"min": 1, "max": 1}]
)
def test_bars_are_within_their_axis(scores: list[dict[str, Any]], scale: dict[str, Any]) -> None:
    made = bars([found(ScoreCount, **each) for each in scores], found(ScoreScale, **scale))
    for bar in made.values:
        assert made.domain[0] <= bar["begin"] < bar["end"] <= made.domain[1]
