"""One execution of a plan: what its handlers share, and the loop that runs them."""

from __future__ import annotations

import importlib
import shutil
import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from alpaqual.contracts import Engine
from alpaqual.engines import open_engine
from alpaqual.errors import AlpaqualError
from alpaqual.execution.filling import fill_folder
from alpaqual.execution.folder import RunFolder
from alpaqual.execution.options import RunOptions
from alpaqual.execution.provenance import find_commit
from alpaqual.execution.results import build_results, with_training
from alpaqual.execution.run import Outcome
from alpaqual.execution.training import Trained
from alpaqual.plan.plan import Plan
from alpaqual.plan.stage import Stage, fingerprint
from alpaqual.plan.stages import stages_until
from alpaqual.plan.training import TrainStage
from alpaqual.results.results import Commit, Results
from alpaqual.store.ledger import Ledger
from alpaqual.store.store import Result, Store
from alpaqual.values import State

if TYPE_CHECKING:
    from alpaqual.execution.accounts import Account
    from alpaqual.execution.evaluation import Evaluated

Listener = Callable[[str, str, float], None]
"""Called with (stage, "start" | "done" | "reused", seconds)."""


class StageResult(Protocol):
    """What a stage left; `finished` where the stage needs no further run."""

    @property
    def finished(self) -> bool: ...

    @property
    def error(self) -> AlpaqualError | None:
        """An error that the run raises at its end, when everything else is complete and reported."""
        ...


class Handler(Protocol):
    """Executes one stage: `alpaqual/execution/stages/<kind>.py` with a class `Handler(execution, stage)`."""

    def check(self) -> None:
        """Raise MachineError where this machine cannot run the stage, before any stage runs."""
        ...

    def exists(self) -> bool:
        """Whether the stage has a result from an earlier run."""
        ...

    def find(self) -> StageResult | None:
        """The result of an earlier run, as this run reports it."""
        ...

    def skip(self) -> StageResult | None:
        """What is reported instead where the stage is not run now; None where it runs."""
        ...

    def make(self) -> StageResult:
        """Run the stage. Raises StageError."""
        ...


