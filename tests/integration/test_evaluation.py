"""`alpaqual run` with an evaluation: models trained, asked and judged; nothing asked twice; verdicts that follow from the replies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import duckdb
import pytest
from conftest import Project
from loopback import Server
from tiers import NIGHTLY

from alpaqual.api import Run

pytestmark = pytest.mark.slow

GOOD, POOR = "Good: a whole answer.", "Poor."


@pytest.fixture(scope="module")
def judge() -> Iterator[Server]:
    with Server(judge="Good") as server:
        yield server


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch, judge: Server) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    judge.settings(judge="Good", rows={}, seed=0)


def questions(project: Project, count: int = 12) -> None:
    project.jsonl(
        "questions.jsonl",
        [
            {"id": f"q{n}", "instruction": f"Question {n}.", "input": "", "category": ["maths", "writing"][n % 2]}
            for n in range(count)
        ],
    )


def answer_file(project: Project, name: str, texts: list[str]) -> None:
    project.jsonl(f"{name}.jsonl", [{"test_set": "own", "id": f"q{n}", "answer": text} for n, text in enumerate(texts)])


def compare(project: Project, judge: Server, more: str = "", expect: str = "", settings: str = "") -> None:
    """A recipe that judges two files of answers; `b` wins nothing."""
    project.jsonl("data.jsonl", [{"instruction": "a", "output": "b"}])
    project.ask(
        more=(
            f"{expect}\nevaluation:\n"
            "  test_sets: [{name: own, path: questions.jsonl}]\n"
            "  models: {good: {answers: good.jsonl}, poor: {answers: poor.jsonl}}\n"
            f"  judge: {{model: openai/judge, base_url: {judge.openai}, price: {{input: 1, output: 2}}{settings}}}\n"
            f"  pairs: [[good, poor]]\n{more}"
        )
    )


def compared(project: Project, judge: Server, good: list[str], poor: list[str], **words: str) -> Run:
    questions(project, len(good))
    answer_file(project, "good", good)
    answer_file(project, "poor", poor)
    compare(project, judge, **words)
    return project.run()


def ask_provider(project: Project, judge: Server, settings: str = "") -> None:
    """A recipe that compares a provider's answers to twelve questions with a file of poor ones."""
    questions(project)
    answer_file(project, "poor", [POOR] * 12)
    project.jsonl("data.jsonl", [{"instruction": "a", "output": "b"}])
    where = f"base_url: {judge.openai}, price: {{input: 1, output: 2}}{settings}"
    project.ask(
        more=(
            "evaluation:\n"
            "  test_sets: [{name: own, path: questions.jsonl}]\n"
            f"  models: {{gpt: {{model: openai/m, {where}}}, poor: {{answers: poor.jsonl}}}}\n"
            f"  judge: {{model: openai/judge, {where}}}\n"
            "  pairs: [[gpt, poor]]\n"
        )
    )


def test_verdicts_follow_from_both_orders_and_are_paid_for_once(project: Project, judge: Server) -> None:
    run = compared(project, judge, [GOOD] * 10 + [POOR, POOR], [POOR] * 9 + [GOOD, GOOD, POOR])
    found = run.results.evaluation
    assert found is not None
    (pair, *others) = found.pairs
    assert (pair.a, pair.b, pair.test_set, pair.judge, pair.rule) == ("good", "poor", "own", "judge", "paper")
    assert (pair.n, pair.win, pair.tie, pair.lose, pair.unjudged) == (12, 9, 2, 1, 0)
    assert pair.winning_score == pytest.approx(1 + 8 / 12)
    assert [other.rule for other in others] == ["fastchat", "mean_score"]
    assert set(pair.categories) == {"maths", "writing"}
    # Two equal answers are one request in both orders.
    assert found.judges["judge"].calls_made == 22 and found.judges["judge"].cost_usd > 0
    rows = duckdb.sql(f"SELECT * FROM '{run.folder}/evaluation/verdicts.parquet' ORDER BY id").fetchall()
    assert len(rows) == 12

    asked = judge.stats()["requests"]
    again = project.run()
    assert again.results.evaluation is not None
    assert again.results.evaluation.pairs == found.pairs
    assert judge.stats()["requests"] == asked
    assert {each.stage: each.reused for each in again.outcomes}["judging.judge.good-vs-poor.own"]


