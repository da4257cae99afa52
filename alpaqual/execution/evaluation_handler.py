"""What the handlers of answers and of votes share: they wait for what is before them, and an error of theirs ends no run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar

from alpaqual.errors import AlpaqualError, MachineError, RecipeError
from alpaqual.execution.execution import StageResult
from alpaqual.execution.model_grading import check_model
from alpaqual.execution.stored import StoredHandler
from alpaqual.execution.waiting import Waiting
from alpaqual.plan.stage import Stage
from alpaqual.recipe.evaluation import Evaluation
from alpaqual.recipe.model_settings import ModelSettings
from alpaqual.store.store import Result

S = TypeVar("S", bound=Stage)


class EvaluationHandler(StoredHandler[S], ABC):
    """Runs a stage of an evaluation where `obstacle` names nothing that is missing."""

    @property
    def evaluation(self) -> Evaluation:
        """The recipe's evaluation."""
        evaluation = self.execution.plan.recipe.text.evaluation
        assert evaluation is not None
        return evaluation

    @abstractmethod
    def obstacle(self) -> str:
        """Why the stage cannot run now; empty where it can."""

    def check_model(self, settings: ModelSettings) -> None:
        """Raise MachineError where this machine cannot open a live model that the stage asks."""
        execution = self.execution
        if settings.live:
            check_model(
                execution.plan.recipe, settings, self.exists, execution.ledger, offline=execution.options.offline
            )

    def find(self) -> Result | None:
        """The stored result; calls that an earlier run made count as reused."""
        return None if self.obstacle() else super().find()

    def skip(self) -> Waiting | None:
        """Why the stage does not run now; None where it does."""
        why = self.obstacle()
        return Waiting(why) if why else None

    def make(self) -> StageResult:
        """Run the stage; an error is part of the result, so that everything else is reported all the same."""
        try:
            return super().make()
        except (RecipeError, MachineError):
            raise
        except AlpaqualError as error:
            return Waiting(f"it failed: {error}", error)