class Execution:
    """The state of one execution: results by stage, the engine, the ledger and the run folder.

    `folder` is None where only stored results are wanted.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        folder: RunFolder | None = None,
        *,
        options: RunOptions | None = None,
        listen: Listener | None = None,
    ) -> None:
        self.plan = plan
        self.store = store
        self.folder = folder
        self.options = options or RunOptions()
        self.listen: Listener = listen or (lambda stage, event, seconds: None)
        self.results: dict[str, StageResult] = {}
        self.outcomes: list[Outcome] = []
        self._engine: Engine | None = None
        self._viewed: set[str] = set()
        self.at_end: list[Callable[[], None]] = []
        """What jobs have to do once the run folder has this run."""
        self._filled = False
        self.evaluated: Evaluated | None = None
        self.accounts: dict[str, Account] = {}
        """Spending on the models of an evaluation."""
        self._until: str | None = None
        self._spill = store.unfinished_folder()

    def prepare(self, until: str | None = None) -> None:
        """Check that this machine can run the stages, up to those of the kind `until`, before any runs.

        Raises MachineError, and RecipeError where a file that the recipe names is wrong.
        """
        self.store.clear_unfinished()
        try:
            for stage in stages_until(self.plan.stages, until):
                self.handler(stage).check()
        except BaseException:
            self._close()
            raise

    def run(self, until: str | None = None) -> None:
        """Run every stage that has no result, up to those of the kind `until`.

        Raises StageError where one fails; results so far stay in the store.
        """
        self._until = until
        try:
            for stage in stages_until(self.plan.stages, until):
                self._step(stage, self.handler(stage))
            self.evaluated = self._collect()
        finally:
            self._close()

    def _collect(self) -> Evaluated | None:
        """What the stages of an evaluation left, and their files in the run folder."""
        if self.plan.recipe.text.evaluation is None:
            return None
        from alpaqual.execution.evaluation import collect

        return collect(self)

    def settle(self) -> None:
        """Do what is left once the run folder has this run."""
        for each in self.at_end:
            each()

    def handler(self, stage: Stage) -> Handler:
        """The handler of a stage, by its kind."""
        module = importlib.import_module(f"alpaqual.execution.stages.{stage.kind}")
        handler: Handler = module.Handler(self, stage)
        return handler

    def _step(self, stage: Stage, handler: Handler) -> None:
        started = time.monotonic()
        result = handler.find()
        reused = result is not None
        if result is None:
            result = handler.skip()
        if result is None:
            self.listen(stage.name, "start", 0.0)
            result = handler.make()
        self.results[stage.name] = result
        if result.finished:
            seconds = time.monotonic() - started
            self.outcomes.append(Outcome(stage.name, reused, seconds))
            self.listen(stage.name, "reused" if reused else "done", seconds)

    def key(self, stage: Stage) -> str:
        """The fingerprint that a stage's result is stored under.

        It is the stage's own, unless an input is not final: then no later run may take the result for a final one.
        """
        found = {each.name: self.stored(each).fingerprint for each in stage.inputs}
        own = stage.fingerprint
        return own if found == stage.input_fingerprints else fingerprint([own, found])

    def stored(self, stage: Stage) -> Result:
        """The stored result of a stage that this execution has run or found."""
        result = self.results[stage.name]
        assert isinstance(result, Result)
        return result

    @property
    def stored_results(self) -> dict[str, Result]:
        """All stored results so far, by the stage's name."""
        return {name: result for name, result in self.results.items() if isinstance(result, Result)}

    # What handlers use

    @property
    def engine(self) -> Engine:
        """The engine of the recipe, opened when first needed."""
        if self._engine is None:
            limits = self.plan.recipe.text.engine
            self._engine = open_engine(
                kind=limits.kind, memory=limits.memory, threads=limits.threads, spill=self._spill
            )
            if any(file.path.startswith("hf://") for facts in self.plan.sources for file in facts.files):
                self._engine.allow_network()
        return self._engine

    def fill_folder(self) -> None:
        """Put the data into the run folder, once."""
        if self.folder is not None and not self._filled:
            self._filled = True
            fill_folder(self.plan, self.stored_results, self.store, self.folder)

    @cached_property
    def data_results(self) -> Results:
        """The results of the data, judged once: before a stage that only good data reaches, or at the end."""
        return build_results(self.plan, self.stored_results, self.commit, self._until)

    @property
    def data_failed(self) -> bool:
        """Whether the data is not good: nothing is trained on it."""
        return self.data_results.verdict is State.FAIL

    @property
    def trained(self) -> dict[str, Trained]:
        """The state of each training job so far, by dataset."""
        found = {stage.dataset: self.results.get(stage.name) for stage in self.plan.of(TrainStage)}
        return {dataset: result for dataset, result in found.items() if isinstance(result, Trained)}

    @cached_property
    def commit(self) -> Commit | None:
        """The git commit of the project."""
        return find_commit(self.store.project, self.folder.path if self.folder is not None else self.store.root)

    def build_results(self) -> Results:
        """Return the results of this execution."""
        results = with_training(self.plan, self.data_results, self.trained)
        if self.evaluated is None:
            return results
        from alpaqual.execution.evaluation_results import with_evaluation

        return with_evaluation(self.plan, results, self.evaluated)

    def raise_errors(self) -> None:
        """Raise the first error that a stage left in its result: the rest of the run is complete and reported."""
        for result in self.results.values():
            if result.error is not None:
                raise result.error

    @cached_property
    def ledger(self) -> Ledger:
        """The project's replies."""
        return Ledger(self.store.replies, self.store.claims)

    def view_inputs(self, stage: Stage) -> None:
        """Make the tables of a stage's inputs readable by their names."""
        for each in stage.inputs:
            self.view(each)

    def view(self, stage: Stage) -> None:
        """Make the tables of a stage that has a result readable by their names."""
        if stage.name in self._viewed:
            return
        self._viewed.add(stage.name)
        result: Any = self.results[stage.name]
        for table in stage.tables:
            self.engine.view(table.name, [result.table(table.name)])

    def _close(self) -> None:
        while self.accounts:
            self.accounts.popitem()[1].spending.close()
        if "ledger" in vars(self):
            # An open file is locked as one that a run writes.
            self.ledger.close()
            del self.ledger
        if self._engine is not None:
            self._engine.close()
            self._engine = None
            self._viewed.clear()
            shutil.rmtree(self._spill, ignore_errors=True)
