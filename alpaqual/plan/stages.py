"""The closed set of stages: one row for each kind, in the order in which kinds run.

`plan`, `run`, `--until`, the run folder and the results derive from this table. The handler of a kind is
`alpaqual/execution/stages/<kind>.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from alpaqual.errors import Problem, RecipeError
from alpaqual.plan.answering import AnswerStage, answer_stages
from alpaqual.plan.assessing import AssessStage, assess_stages
from alpaqual.plan.categorizing import CategorizeStage, categorize_stages
from alpaqual.plan.checking import CheckStage, check_stages
from alpaqual.plan.compilation import Compilation
from alpaqual.plan.grading import GradeStage, grade_stages
from alpaqual.plan.judging import JudgeStage, judge_stages
from alpaqual.plan.loading import LoadStage, load_stages
from alpaqual.plan.selecting import SelectStage, select_stages
from alpaqual.plan.stage import Stage
from alpaqual.plan.tables import FAILURES, QUARANTINE, ROW_CATEGORIES, ROWS, Table, fates, grades, turn_grades
from alpaqual.plan.training import TrainStage, train_stages
from alpaqual.plan.writing import WriteStage, write_stages


@dataclass(frozen=True)
class StageKind:
    """One kind of stage."""

    stage: type[Stage]
    compile: Callable[[Compilation], Iterator[Stage]]
    place: str = "the store"
    """Where its result is, in the words of messages."""
    shown: tuple[Table, ...] = ()
    """Tables that the run folder has as tables/<table>.parquet."""
    joined: tuple[tuple[str, Callable[[str], Table]], ...] = ()
    """Each table of the run folder that joins those of the stages of the kind which keep one, and the table of one subject."""
    data: bool = field(default=True)
    """Whether it makes data. The verdict on the data decides whether the other stages run."""

    @property
    def name(self) -> str:
        """The name that `--until` takes."""
        return self.stage.kind


STAGE_KINDS: tuple[StageKind, ...] = (
    StageKind(LoadStage, load_stages, shown=(ROWS, QUARANTINE)),
    StageKind(CheckStage, check_stages, shown=(FAILURES,)),
    StageKind(CategorizeStage, categorize_stages, shown=(ROW_CATEGORIES,)),
    StageKind(GradeStage, grade_stages, joined=(("grades", grades), ("turn_grades", turn_grades))),
    StageKind(AssessStage, assess_stages),
    StageKind(SelectStage, select_stages, joined=(("fates", fates),)),
    StageKind(WriteStage, write_stages),
    StageKind(TrainStage, train_stages, place="the run folder", data=False),
    StageKind(AnswerStage, answer_stages, data=False),
    StageKind(JudgeStage, judge_stages, data=False),
)

STAGES: tuple[str, ...] = tuple(kind.name for kind in STAGE_KINDS)
"""The names that `--until` takes, in the order of the stages."""


def kind_of(stage: Stage) -> StageKind:
    """The row of a stage's kind."""
    return next(kind for kind in STAGE_KINDS if isinstance(stage, kind.stage))


def stages_until(stages: Iterable[Stage], until: str | None) -> list[Stage]:
    """The stages up to those of the kind `until`; all of them for None.

    Raises RecipeError where no stages are of that kind.
    """
    if until is not None and until not in STAGES:
        raise RecipeError(
            [Problem("until", 0, 0, f"there is no kind of stage '{until}'; there are: {', '.join(STAGES)}")]
        )
    reached = STAGES if until is None else STAGES[: STAGES.index(until) + 1]
    return [stage for stage in stages if stage.kind in reached]
