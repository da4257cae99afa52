"""A judge of no judgement: the interval of its winning score holds 1 about as often as it says."""

from __future__ import annotations

from loopback.judging import verdict as said

from alpaqual.evaluation.figures import evaluation_result
from alpaqual.evaluation.values import Judgement
from alpaqual.judges._spec import JudgeSpec
from alpaqual.judges.vicuna import Plugin
from alpaqual.values import Question, Reply, Vote

SEEDS, QUESTIONS = 100, 60


def test_the_interval_of_a_random_judge_holds_1_in_about_95_of_100_seeds() -> None:
    plugin = Plugin(JudgeSpec(), "openai/judge")

    def vote(question: Question, first: str, second: str, seed: int) -> Vote:
        request = plugin.request(question, first, second)
        reply = said("\n".join(text for _, text in request.messages), "random", seed)
        assert reply is not None
        return plugin.read(Reply(reply, "openai/judge"))

    held = 0
    for seed in range(SEEDS):
        judgements = []
        for n in range(QUESTIONS):
            question = Question(f"q{n}", f"Question {n}.")
            a, b = f"One answer to {n}.", f"Another answer to {n}."
            judgements.append(
                Judgement("a", "b", "t", question.id, "j", vote(question, a, b, seed), vote(question, b, a, seed))
            )
        pair = evaluation_result(judgements, rule="paper").pairs[0]
        assert pair.n == QUESTIONS and pair.interval is not None
        held += pair.interval[0] <= 1 <= pair.interval[1]
    # Fewer than 88 of 100 have a chance of 0.0015 where each holds it with 95%.
    assert held >= 88
