"""Estimates the calls, tokens, US dollars and GPU hours of an evaluation; estimating is free."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from alpaqual.amounts import dollars
from alpaqual.contracts import Ledger as Replies
from alpaqual.engines import viewing
from alpaqual.execution.answering import AnswerTask, read_answers, request_id, settings_of
from alpaqual.execution.execution import Execution
from alpaqual.execution.folder import RunFolder
from alpaqual.execution.judging import Comparison, JudgeTask, comparisons, judge_plugin
from alpaqual.execution.models import budget_of, price_of
from alpaqual.execution.stages.answering import Handler as AnswerHandler
from alpaqual.execution.stages.judging import Handler as JudgeHandler
from alpaqual.execution.test_sets import load_test_set
from alpaqual.execution.training_estimate import gpus, weights_of
from alpaqual.inference.loop import Task, requests_about
from alpaqual.inference.price import BATCH_DISCOUNT
from alpaqual.llm.local import count_weights
from alpaqual.plan.answering import AnswerStage, answer_parameters
from alpaqual.plan.judging import JudgeStage
from alpaqual.plan.plan import Plan
from alpaqual.plan.prompts import request_model
from alpaqual.plan.tables import answers
from alpaqual.plan.training import TrainStage
from alpaqual.recipe.evaluation import Evaluation
from alpaqual.recipe.model_settings import ModelSettings
from alpaqual.recipe.recipe import Recipe
from alpaqual.store.ledger import Ledger
from alpaqual.store.store import Store
from alpaqual.trainers._devices import peak_of
from alpaqual.values import Question

Item = TypeVar("Item")
Result = TypeVar("Result")
_BYTES_A_TOKEN = 4.0
_TOKENS_A_MESSAGE = 4
_USUAL_ANSWER = 300
"""Tokens of an answer that is not known yet: what answers to the four test sets have on average, about."""
_USUAL_DEVICE = "H100"
_DECODING = 0.0034
"""Share of a GPU's peak that decoding one sequence reaches, bounded by memory: 3.35 TB/s and two bytes a weight on an H100."""
_MOST = 0.4
_LEAST_HOURS = 0.01
"""Fewer GPU hours than this, 36 seconds, are written as fewer: loading the model takes longer."""


@dataclass(frozen=True)
class EvaluationEstimate:
    """What a stage of an evaluation has left: `calls` requests, `known` of all `requests` are in the ledger.

    `output_tokens` is the most that replies have. US dollars are None where no price is known, GPU hours where no local model runs
    or its size is unknown. `note` says what the numbers assume.
    """

    stage: str
    requests: int
    known: int
    input_tokens: int
    output_tokens: int
    cost: float | None
    gpu_hours: float | None = None
    note: str = ""

    @property
    def calls(self) -> int:
        """Requests to be sent."""
        return self.requests - self.known

    def __str__(self) -> str:
        if not self.calls:
            return f"{self.requests:,} requests, all of them in the ledger or the store: nothing to pay for"
        known = f" ({self.known:,} of {self.requests:,} are in the ledger)" if self.known else ""
        parts = [
            f"{self.calls:,} {'call' if self.calls == 1 else 'calls'}{known}",
            f"about {self.input_tokens:,} tokens in and up to {self.output_tokens:,} out",
        ]
        if self.gpu_hours is not None:
            parts.append(_hours(self.gpu_hours))
        parts += [f"about {dollars(self.cost)}".replace("about <", "below ")] if self.cost else []
        parts += ["no price is listed: write 'price:'"] if self.cost is None else []
        return ", ".join(parts) + (f" ({self.note})" if self.note else "")


def _hours(hours: float) -> str:
    return f"about {hours:.2g} GPU hours" if hours >= _LEAST_HOURS else f"under {_LEAST_HOURS:g} GPU hours"


def estimate_evaluation(plan: Plan, store: Store, folder: Path) -> list[EvaluationEstimate]:
    """What each stage without a stored result still asks. `folder` is the run folder, which may have trained models.

    Raises RecipeError where a limit of money needs a price.
    """
    evaluation = plan.recipe.text.evaluation
    if evaluation is None or evaluation.replies is not None:
        return []
    return list(_Estimator(plan, store, folder, evaluation).estimates())


