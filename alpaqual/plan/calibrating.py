"""SQL of calibrated grades: a map that was fitted to people's scores takes each raw score to their scale.

The map is the table `calibration`, which is filled while the stage runs: a segment a row.
"""

from __future__ import annotations

from collections.abc import Sequence

from alpaqual.plan.stage import KeptTable, Statement, TemporaryTable
from alpaqual.plan.tables import CALIBRATION, GRADED, RAW_GRADES, grades
from alpaqual.recipe.graders import Grader

VERSION = 1
"""Part of the fingerprint of a calibrated grader: raised when the same scores give another map."""


def calibrated(grader_name: str, grader: Grader, statements: Sequence[Statement]) -> list[Statement]:
    """The statements with the grades that they keep calibrated; `raw` has the score before.

    The rows that a cascade took over keep the first grader's score, and have no `raw`.
    """
    own = f"raw.n IN (SELECT n FROM {GRADED})" if grader.cascade is not None else "TRUE"
    score = "ROUND(map.start + (raw.score - map.base) * map.slope, 6)"
    spread = "raw.spread AS spread, " if grader.samples > 1 else ""
    select = (
        f"SELECT raw.grader AS grader, raw.n AS n, raw.id AS id, CASE WHEN {own} THEN {score} ELSE raw.score END AS score, {spread}"
        f"raw.reason AS reason, raw.reply AS reply, CASE WHEN {own} THEN raw.score END AS raw\n"
        f"FROM {RAW_GRADES} AS raw LEFT JOIN {CALIBRATION} AS map ON raw.score >= map.low AND raw.score < map.high ORDER BY raw.n"
    )
    found: list[Statement] = []
    for statement in statements:
        if isinstance(statement, KeptTable) and statement.table == grades(grader_name):
            found += [TemporaryTable(RAW_GRADES, statement.sql), KeptTable(statement.table, select)]
        else:
            found.append(statement)
    return found