def test_models_and_test_sets_may_have_other_names_and_the_same_content(project: Project, judge: Server) -> None:
    compared(project, judge, [GOOD] * 12, [POOR] * 12)
    asked = judge.stats()["requests"]
    recipe = (
        (project.folder / "recipe.yaml").read_text().replace("poor:", "worse:").replace("[good, poor]", "[good, worse]")
    )
    recipe = recipe.replace("{good:", "{copy: {answers: good.jsonl}, good:").replace("[[good", "[[good, copy], [good")
    project.write("recipe.yaml", recipe)
    found = project.run().results.evaluation
    assert found is not None
    own = {(pair.a, pair.b): (pair.win, pair.tie, pair.lose) for pair in found.pairs if pair.rule == "paper"}
    assert own == {("good", "copy"): (0, 12, 0), ("good", "worse"): (12, 0, 0)}
    # The answers of the renamed model were judged before; those of the copy were not.
    assert judge.stats()["requests"] == asked + 12


def test_a_judge_that_prefers_the_first_answer_gives_ties_and_is_flagged(project: Project, judge: Server) -> None:
    judge.settings(judge="first")
    run = compared(project, judge, [GOOD] * 12, [POOR] * 12)
    assert run.results.evaluation is not None
    pair, health = run.results.evaluation.pairs[0], run.results.evaluation.judges["judge"]
    assert (pair.win, pair.tie, pair.lose) == (0, 12, 0) and pair.shown == "not shown"
    assert health.first_position_rate == 1.0 and health.flags
    assert any("judge" in reason.text for reason in run.results.reasons)


@pytest.mark.parametrize(
    "kind", ["prose", "invalid", "content_filter", "refusal", "empty", *(["unavailable"] if NIGHTLY else [])]
)
def test_items_without_a_verdict_are_unjudged(project: Project, judge: Server, kind: str) -> None:
    judge.settings(rows={f"Question {n}.": kind for n in range(7)})
    run = compared(project, judge, [GOOD] * 30, [POOR] * 30)
    assert run.results.evaluation is not None
    pair = run.results.evaluation.pairs[0]
    assert (pair.n, pair.win, pair.unjudged) == (23, 23, 7)
    assert sum(pair.unjudged_reasons.values()) == 7


def test_an_expectation_about_verdicts_decides_the_exit_code(project: Project, judge: Server) -> None:
    met = "expect: [{pair: [good, poor], test_set: own, winning_score: {min: 1.5}, interval_above: 1}]"
    run = compared(project, judge, [GOOD] * 12, [POOR] * 12, expect=met)
    assert run.exit_code == 0 and run.results.expectations[0].state == "pass"
    compare(project, judge, expect="expect: [{pair: [poor, good], winning_score: {min: 1.0}}]")
    run = project.run()
    assert run.exit_code == 1 and run.results.expectations[0].state == "fail"


def test_the_plan_counts_calls_tokens_and_dollars(project: Project, judge: Server) -> None:
    questions(project)
    answer_file(project, "good", [GOOD] * 12)
    answer_file(project, "poor", [POOR] * 12)
    compare(project, judge)
    planned = json.loads(project.command("plan", "recipe.yaml", "--json").stdout)
    (estimate,) = [each for each in planned["evaluation"] if each["stage"].startswith("judging")]
    assert estimate["calls"] == 24 and estimate["cost"] > 0
    # The answers of files are known, and are short; the usual number of tokens is for others.
    assert estimate["note"] == "" and estimate["input_tokens"] < 24 * 300
    project.run()
    planned = json.loads(project.command("plan", "recipe.yaml", "--json").stdout)
    assert planned["evaluation"] == []


def test_recorded_replies_are_counted_without_datasets(project: Project) -> None:
    project.jsonl("data.jsonl", [{"instruction": "a", "output": "b"}])
    lines = []
    for n, (first, second) in enumerate([("8 7", "6 9"), ("8 7", "9 6"), ("7 7", "7 7")]):
        lines += [
            {"pair": ["a", "b"], "test_set": "t", "id": n, "first": "a", "second": "b", "reply": first},
            {"pair": ["a", "b"], "test_set": "t", "id": n, "first": "b", "second": "a", "reply": second},
        ]
    project.jsonl("log.jsonl", lines)
    project.write(
        "recipe.yaml",
        "version: 1\nname: log\nsources: [{path: data.jsonl}]\nevaluation: {replies: log.jsonl, rule: paper}\n",
    )
    run = project.run()
    assert run.exit_code == 0 and run.results.evaluation is not None
    pair = run.results.evaluation.pairs[0]
    assert (pair.win, pair.tie, pair.lose) == (1, 2, 0)
    digest = hashlib.sha256((project.folder / "log.jsonl").read_bytes()).hexdigest()
    assert run.results.provenance is not None and run.results.provenance.files == {"log.jsonl": digest}
    assert digest in (run.folder / "report.html").read_text()


