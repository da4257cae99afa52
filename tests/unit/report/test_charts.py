"""Charts: where bars and lines stand."""

from __future__ import annotations

from typing import Any

import pytest

from alpaqual.report.charts import bars, histogram


def test_the_line_of_a_threshold_stands_left_of_the_bars_it_keeps() -> None:
    scale = {"min": 0, "max": 1, "step": None}
    found = bars([{"score": 0.0, "rows": 3}, {"score": 1.0, "rows": 1}], scale)
    kept = found.values[1]
    assert kept["begin"] > kept["score"] - found.before > found.values[0]["end"]
    drawn = histogram([{"score": 0.0, "rows": 3}, {"score": 1.0, "rows": 1}], scale, title="t", threshold=1)
    assert drawn["params"] == [{"name": "threshold", "value": 1}]


@pytest.mark.parametrize(
    "scores", [[], [{"score": 3.0, "rows": 1}], [{"score": 9.0, "rows": 1}, {"score": -2.0, "rows": 1}]]
)
@pytest.mark.parametrize(
    "scale", [{"min": 0, "max": 5, "step": 0.5}, {"min": 0, "max": 5, "step": None}, {"min": 1, "max": 1}]
)
def test_bars_lie_on_their_axis(scores: list[dict[str, Any]], scale: dict[str, Any]) -> None:
    found = bars(scores, scale)
    for bar in found.values:
        assert found.domain[0] <= bar["begin"] < bar["end"] <= found.domain[1]
