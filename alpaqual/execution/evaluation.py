"""Collects what the stages of an evaluation left, and makes its results of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from alpaqual.errors import AlpaqualError
from alpaqual.evaluation.values import Judgement
from alpaqual.evaluation.verdicts import verdict
from alpaqual.execution.judgements import read_judgements, write_verdicts
from alpaqual.execution.waiting import Waiting
from alpaqual.plan.answering import AnswerStage
from alpaqual.plan.evaluation_facts import AnswerFacts, JudgeFacts
from alpaqual.plan.facts import ReplyFacts, convert_facts
from alpaqual.plan.judging import JudgeStage
from alpaqual.plan.tables import answers, votes
from alpaqual.recipe.evaluation import Evaluation
from alpaqual.results.evaluation import AnswersResult
from alpaqual.store.store import Result

if TYPE_CHECKING:
    from alpaqual.execution.execution import Execution

VERDICTS = "evaluation/verdicts.parquet"


@dataclass(frozen=True)
class Evaluated:
    """What the stages of an evaluation left."""

    judgements: list[Judgement] = field(default_factory=list)
    answers: list[AnswersResult] = field(default_factory=list)
    replies: Mapping[str, list[ReplyFacts]] = field(default_factory=dict)
    """Requests of each judge, one entry a stage."""
    waiting: Mapping[str, str] = field(default_factory=dict)
    errors: tuple[AlpaqualError, ...] = ()
    notes: tuple[str, ...] = ()
    """What a file of recorded replies is warned of, and what is not asked of a test set."""


def collect(execution: Execution) -> Evaluated | None:
    """What the stages left, while the engine is open; the files of the run folder are prepared. None without an evaluation.

    Raises StoreError.
    """
    plan, evaluation = execution.plan, execution.plan.recipe.text.evaluation
    stages = [*plan.of(AnswerStage), *plan.of(JudgeStage)]
    reached = [(stage, execution.results[stage.name]) for stage in stages if stage.name in execution.results]
    if evaluation is None or not reached:
        return None
    waiting = {stage.name: result for stage, result in reached if isinstance(result, Waiting)}
    done = {stage.name: result for stage, result in reached if isinstance(result, Result)}
    judgements: list[Judgement] = []
    replies: dict[str, list[ReplyFacts]] = {}
    notes: list[str] = []
    for stage in plan.of(JudgeStage):
        if stage.name in done:
            execution.view(stage)
            judgements += read_judgements(execution.engine, votes(stage.subject))
            facts = convert_facts(done[stage.name].facts, JudgeFacts)
            replies.setdefault(stage.judge, []).extend(facts.replies)
            notes += facts.notes
    for asked in plan.of(AnswerStage):
        if asked.name in done:
            found = convert_facts(done[asked.name].facts, AnswerFacts).notes
            notes += (f"{asked.test_set}: {note}" for note in found)
    answered = [_answers(stage, execution.results.get(stage.name), evaluation) for stage in plan.of(AnswerStage)]
    _fill_folder(execution, evaluation, judgements, done)
    return Evaluated(
        judgements,
        [each for each in answered if each is not None],
        replies,
        {name: each.why for name, each in waiting.items()},
        tuple(each.error for each in waiting.values() if each.error is not None),
        tuple(dict.fromkeys(notes)),
    )


def _fill_folder(
    execution: Execution, evaluation: Evaluation, judgements: list[Judgement], done: Mapping[str, Result]
) -> None:
    """Prepare the answers and verdicts of the run folder."""
    folder, engine = execution.folder, execution.engine
    if folder is None:
        return
    for stage in execution.plan.of(AnswerStage):
        if stage.name in done:
            execution.view(stage)
            with execution.store.making() as making:
                path = making / "answers.jsonl"
                engine.export(f"SELECT * FROM {answers(stage.subject)}", path, stage.name)
                folder.write(f"evaluation/answers/{stage.subject}.jsonl", path.read_text(encoding="utf-8"))
    if judgements:
        with execution.store.making() as making:
            path = making / "verdicts.parquet"
            write_verdicts(engine, judgements, lambda each: verdict(each, evaluation.rule), path)
            folder.keep(path, VERDICTS)


def _answers(stage: AnswerStage, result: Any, evaluation: Evaluation) -> AnswersResult | None:
    if isinstance(result, Waiting):
        return AnswersResult(model=stage.model, test_set=stage.test_set, why=result.why)
    if not isinstance(result, Result):
        return None
    facts = convert_facts(result.facts, AnswerFacts)
    (counted,) = facts.answers
    usage = usage_of(facts.replies)
    hours = _gpu_hours(facts) if evaluation.runs_here(stage.model) else None
    price = evaluation.answers.price_per_gpu_hour
    if hours is not None and price is not None and usage["calls_made"]:
        usage["cost_usd"] += hours * price
    return AnswersResult(
        model=stage.model,
        test_set=stage.test_set,
        questions=counted.items,
        answered=counted.answered,
        cut=counted.cut,
        empty=counted.empty,
        unanswered={each.reason: each.rows for each in facts.unanswered},
        mean_characters=counted.characters / counted.answered if counted.answered else None,
        **usage,
        gpu_hours=hours,
        seconds=sum(each.seconds for each in facts.replies),
    )


def _gpu_hours(facts: AnswerFacts) -> float | None:
    """Hours that the processes of a model took; None where it gave no reply."""
    (counted,) = facts.answers
    replied = [each for each in facts.replies if each.models]
    return sum(each.seconds for each in replied) * counted.processes / 3600 if replied else None


def usage_of(replies: Iterable[ReplyFacts]) -> dict[str, Any]:
    """Calls, tokens and US dollars of several stages together."""
    found = list(replies)
    return {
        "calls_made": sum(each.calls_made for each in found),
        "calls_reused": sum(each.calls_reused for each in found),
        "input_tokens": sum(each.input_tokens for each in found),
        "output_tokens": sum(each.output_tokens for each in found),
        "cost_usd": sum(each.cost_usd for each in found),
        "priced": all(each.priced for each in found),
    }
