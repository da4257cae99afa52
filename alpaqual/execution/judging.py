"""Asks a judge about pairs of answers in both orders: the inference loop with comparisons as items, and votes as results."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from alpaqual.contracts import BatchModel
from alpaqual.contracts import Judge as JudgePlugin
from alpaqual.errors import StageError
from alpaqual.evaluation.questions import question_text
from alpaqual.evaluation.values import Judgement
from alpaqual.evaluation.verdicts import votes_of_ratings
from alpaqual.execution.accounts import account_of
from alpaqual.execution.answering import watching
from alpaqual.execution.batches import fetch_batches
from alpaqual.execution.model_grading import rare_garbage_collection, run_async
from alpaqual.execution.models import open_client
from alpaqual.execution.outcomes import OutcomeSink
from alpaqual.execution.reply_facts import reply_facts
from alpaqual.inference.loop import InferenceLoop, Outcome
from alpaqual.judges._spec import JudgeSpec
from alpaqual.plan.judging import JudgeStage, judge_parameters
from alpaqual.plan.prompts import request_model
from alpaqual.recipe.evaluation import Judge, prompt_key
from alpaqual.recipe.recipe import Recipe
from alpaqual.values import Question, Reply, Request, Vote

if TYPE_CHECKING:
    from alpaqual.execution.execution import Execution

AnswersByQuestion = Mapping[str, str | None]
"""The text of a model's answer by the question's id; None where it gave none."""


@dataclass(frozen=True)
class Comparison:
    """One request to a judge: two answers to a question in an order; of a judge of single answers, `first` alone."""

    question: Question
    first: str
    second: str
    order: str

    @property
    def id(self) -> str:
        """The question and the order."""
        return f"{self.question.id} {self.order}"


class JudgeTask:
    """A judge's plug-in as the task of an inference loop."""

    def __init__(self, plugin: JudgePlugin) -> None:
        self.plugin = plugin

    def id(self, item: Comparison) -> str:
        """The id of the question and the order."""
        return item.id

    def request(self, item: Comparison) -> Request:
        """The request that compares the answers."""
        return self.plugin.request(item.question, item.first, item.second)

    def read(self, reply: Reply) -> Vote:
        """The vote that a reply gives."""
        return self.plugin.read(reply)

    def follow_up(self, request: Request, result: Vote, attempt: int) -> Request | None:
        """Another request where the reply held no vote."""
        return None if _is_read(result) else self.plugin.follow_up(request, result, attempt)


def vote_of(outcome: Outcome[Vote]) -> Vote:
    """The vote of an outcome; without a reply, the fault's reason."""
    if outcome.result is None:
        return Vote(None, reason=outcome.fault.reason if outcome.fault else "no reply", retry=outcome.retry)
    return replace(outcome.result, retry=outcome.retry)


def _votes(sink: OutcomeSink[Comparison, Vote]) -> dict[str, Vote]:
    """The votes so far, by the id of their comparison."""
    return {name: vote_of(outcome) for name, outcome in sink.found.items()}


def _is_read(vote: Vote) -> bool:
    """Whether a vote says something: a winner, or the one score of a judge of single answers."""
    return vote.winner is not None or bool(vote.scores)


def judge_plugin(recipe: Recipe, judge: Judge, model: str) -> JudgePlugin:
    """The plug-in of a judge; `model` is the model id of its requests."""
    template = recipe.prompts.get(prompt_key(judge.prompt))
    spec = JudgeSpec(judge_parameters(judge), template, judge.reply, rationale=judge.keep_rationale)
    plugin: JudgePlugin = judge.kind_plugin(spec, model)
    return plugin


def comparisons(
    plugin: JudgePlugin, questions: Sequence[Question], a: AnswersByQuestion, b: AnswersByQuestion
) -> Iterator[Comparison]:
    """The requests about each question that both models answered."""
    for question in questions:
        first, second = a.get(question.id), b.get(question.id)
        if first is None or second is None:
            continue
        if plugin.PAIRWISE:
            yield Comparison(question, first, second, "a first")
            yield Comparison(question, second, first, "b first")
        else:
            yield Comparison(question, first, "", "a")
            yield Comparison(question, second, "", "b")


