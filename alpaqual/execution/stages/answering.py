"""Executes `answering.<model>.<test set>`: the answers are kept by the content of the model and the questions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from alpaqual.execution.answering import (
    COLUMNS,
    Answer,
    LocalModel,
    ask,
    counts,
    local_model,
    processes_of,
    read_answers,
    settings_of,
)
from alpaqual.execution.evaluation_handler import EvaluationHandler
from alpaqual.execution.judgements import fill_table
from alpaqual.execution.stored import REPLIES
from alpaqual.execution.test_sets import ReadTestSet, load_test_set
from alpaqual.execution.training import trained_folder
from alpaqual.llm.vllm import require_vllm
from alpaqual.plan.answering import AnswerStage
from alpaqual.plan.stage import fingerprint
from alpaqual.plan.tables import ANSWERED
from alpaqual.plan.training import TrainStage
from alpaqual.values import Question


class Handler(EvaluationHandler[AnswerStage]):
    """Asks the questions, unless the model is not trained."""

    @property
    def is_trained_here(self) -> bool:
        """Whether the recipe trains the model."""
        return self.stage.model not in self.evaluation.models

    @cached_property
    def trained(self) -> LocalModel | None:
        """The model that training left; None before."""
        execution, (stage,) = self.execution, self.stage.inputs
        result = execution.trained.get(self.stage.model)
        job = None if result is None else result.folder
        if job is None and execution.folder is not None and isinstance(stage, TrainStage):
            job = trained_folder(execution.folder.path, stage, execution.store)
        return None if job is None else local_model(job, execution.store.digest)

    @property
    def key(self) -> str:
        """The settings, the names of model and test set, and the files of a model that was trained here."""
        digest = self.trained.digest if self.is_trained_here and self.trained is not None else None
        # The table of the answers has these names. Under another name, replies come from the ledger.
        settings = {"settings": self.stage.all_settings, "subject": self.stage.subject}
        return fingerprint({"stage": self.stage.kind, **settings, "trained": digest})

    def check(self) -> None:
        """Raise MachineError where this machine cannot run the model, before anything is trained or paid for."""
        if self.exists() or self.execution.options.offline:
            return
        if self.is_trained_here:
            if self.evaluation.answers.engine == "vllm":
                require_vllm()
            return
        settings, _ = settings_of(self.evaluation, self.stage, None)
        self.check_model(settings)

    def exists(self) -> bool:
        """Whether the store has the answers of this model."""
        if self.is_trained_here and self.trained is None:
            return False
        return self.execution.store.find(self.key) is not None

    def obstacle(self) -> str:
        """Why the model cannot answer now; empty where it can."""
        if self.execution.data_failed:
            return "the data is not good, so nothing was evaluated"
        if self.is_trained_here:
            training = self.execution.trained.get(self.stage.model)
            if training is None or not training.finished:
                why = f": {training.why}" if training is not None else ""
                return f"the model {self.stage.model} is not trained{why}"
        return ""

    @cached_property
    def test_set(self) -> ReadTestSet:
        """The test set as it is asked."""
        return load_test_set(self.execution.plan.recipe, self.stage.test_set)

    @property
    def questions(self) -> list[Question]:
        """The questions of the test set."""
        return list(self.test_set.questions)

    @contextmanager
    def prepare(self, folder: Path) -> Iterator[dict[str, Any]]:
        """Ask the model, or read the file of answers, and make the table of the answers."""
        engine = self.execution.engine
        found, facts = self.answers()
        rows = [(a.id, a.text, a.reason, a.finish_reason, a.input_tokens, a.output_tokens) for a in found]
        fill_table(engine, ANSWERED, COLUMNS, rows, self.stage.name)
        try:
            counted = counts(found, processes_of(self.evaluation, self.stage.model))
            yield {**counted, **facts, "notes": list(self.test_set.notes)}
        finally:
            engine.drop(ANSWERED.name)

    def answers(self) -> tuple[list[Answer], dict[str, Any]]:
        """The answers in the order of the questions, and what asking took."""
        recipe, stage = self.execution.plan.recipe, self.stage
        own = self.evaluation.models.get(stage.model)
        if own is not None and own.answers is not None:
            place = recipe.problem(("evaluation", "models", stage.model, "answers"), "")
            path = recipe.folder / own.answers
            return read_answers(path, own.answers, stage.test_set, self.questions, place), {}
        found, facts = ask(self.execution, stage, self.questions, self.trained if self.is_trained_here else None)
        return found, {REPLIES: [facts]}
