"""Kappa, the length-controlled rate and ratings as statsmodels computes them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_linear_model import GLM
from statsmodels.stats.inter_rater import cohens_kappa

from alpaqual.evaluation.agreement import concord
from alpaqual.evaluation.length_control import controlled_rate
from alpaqual.evaluation.ratings import SCALE, bradley_terry

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", range(10))
def test_kappa(seed: int) -> None:
    draw = np.random.default_rng(seed)
    table = draw.integers(0, 30, (3, 3)) + np.diag(draw.integers(0, 50, 3))
    pairs = [(i, j) for i in range(3) for j in range(3) for _ in range(table[i, j])]
    assert concord(pairs).kappa == pytest.approx(cohens_kappa(table).kappa, abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_the_rate_at_equal_length(seed: int) -> None:
    draw = np.random.default_rng(seed)
    items = int(draw.choice([40, 80, 252]))
    difference = draw.normal(60, 250, items).round()
    credit = np.where(draw.random(items) < 0.25, 0.5, draw.random(items) < expit(0.2 + difference / 300))
    fitted = GLM(credit, np.column_stack([np.ones(items), difference / difference.std()]), family=Binomial()).fit(
        tol=1e-12
    )
    low, high = fitted.get_prediction([[1, 0]]).conf_int()[0]
    found = controlled_rate(zip(difference.astype(int).tolist(), credit.tolist(), strict=True))
    assert found is not None
    assert (found.rate, *found.interval) == pytest.approx((expit(fitted.params[0]), low, high), abs=1e-6)


@pytest.mark.parametrize("models", [2, 4, 7])
def test_ratings(models: int) -> None:
    draw = np.random.default_rng(models)
    strengths = draw.normal(0, 0.7, models)
    rows, credits, totals = [], [], {}
    for a in range(models):
        for b in range(a):
            for _ in range(60):
                credit = draw.choice([0.5, float(draw.random() < expit(strengths[a] - strengths[b]))])
                row = np.zeros(models)
                row[a], row[b] = 1, -1
                rows.append(row)
                credits.append(credit)
                totals[a, b] = totals.get((a, b), 0) + credit
    fitted = GLM(np.array(credits), np.array(rows)[:, 1:], family=Binomial()).fit(tol=1e-12)
    expected = np.concatenate([[0], fitted.params])
    expected -= expected.mean()
    found = bradley_terry((str(a), str(b), credit, 60) for (a, b), credit in totals.items())
    assert [found[str(each)].rating for each in range(models)] == pytest.approx(1000 + SCALE * expected, abs=1e-3)
