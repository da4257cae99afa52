"""The public functions: text -> Recipe -> Plan -> Run -> Report -> text, and `run` for all of it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alpaqual.errors import AlpaqualError, MachineError, Problem, RecipeError, StageError
from alpaqual.execution.execution import Execution, Listener
from alpaqual.execution.exports import training_commands
from alpaqual.execution.folder import STAGES as STAGE_RECORD
from alpaqual.execution.folder import RunFolder, check_marker, recover, run_name
from alpaqual.execution.inspection import inspect_sources
from alpaqual.execution.options import RunOptions, Watcher
from alpaqual.execution.results import failed_results
from alpaqual.execution.run import Run as FinishedRun
from alpaqual.execution.run import check_names
from alpaqual.inference.limit import Limit
from alpaqual.plan.compile import compile_plan
from alpaqual.plan.explain import Explained, StageRecord, explain_plan, read_record
from alpaqual.plan.plan import Plan
from alpaqual.plan.stages import STAGES, stages_until
from alpaqual.plan.training import TrainStage
from alpaqual.recipe.parse import parse_recipe, read_recipe, read_rules
from alpaqual.recipe.recipe import Recipe
from alpaqual.report.build import build_report
from alpaqual.report.formats import format_names, report_files, report_text
from alpaqual.report.github import to_github
from alpaqual.report.html import to_html
from alpaqual.report.junit import to_junit
from alpaqual.report.markdown import to_markdown
from alpaqual.report.notebook_rows import Rows
from alpaqual.report.report import Report
from alpaqual.results.datasets import DatasetResult
from alpaqual.results.file import read_results
from alpaqual.results.results import Results
from alpaqual.store.store import Store, project_folder
from alpaqual.store.tables import read_rows
from alpaqual.values import Fate

if TYPE_CHECKING:
    from alpaqual.execution.estimate import Estimate
    from alpaqual.execution.evaluation_estimate import EvaluationEstimate
    from alpaqual.execution.training_estimate import TrainingEstimate

__all__ = [
    "STAGES",
    "Plan",
    "Recipe",
    "Report",
    "Run",
    "build_report",
    "compile_plan",
    "execute",
    "format_names",
    "open_run",
    "pandera_schema",
    "parse_recipe",
    "plan_recipe",
    "push",
    "read_recipe",
    "run",
    "to_github",
    "to_html",
    "to_junit",
    "to_markdown",
]


REPORT_PAGE = "report.html"
_MOST_SHOWN = 5


@dataclass(frozen=True, repr=False)
class Run(FinishedRun):
    """A finished run. `datasets["quality"].polars()` gives its rows; in a notebook it shows itself.

    `results` is what it found, typed: `run.results.datasets["quality"].keep_rate`. The keys of `results.json` read the same
    values, `run.results["datasets"]["quality"]["keep_rate"]`, and `run.results.to_dict()` gives plain dicts.
    """

    @property
    def datasets(self) -> Mapping[str, Rows]:
        """The selected rows of each dataset, as its file has them; `.split("train")` has those of a split."""
        return {name: self._rows_of(name, dataset) for name, dataset in self.results.datasets.items()}

    def _rows_of(self, name: str, dataset: DatasetResult) -> Rows:
        splits = {split: self._own / found.file for split, found in (dataset.splits or {}).items()}
        return Rows(
            self._own / "datasets" if splits else self._own / (dataset.file or f"datasets/{name}.jsonl"), splits
        )

    @property
    def fates(self) -> Rows:
        """What became of every row in every dataset: dataset, id, fate, reasons."""
        return Rows(self._own / "tables" / "fates.parquet")

    @property
    def grades(self) -> Rows:
        """Every score: grader, id, score, reason."""
        return Rows(self._own / "tables" / "grades.parquet")

    @property
    def turn_grades(self) -> Rows:
        """Every score of a single turn, by graders with `each: turn`: grader, id, turn, score, reason."""
        return Rows(self._own / "tables" / "turn_grades.parquet")

    @property
    def failures(self) -> Rows:
        """Every failing row of every rule: rule, id, column, value."""
        return Rows(self._own / "tables" / "failures.parquet")

    def rows(
        self,
        *,
        dataset: str | None = None,
        category: str | None = None,
        fate: Fate | str | None = None,
        rule: str | None = None,
        row_id: str | int | None = None,
        limit: int | None = None,
    ) -> list[dict[str, Any]]:
        """Return the rows that match every filter, with fate, reasons, scores and categories; all of them without filters.

        Args:
            dataset: Rows as this dataset has them; without it, a row comes once for each dataset.
            category: Rows in this category.
            fate: Rows with this fate, such as "below_threshold".
            rule: Rows that fail this rule.
            row_id: Rows with this id of the data, the row with this row id, or rows whose row ids start with it.
            limit: The most rows to return; None for all.

        Raises RecipeError where the run has no dataset, category, rule or fate of a name, and StageError where the files of the
        run are gone or a later run has replaced them.
        """
        check_names(self, dataset=dataset, category=category, rule=rule, fate=fate)
        if limit is not None and limit < 0:
            raise _wrong("limit", f"{limit} is below 0: give a number of rows")
        return read_rows(
            self._own,
            dataset=dataset,
            category=category,
            fate=fate,
            rule=rule,
            row_id=None if row_id is None else str(row_id),
            limit=limit,
        )

    @property
    def _own(self) -> Path:
        """The folder. Raises StageError where a later run has replaced the files of this one."""
        recover(self.folder)
        made, there = self.results.provenance, None
        with contextlib.suppress(RecipeError):
            there = read_results(self.folder).provenance
        if made is not None and there is not None and made.stages != there.stages:
            raise StageError(
                f"a later run has replaced the files of this one in {self.folder}: open it with open_run, or give each run a "
                "folder of its own with out= or sets="
            )
        return self.folder

    def report(self) -> Report:
        """The report of this run."""
        return build_report(self)

    def _repr_html_(self) -> str:
        from alpaqual.report.notebook import to_notebook

        return to_notebook(self.report(), self.folder / REPORT_PAGE)

    def __repr__(self) -> str:
        results = self.results
        datasets = ", ".join(
            f"{name} {dataset.rows:,}" for name, dataset in list(results.datasets.items())[:_MOST_SHOWN]
        )
        more = len(results.datasets) - _MOST_SHOWN
        shown = f"{datasets}, … and {more} more" if more > 0 else datasets or "no datasets"
        return f"<Run {results.recipe.name}: {self.verdict}; of {results.source.rows:,} rows: {shown}; {self.folder / REPORT_PAGE}>"


def plan_recipe(recipe: Recipe | str | Path, *, sets: Sequence[str] = (), offline: bool = False) -> Plan:
    """What `run` would do: looks at the sources, reads none of them in full.

    Raises RecipeError, MachineError.
    """
    return _planned(recipe, sets, offline)[0]


def _planned(recipe: Recipe | str | Path, sets: Sequence[str], offline: bool) -> tuple[Plan, Store]:
    if isinstance(sets, str):
        sets = [sets]
    if isinstance(recipe, Recipe) and sets:
        raise _wrong("--set", "changes a recipe as it is read: give the path of the recipe, or read_recipe(path, sets)")
    read = recipe if isinstance(recipe, Recipe) else read_recipe(recipe, sets)
    store = Store(project_folder(Path(read.file)))
    facts, digests = inspect_sources(read, store, offline=offline)
    return compile_plan(read, facts, digests), store


def run_folder(plan: Plan, store: Store) -> Path:
    """The default run folder in the project: runs/<name>, and runs/<name>@<overrides> for a recipe that `sets` changed."""
    return store.project / "runs" / run_name(plan.recipe)


def execute(
    plan: Plan,
    store: Store,
    out: Path | None = None,
    *,
    until: str | None = None,
    listen: Listener | None = None,
    options: RunOptions | None = None,
) -> Run:
    """Execute a plan and fill the run folder (`out`, or the default one: see `run_folder`).

    A run that fails or is stopped by `until` leaves a finished run in the folder as it is: its own files are in `unfinished/`
    of that folder, which is then the folder of the returned run.

    Raises RecipeError, before anything is touched, where `until` is no kind of stage; StageError where a stage fails: results
    so far are kept, and the next run resumes there.
    """
    stages_until((), until)
    folder = RunFolder.open(out or run_folder(plan, store))
    execution = Execution(plan, store, folder, options=options, listen=listen)
    try:
        try:
            execution.prepare(until)
            execution.run(until)
            execution.fill_folder()
            results = execution.build_results()
        except (RecipeError, MachineError):
            raise
        except AlpaqualError as error:
            folder.discard()
            path = _commit(folder, failed_results(plan, error, execution.commit))
            if path != folder.path:
                error.add_note(f"the finished run in {folder.path} stays as it is; the report of this one is in {path}")
            raise
        finished = Run(_commit(folder, results), results, tuple(execution.outcomes))
        execution.settle()
    except OSError as error:
        raise StageError(f"{error.strerror or error}: {error.filename or folder.path}") from error
    finally:
        folder.discard()
    execution.raise_errors()
    return finished


def _commit(folder: RunFolder, results: Results) -> Path:
    """Put the run into its folder, with the report in every format that has a file there. Returns the folder that has it."""
    report = build_report(FinishedRun(folder.preparing, results))
    for name, file in report_files().items():
        folder.write(file, report_text(report, name))
    pushed = [name for name, dataset in results.datasets.items() if dataset.push_to_hub is not None]
    if pushed:
        from alpaqual.execution.publishing import card_of
        from alpaqual.report.dataset_card import dataset_card

        for name in pushed:
            folder.write(card_of(name), dataset_card(name, results))
    return folder.commit(results)


def run(  # noqa: PLR0913 - one argument per option of a run
    recipe: Recipe | str | Path,
    *,
    out: str | Path | None = None,
    sets: Sequence[str] = (),
    until: str | None = None,
    offline: bool = False,
    max_cost: float | None = None,
    listen: Listener | None = None,
    watch: Watcher | None = None,
) -> Run:
    """Run a recipe: read it, plan, execute the stages, and write the run folder with its reports.

    Args:
        recipe: Path of the recipe, or a parsed Recipe.
        out: The run folder; by default runs/<name> in the project, and with `sets` runs/<name>@<overrides>.
        sets: KEY=VALUE assignments that change values of the recipe, like `--set`.
        until: Kind of the last stage to execute, such as "grading"; by default all.
        offline: Do not use the network.
        max_cost: Limit on the cost of model calls in this run, in US dollars.
        listen: Called with (stage, event, seconds) when a stage starts, finishes or is reused.
        watch: Called with the progress of grading and of training.

    Raises RecipeError, MachineError or StageError. Bad data raises nothing: see `Run.verdict`.
    """
    stages_until((), until)
    if max_cost is not None and not max_cost >= 0:
        raise _wrong("--max-cost", f"{max_cost:g} is no amount of money: give 0 or more US dollars")
    planned, store = _planned(recipe, sets, offline)
    limit = None if max_cost is None else Limit("--max-cost", max_cost)
    options = RunOptions(offline=offline, max_cost=limit, watch=watch)
    return execute(planned, store, None if out is None else Path(out), until=until, listen=listen, options=options)


def open_run(folder: str | Path) -> Run:
    """Open a finished run from its folder.

    Raises RecipeError where the folder has no finished run, or where its `results.json` is broken, another program's, or of
    another version.
    """
    path = Path(folder)
    recover(path)
    return Run(path, read_results(path))


def push(folder: str | Path, *, dataset: str | None = None) -> dict[str, str]:
    """Push the datasets of a finished run that name `push_to_hub`, or one of them, to the Hugging Face Hub, with their cards.

    Returns the address of each commit, by dataset. Raises RecipeError where the run is not good or names no repository,
    MachineError without huggingface_hub or a token, StageError where the Hub refuses.
    """
    from alpaqual.execution.publishing import push_datasets

    finished = open_run(folder)
    check_names(finished, dataset=dataset)
    return push_datasets(finished, dataset)


def pandera_schema(rules: str | Path) -> Any:
    """The `pandera.polars.DataFrameSchema` of a file of rules, for frames in a notebook.

    Raises RecipeError where the file is wrong or a rule needs what a frame cannot give.
    """
    from alpaqual.execution.pandera_schema import pandera_schema

    return pandera_schema(read_rules(rules))


def render(report: Report, kind: str) -> str:
    """Return the report in a format, one of `format_names()`.

    Raises MachineError where there is no such format, or where something that it needs is not installed.
    """
    return report_text(report, kind)


def explain(plan: Plan) -> list[Explained]:
    """Each stage of a plan: reused, or why it runs."""
    store = Store(project_folder(Path(plan.recipe.file)))
    before: dict[str, StageRecord] = {}
    folder = run_folder(plan, store)
    check_marker(folder)
    # Overrides that have not run yet are compared with the run of the recipe itself.
    for each in (store.project / "runs" / plan.recipe.name, folder):
        with contextlib.suppress(OSError):
            before = read_record((each / STAGE_RECORD).read_bytes())
    execution = Execution(plan, store, RunFolder(folder, ()))
    return explain_plan(plan, lambda stage: execution.handler(stage).exists(), before)


def estimate(plan: Plan) -> list[Estimate]:
    """What each live grader would still cost; loads and checks the rows for it, which costs nothing.

    Raises RecipeError, StageError.
    """
    if not any(grader.live for grader in plan.recipe.graders.values()):
        return []
    from alpaqual.execution.estimate import estimate_graders

    return estimate_graders(plan, Store(project_folder(Path(plan.recipe.file))))


def estimate_jobs(plan: Plan) -> list[TrainingEstimate]:
    """What each training job will take; rows, time and cost are unknown before a dataset is selected."""
    if not plan.of(TrainStage):
        return []
    from alpaqual.execution.training_estimate import estimate_training

    store = Store(project_folder(Path(plan.recipe.file)))
    return estimate_training(plan, store, run_folder(plan, store))


def estimate_evaluation(plan: Plan) -> list[EvaluationEstimate]:
    """What each stage of the evaluation without a result will ask, at what cost. Raises RecipeError."""
    if plan.recipe.text.evaluation is None:
        return []
    from alpaqual.execution.evaluation_estimate import estimate_evaluation

    store = Store(project_folder(Path(plan.recipe.file)))
    return estimate_evaluation(plan, store, run_folder(plan, store))


def commands(plan: Plan) -> dict[str, str]:
    """What trains each dataset, by stage, as a line of the shell; the files that it starts are written by `run`."""
    return training_commands(plan, run_folder(plan, Store(project_folder(Path(plan.recipe.file)))))


def _wrong(what: str, why: str) -> RecipeError:
    return RecipeError([Problem(what, 0, 0, why)])
