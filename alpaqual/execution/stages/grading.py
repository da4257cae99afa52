"""Executes `grading.<grader>`: scores of a file are imported, or a model grades the rows, before the statements run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alpaqual.execution.stored import REPLIES, StoredHandler, remove_folder
from alpaqual.plan.grading import GradeStage, measures_golden_rows
from alpaqual.plan.stage import KeptTable, Statement, TemporaryTable
from alpaqual.plan.tables import CALIBRATION, GRADED, IMPORTED, RAW_GRADES, TURNS_GRADED, grades

_CALIBRATION, _GOLDEN = "calibration", "golden"


class Handler(StoredHandler[GradeStage]):
    """Makes the table of imported scores or of a model's grades, where the grader needs one."""

    def check(self) -> None:
        """Raise MachineError where the grader's model cannot be used from this machine, RecipeError where a file of people's scores is wrong.

        No grader before this one is then paid for.
        """
        grader = self.execution.plan.recipe.graders[self.stage.grader]
        golden = grader.health.golden is not None and (grader.live or measures_golden_rows(grader))
        if (golden or grader.calibrate is not None) and not self.exists():
            from alpaqual.execution.calibration import check_people

            check_people(self.execution.engine, self.execution.plan.recipe, self.stage.grader, golden=golden)
        if grader.live:
            from alpaqual.execution.model_grading import check_model

            execution = self.execution
            check_model(execution.plan.recipe, grader, self.exists, execution.ledger, offline=execution.options.offline)

    def after(self, statement: Statement, facts: dict[str, Any]) -> None:
        """Measure golden rows, and make the map of a calibrated grader, once its own grades are there."""
        recipe, grader_name = self.execution.plan.recipe, self.stage.grader
        grader = recipe.graders[grader_name]
        own = RAW_GRADES if grader.calibrate is not None else grades(grader_name)
        if not isinstance(statement, TemporaryTable | KeptTable) or statement.table != own:
            return
        if measures_golden_rows(grader):
            from alpaqual.execution.calibration import golden_in_data

            facts[_GOLDEN] = [golden_in_data(self.execution.engine, recipe, grader_name, own)]
        if grader.calibrate is not None:
            self.calibrate(facts)

    def calibrate(self, facts: dict[str, Any]) -> None:
        """Make the map of a calibrated grader; fit it where no model did before."""
        from alpaqual.execution.calibration import fit_calibration, make_map, rated, raw_scores, read_people

        engine, recipe, grader_name = self.execution.engine, self.execution.plan.recipe, self.stage.grader
        if _CALIBRATION not in facts:
            people = read_people(engine, recipe, grader_name)
            found = rated(people, raw_scores(engine, people))
            facts[_CALIBRATION] = [fit_calibration(grader_name, recipe.graders[grader_name], found)]
        make_map(engine, facts[_CALIBRATION][0]["knots"])

    def finish(self, folder: Path) -> dict[str, Any]:
        """Drop the map of a calibrated grader."""
        if self.execution.plan.recipe.graders[self.stage.grader].calibrate is not None:
            self.execution.engine.drop(CALIBRATION.name)
        return {}

    @contextmanager
    def prepare(self, folder: Path) -> Iterator[dict[str, Any]]:
        """Import a file of scores, or grade the rows with a model."""
        grader = self.execution.plan.recipe.graders[self.stage.grader]
        if grader.table is not None:
            with self.imported(folder):
                yield {}
        elif grader.model is not None:
            with self.graded(folder) as facts:
                yield facts
        else:
            yield {}

    @contextmanager
    def imported(self, folder: Path) -> Iterator[None]:
        """The scores of the grader's file, validated."""
        from alpaqual.execution.imported_scores import import_scores

        engine, path = self.execution.engine, folder / f"{IMPORTED.name}.parquet"
        import_scores(engine, self.execution.plan.recipe, self.stage, path)
        engine.view(IMPORTED.name, [path])
        try:
            yield
        finally:
            engine.drop(IMPORTED.name)

    @contextmanager
    def graded(self, folder: Path) -> Iterator[dict[str, Any]]:
        """The grades that the grader's model gives: of rows, and of turns where it grades them."""
        # Requests need asyncio: only a run that grades imports it.
        from alpaqual.execution.model_grading import grade_with_model

        execution = self.execution
        facts = dict(grade_with_model(execution, self.stage.grader, folder))
        calibration = {_CALIBRATION: facts.pop(_CALIBRATION)} if _CALIBRATION in facts else {}
        parts = {table.name: folder / table.name for table in (GRADED, TURNS_GRADED)}
        made = {table: place for table, place in parts.items() if place.is_dir()}
        for table, place in made.items():
            execution.engine.view(table, sorted(place.glob("*.parquet")))
        try:
            yield {REPLIES: [facts], **calibration}
        finally:
            for table, place in made.items():
                execution.engine.drop(table)
                remove_folder(place)