def test_names_of_recorded_replies_are_no_workflow_commands(project: Project) -> None:
    project.jsonl("data.jsonl", [{"instruction": "a", "output": "b"}])
    names = ["::error::a", "b\n::error::b"]
    common = {
        "pair": names,
        "test_set": "t\n::error::t",
        "judge": "j\n::error::j",
        "category": "c\n::error::c",
        "id": 1,
    }
    project.jsonl("log.jsonl", [common | {"first": a, "second": b, "reply": "8 7"} for a, b in (names, names[::-1])])
    project.write(
        "recipe.yaml", "version: 1\nname: log\nsources: [{path: data.jsonl}]\nevaluation: {replies: log.jsonl}\n"
    )
    done = project.command("run", "recipe.yaml")
    assert done.returncode == 0 and "1 ties" in done.stdout
    assert not [line for line in (done.stdout + done.stderr).splitlines() if line.strip().startswith("::")]


def test_a_judge_that_prefers_the_longer_answer_is_flagged_and_is_even_at_equal_length(
    project: Project, judge: Server
) -> None:
    judge.settings(judge="longer")
    lengths = [(10 + 7 * n % 60, 10 + 11 * n % 60) for n in range(60)]
    run = compared(project, judge, ["a" * long for long, _ in lengths], ["b" * long for _, long in lengths])
    assert run.results.evaluation is not None
    health = run.results.evaluation.judges["judge"]
    assert health.longer_wins_rate == 1.0
    assert any("longer" in flag for flag in health.flags), health.flags
    assert health.length_controlled_interval is not None and health.length_controlled_rate is not None
    low, high = health.length_controlled_interval
    assert low <= 0.5 <= high and 0.3 <= health.length_controlled_rate <= 0.7


def test_several_judges_compare_pairs_and_rate_answers(project: Project, judge: Server) -> None:
    """A judge of scores, one of letters and one of single answers agree, and the last asks once about each answer."""
    judge.settings(reply="8", rows={})
    questions(project)
    answer_file(project, "good", [GOOD] * 12)
    answer_file(project, "poor", [POOR] * 12)
    project.jsonl("data.jsonl", [{"instruction": "a", "output": "b"}])
    where = f"model: openai/judge, base_url: {judge.openai}, price: {{input: 0, output: 0}}"
    project.ask(
        more=(
            "evaluation:\n"
            "  test_sets: [{name: own, path: questions.jsonl}]\n"
            "  models: {good: {answers: good.jsonl}, poor: {answers: poor.jsonl}}\n"
            "  judges:\n"
            f"    scores: {{{where}}}\n"
            f"    letters: {{{where}, prompt: mt_bench}}\n"
            f"    ratings: {{{where}, prompt: single}}\n"
            "  pairs: [[good, poor]]\n"
        )
    )
    found = project.run().results.evaluation
    assert found is not None
    own = {pair.judge: pair for pair in found.pairs if pair.rule == "paper"}
    assert {name: (pair.win, pair.tie) for name, pair in own.items()} == {
        "scores": (12, 0),
        "letters": (12, 0),
        "ratings": (0, 12),
    }
    assert found.judges["ratings"].order_kappa is None and found.judges["letters"].calls_made == 24
    # Equal answers to a question are one request; the two models differ.
    assert found.judges["ratings"].calls_made == 24
    agreed = {tuple(each.judges): each.agreement for each in found.agreements}
    assert agreed[("scores", "letters")] == 1.0 and agreed[("scores", "ratings")] == 0.0
    assert [pair.rule for pair in found.pairs if pair.judge == "letters"] == ["paper", "fastchat"]