class _Estimator:
    def __init__(self, plan: Plan, store: Store, folder: Path, evaluation: Evaluation) -> None:
        self.plan = plan
        self.recipe: Recipe = plan.recipe
        self.store = store
        self.evaluation = evaluation
        self.execution = Execution(plan, store, RunFolder(folder, ()))
        self.ledger: Replies = Ledger(store.replies)
        self.known: dict[str, dict[str, str]] = {}
        """Answers of each model to each test set that are known, by the stage's subject."""
        self.usual = min(_USUAL_ANSWER, evaluation.answers.max_new_tokens)
        """Tokens of an answer that is not known yet."""

    def estimates(self) -> Iterator[EvaluationEstimate]:
        for stage in self.plan.of(AnswerStage):
            if (found := self.answering(stage)) is not None:
                yield found
        for judging in self.plan.of(JudgeStage):
            if not JudgeHandler(self.execution, judging).exists():
                yield self.judging(judging)

    def questions(self, test_set: str) -> list[Question]:
        return list(load_test_set(self.recipe, test_set).questions)

    def answering(self, stage: AnswerStage) -> EvaluationEstimate | None:
        handler = AnswerHandler(self.execution, stage)
        questions = self.questions(stage.test_set)
        if handler.exists():
            result = self.store.find(handler.key)
            assert result is not None
            table = answers(stage.subject)
            with viewing({table.name: result.table(table.name)}, self.recipe.text.engine.kind) as engine:
                rows = engine.facts(f"SELECT id, answer FROM {table} WHERE answer IS NOT NULL", stage.name)
            self.known[stage.subject] = {row["id"]: row["answer"] for row in rows}
            return None
        own = self.evaluation.models.get(stage.model)
        if own is not None and own.answers is not None:
            place = self.recipe.problem(("evaluation", "models", stage.model, "answers"), "")
            given = read_answers(self.recipe.folder / own.answers, own.answers, stage.test_set, questions, place)
            self.known[stage.subject] = {each.id: each.text for each in given if each.text is not None}
            return None
        trained = handler.trained if handler.is_trained_here else None
        parameters = answer_parameters(self.evaluation, own)
        model, settings = "local/not trained yet", None
        if own is not None or trained is not None:
            settings, _ = settings_of(self.evaluation, stage, trained)
            model = request_id(settings, trained, self.plan.digests)
        local = settings is None or settings.plugin.LOCAL
        task = AnswerTask(model, stage.prompt, parameters, trained=own is None)
        requests, known, size = self.counted(task, questions)
        most = (requests - known) * int(parameters["max_tokens"])
        hours, note = self.gpu_hours(stage, requests - known) if local else (None, "")
        cost: float | None = 0.0
        price_per_hour = self.evaluation.answers.price_per_gpu_hour
        if local and hours is not None and price_per_hour is not None:
            cost = hours * price_per_hour
        elif not local and settings is not None:
            cost = self.cost(settings, ("evaluation", "models", stage.model), size, (requests - known) * self.usual)
            note = f"with {self.usual} tokens an answer"
        return EvaluationEstimate(stage.name, requests, known, size, most, cost, hours, note)

    def judging(self, stage: JudgeStage) -> EvaluationEstimate:
        judge = self.evaluation.named_judges[stage.judge]
        place = self.evaluation.judge_place(stage.judge)
        plugin = judge_plugin(self.recipe, judge, request_model(str(judge.model), self.plan.digests))
        questions = self.questions(stage.test_set)
        a, b = (self.texts(f"{model}.{stage.test_set}", questions) for model in (stage.a, stage.b))
        items: list[Comparison] = list(comparisons(plugin, questions, a, b))
        task = JudgeTask(plugin)
        requests, known, size = self.counted(task, items)
        assumed = any(f"{model}.{stage.test_set}" not in self.known for model in (stage.a, stage.b))
        note = f"with {self.usual} tokens an answer, where it is not known yet" if assumed else ""
        longest = next((int(task.request(item).parameters["max_tokens"]) for item in items), 0)
        tokens_out = (requests - known) * longest
        cost = self.cost(judge, place, size, tokens_out)
        return EvaluationEstimate(stage.name, requests, known, size, tokens_out, cost, None, note)

    def texts(self, subject: str, questions: Sequence[Question]) -> Mapping[str, str]:
        """Known answers, else texts of the usual length."""
        assumed = "x" * int(self.usual * _BYTES_A_TOKEN)
        return self.known.get(subject) or {question.id: f"{assumed} {subject} {question.id}" for question in questions}

    def counted(self, task: Task[Item, Result], items: Iterable[Item]) -> tuple[int, int, int]:
        """(requests, those in the ledger, input tokens of the others)."""
        seen: set[str] = set()
        requests = known = size = 0
        for item in items:
            *_, (key, request, reply) = requests_about(task, self.ledger, task.request(item))
            if key in seen:
                continue
            seen.add(key)
            requests += 1
            if reply is not None:
                known += 1
                continue
            size += sum(len(text.encode()) + int(_TOKENS_A_MESSAGE * _BYTES_A_TOKEN) for _, text in request.messages)
        return requests, known, round(size / _BYTES_A_TOKEN)

    def cost(
        self, settings: ModelSettings, place: tuple[str | int, ...], tokens_in: int, tokens_out: int
    ) -> float | None:
        budget_of(settings, self.recipe, place, None)
        price = price_of(settings)
        if price is not None and settings.mode == "batch":
            price = price.discounted(BATCH_DISCOUNT)
        return None if price is None else price.of(tokens_in, tokens_out)

    def gpu_hours(self, stage: AnswerStage, answered: int) -> tuple[float | None, str]:
        """GPU hours of a local model's answers of the usual length, and what they assume."""
        own = self.evaluation.models.get(stage.model)
        training = self.plan.find(TrainStage, stage.model)
        if own is not None:
            path = self.recipe.folder / own.model_name
            weights = count_weights(path) if path.exists() else None
        else:
            weights = None if training is None else weights_of(self.plan, training.job)
        device = gpus()[1] or _USUAL_DEVICE
        peak = peak_of(device)
        if weights is None or peak is None:
            return None, "the time depends on the model, which is not on this machine"
        reached = peak * min(_MOST, _DECODING * self.evaluation.answers.batch)
        seconds = 2 * weights * answered * self.usual / reached
        return seconds / 3600, f"{device}, {self.usual} tokens an answer"
