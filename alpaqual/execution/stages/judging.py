"""Executes `judging.…`: votes of a judge on two models' answers, or those of a file of recorded replies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alpaqual.evaluation.values import Judgement
from alpaqual.execution.evaluation_handler import EvaluationHandler
from alpaqual.execution.judgements import fill_votes
from alpaqual.execution.stages.answering import Handler as AnswerHandler
from alpaqual.execution.stored import REPLIES
from alpaqual.execution.waiting import Waiting
from alpaqual.plan.answering import AnswerStage
from alpaqual.plan.judging import JudgeStage
from alpaqual.plan.stage import fingerprint
from alpaqual.plan.tables import VOTED, answers
from alpaqual.store.store import Result


class Handler(EvaluationHandler[JudgeStage]):
    """Asks the judge about each question in both orders, or reads recorded replies."""

    @property
    def key(self) -> str:
        """The settings, and the answers that are judged: also of an answering that is asked for the rest in the next run."""
        found = [self.execution.results.get(handler.stage.name) for handler in self.answering]
        keys = [
            result.fingerprint if isinstance(result, Result) else handler.key
            for handler, result in zip(self.answering, found, strict=True)
        ]
        settings = {"stage": self.stage.kind, "settings": self.stage.all_settings, "answers": keys}
        # A table has the names of its models and of its judge.
        return fingerprint([settings, self.stage.judge, self.stage.a, self.stage.b, self.stage.test_set])

    @property
    def answering(self) -> list[AnswerHandler]:
        """The handlers of both models' answers."""
        return [AnswerHandler(self.execution, each) for each in self.stage.inputs if isinstance(each, AnswerStage)]

    def check(self) -> None:
        """Raise MachineError where the judge's model cannot be used from this machine, before anything is answered."""
        if not self.stage.recorded:
            self.check_model(self.evaluation.named_judges[self.stage.judge])

    def exists(self) -> bool:
        """Whether the store has the votes on these answers."""
        if not all(handler.exists() for handler in self.answering):
            return False
        return self.execution.store.find(self.key) is not None

    def obstacle(self) -> str:
        """Why there is nothing to judge now; empty where there is."""
        for stage in self.stage.inputs:
            result = self.execution.results.get(stage.name)
            if isinstance(result, Waiting):
                return result.why
        return ""

    @contextmanager
    def prepare(self, folder: Path) -> Iterator[dict[str, Any]]:
        """Make the table of the votes."""
        judgements, facts = self.recorded() if self.stage.recorded else self.judged()
        fill_votes(self.execution.engine, judgements, self.stage.name)
        try:
            yield facts
        finally:
            self.execution.engine.drop(VOTED.name)

    def judged(self) -> tuple[list[Judgement], dict[str, Any]]:
        """The votes of a live judge."""
        from alpaqual.execution.judging import judge_pair
        from alpaqual.execution.test_sets import load_test_set

        questions = load_test_set(self.execution.plan.recipe, self.stage.test_set).questions
        a, b = (self.texts(model) for model in (self.stage.a, self.stage.b))
        found, facts = judge_pair(self.execution, self.stage, questions, a, b)
        return found, {REPLIES: [facts]}

    def texts(self, model: str) -> dict[str, str | None]:
        """A model's answers by the id of the question."""
        stage = self.execution.plan.find(AnswerStage, f"{model}.{self.stage.test_set}")
        assert stage is not None
        query = f"SELECT id, answer FROM {answers(stage.subject)}"
        return {item: answer for batch in self.execution.engine.rows(query, 1_000) for item, answer in batch}

    def recorded(self) -> tuple[list[Judgement], dict[str, Any]]:
        """The votes of a file of recorded replies."""
        from alpaqual.execution.recorded_judgements import notes_on, read_recorded_file

        found = read_recorded_file(self.execution.plan.recipe, self.evaluation)
        return found.judgements, {"notes": notes_on(found, self.evaluation)}