def test_a_model_of_a_provider_answers_and_what_it_refuses_is_unjudged(project: Project, judge: Server) -> None:
    judge.settings(reply=GOOD, rows={"Question 3.": "content_filter"})
    ask_provider(project, judge)
    run = project.run()
    found = run.results.evaluation
    assert found is not None
    answers = next(each for each in found.answers if each.model == "gpt")
    assert (answers.questions, answers.answered, sum(answers.unanswered.values())) == (12, 11, 1)
    assert answers.calls_made == 11 and answers.cost_usd > 0
    pair = found.pairs[0]
    assert (pair.win, pair.unjudged) == (11, 1) and list(pair.unjudged_reasons) == ["no answer of gpt"]
    # The judge was not asked about that question: that is no vote of its that cannot be read.
    assert (found.judges["judge"].votes, found.judges["judge"].unread) == (22, 0)
    lines = [
        json.loads(line) for line in (run.folder / "evaluation" / "answers" / "gpt.own.jsonl").read_text().splitlines()
    ]
    assert [line["answer"] for line in lines].count(GOOD) == 11 and lines[3]["answer"] is None and lines[3]["reason"]


def test_an_answer_that_failed_is_asked_for_and_judged_in_the_next_run(project: Project, judge: Server) -> None:
    judge.settings(reply=GOOD, rows={"Question 3.": "error"})
    ask_provider(project, judge, ", patience_seconds: 5")
    found = project.run().results.evaluation
    assert found is not None and (found.pairs[0].n, found.pairs[0].unjudged) == (11, 1)
    judge.settings(rows={})
    before = judge.stats()["requests"]
    found = project.run().results.evaluation
    assert found is not None and (found.pairs[0].n, found.pairs[0].unjudged) == (12, 0)
    assert judge.stats()["requests"] - before == 3


def test_a_budget_is_one_for_all_pairs_and_test_sets_and_for_earlier_runs(project: Project, judge: Server) -> None:
    """Each of 48 calls costs 1 cent, in two stages of 24: a budget of 30 cents ends in the second one, and so in the next run."""
    judge.settings(input_tokens=1_000, output_tokens=0)
    for name in ("one", "two"):
        project.jsonl(f"{name}.jsonl", [{"id": f"q{n}", "instruction": f"Question {n} of {name}."} for n in range(12)])
        for model, text in (("good", GOOD), ("poor", POOR)):
            lines = [{"test_set": name, "id": f"q{n}", "answer": f"{text} {name}"} for n in range(12)]
            project.jsonl(f"{model}.{name}.jsonl", lines)
    for model in ("good", "poor"):
        parts = [(project.folder / f"{model}.{name}.jsonl").read_text() for name in ("one", "two")]
        project.write(f"{model}.jsonl", "".join(parts))
    project.jsonl("data.jsonl", [{"instruction": "a", "output": "b"}])

    def run(budget: float) -> int:
        """The calls that a run with this budget makes."""
        before = judge.stats()["requests"]
        project.ask(
            more=(
                "evaluation:\n"
                "  test_sets: [{name: one, path: one.jsonl}, {name: two, path: two.jsonl}]\n"
                "  models: {good: {answers: good.jsonl}, poor: {answers: poor.jsonl}}\n"
                f"  judge: {{model: openai/judge, base_url: {judge.openai}, price: {{input: 10, output: 0}}, concurrency: 1, "
                f"budget_usd: {budget}}}\n"
                "  pairs: [[good, poor]]\n"
            )
        )
        done = project.command("run", "recipe.yaml")
        made = int(judge.stats()["requests"]) - before
        assert (done.returncode, "budget_usd" in done.stderr) == ((0, False) if budget > 0.4 else (4, True)), (
            done.stderr
        )
        return made

    made = [run(0.3), run(0.3), run(0.5)]
    assert made[1] == 0, "nothing is left to spend"
    # The last calls of a budget are not made: each might have cost more than is left.
    assert 27 <= made[0] <= 30 and sum(made) == 48, made
    judge.settings(input_tokens=None, output_tokens=None)


def test_bad_data_are_not_evaluated_and_a_failing_judge_keeps_everything_else(project: Project, judge: Server) -> None:
    failing = "rules: [{id: long, column: output, check: {str_length: {min: 9}}}]\n"
    run = compared(project, judge, [GOOD] * 12, [POOR] * 12, expect=failing)
    assert run.exit_code == 1 and run.results.evaluation is not None
    assert set(run.results.evaluation.waiting.values()) == {"the data is not good, so nothing was evaluated"}

    judge.settings(all="unauthorized")
    compare(project, judge)
    done = project.command("run", "recipe.yaml")
    assert done.returncode == 4 and "judge judge" in done.stderr
    assert json.loads((project.folder / "runs" / "trial" / "results.json").read_text())["verdict"] in ("fail", "error")
    judge.settings(all=None)
    assert project.run().exit_code == 0