def judge_pair(
    execution: Execution,
    stage: JudgeStage,
    questions: Sequence[Question],
    a: AnswersByQuestion,
    b: AnswersByQuestion,
) -> tuple[list[Judgement], dict[str, Any]]:
    """The judgements of a stage, one for each question in their order, with calls, tokens and cost.

    Raises StageError where asking had to stop, MachineError, RecipeError, StoreError.
    """
    plan, options, ledger = execution.plan, execution.options, execution.ledger
    evaluation = plan.recipe.text.evaluation
    assert evaluation is not None
    judge = evaluation.named_judges[stage.judge]
    place = evaluation.judge_place(stage.judge)
    plugin = judge_plugin(plan.recipe, judge, request_model(str(judge.model), plan.digests))
    # In no order of theirs: the first questions may be of one category, and those that a provider refuses be neighbours.
    shuffled = sorted(questions, key=lambda question: chance_of(question.id))
    items = list(comparisons(plugin, shuffled, a, b))
    first = {question.id for question in shuffled[: judge.pilot]}
    pilot = _shuffled(item for item in items if item.question.id in first)
    others = _shuffled(item for item in items if item.question.id not in first)

    task = JudgeTask(plugin)
    identity = [judge.kind, stage.all_settings["prompt"], stage.all_settings["model"], stage.all_settings["parameters"]]
    account = account_of(execution, judge, stage.judge, identity)

    async def work() -> tuple[dict[str, Vote], dict[str, Any]]:
        spending = account.spending if account is not None else None
        client = open_client(judge, plan.recipe, place, options, ledger, spending)
        loop = InferenceLoop(f"judge {stage.judge}", task, client, len(items), items="comparisons")
        sink, watch = OutcomeSink(task), watching(loop, stage, options.watch)
        try:
            if account is not None:
                same = [each for each in plan.of(JudgeStage) if each.judge == stage.judge]
                account.count_known(execution, same, stage, loop, map(task.request, items))
            await loop.process(pilot, sink, watch, last=not others)
            _check_pilot(stage, _votes(sink))
            if judge.mode == "batch" and client.model.BATCH_REQUESTS and others:
                model = cast(BatchModel, client.model)
                await fetch_batches(loop, lambda: iter(others), model, judge, ledger.path / "batches")
            if others:
                await loop.process(others, sink, watch)
            return _votes(sink), reply_facts(loop)
        finally:
            await client.model.close()

    with rare_garbage_collection():
        votes, facts = run_async(work())
    return [_judgement(stage, plugin, question, a, b, votes) for question in questions], facts


def chance_of(text: str) -> str:
    """A pseudo-random number of a text, the same in each run."""
    return hashlib.md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def _shuffled(items: Iterable[Comparison]) -> list[Comparison]:
    return sorted(items, key=lambda item: chance_of(item.id))


def _check_pilot(stage: JudgeStage, votes: Mapping[str, Vote]) -> None:
    """Raises StageError where no reply of the first comparisons has a vote that can be read."""
    if not votes or any(_is_read(vote) for vote in votes.values()):
        return
    if any(vote.retry for vote in votes.values()):
        return
    shown = next(iter(votes.values()))
    raise StageError(
        f"judge '{stage.judge}': none of the first {len(votes):,} replies has a verdict that can be read ({shown.reason}; the first: "
        f"{shown.reply[:200]!r}); change the judge's 'prompt', 'reply' or 'max_tokens' and run again: nothing else was asked"
    )


def _judgement(
    stage: JudgeStage,
    plugin: JudgePlugin,
    question: Question,
    a: AnswersByQuestion,
    b: AnswersByQuestion,
    votes: Mapping[str, Vote],
) -> Judgement:
    first, second = a.get(question.id), b.get(question.id)
    if first is None or second is None:
        lacking = " and ".join(name for name, text in ((stage.a, first), (stage.b, second)) if text is None)
        a_first = b_first = Vote(None, reason=f"no answer of {lacking}")
    elif plugin.PAIRWISE:
        a_first, b_first = votes[f"{question.id} a first"], votes[f"{question.id} b first"]
    else:
        a_first, b_first = votes_of_ratings(votes[f"{question.id} a"], votes[f"{question.id} b"])
    return Judgement(
        stage.a,
        stage.b,
        stage.test_set,
        question.id,
        stage.judge,
        a_first,
        b_first,
        question.groups,
        question_text(question),
        first or "",
        second or "",
        single=not plugin.PAIRWISE,
        asked=first is not None and second is not None,
    )
