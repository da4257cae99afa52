"""Test sets: which file is read, which columns make up a question, and what cannot be asked."""

from __future__ import annotations

import hashlib
import json
import os
import random
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from conftest import Project

from alpaqual.errors import MachineError, RecipeError
from alpaqual.evaluation.test_sets import CATALOG
from alpaqual.execution import test_sets
from alpaqual.execution.test_sets import ReadTestSet, load_test_set, questions_digest, sampled
from alpaqual.recipe.parse import read_recipe
from alpaqual.values import Question


def recipe(project: Project, test_set: str) -> Path:
    return project.ask(more=f"evaluation: {{test_sets: [{test_set}]}}")


def read(project: Project, rows: Any, more: str = "", file: str = "q.jsonl") -> ReadTestSet:
    if isinstance(rows, list):
        project.jsonl(file, rows)
    elif rows is not None:
        project.write(file, rows)
    return load_test_set(read_recipe(recipe(project, f"{{name: own, path: {file}{more}}}")), "own", offline=True)


def problems(project: Project, rows: Any, more: str = "", file: str = "q.jsonl") -> list[str]:
    with pytest.raises(RecipeError) as caught:
        read(project, rows, more, file)
    assert all(problem.line for problem in caught.value.problems)
    return [problem.message for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("row", "instruction", "given"),
    [
        ({"question": "Why?", "answer": "So."}, "Why?", ""),
        ({"text": "Why?"}, "Why?", ""),
        ({"Prompt": "Why?"}, "Why?", ""),
        ({"instruction": "Add.", "input": "1 2", "output": "3"}, "Add.", "1 2"),
        ({"instruction": "Add.", "context": "1 2"}, "Add.", "1 2"),
        ({"turns": ["Why?"]}, "Why?", ""),
        ({"turns": [{"content": "Why?"}]}, "Why?", ""),
        ({"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}]}, "Why?", ""),
        ({"prompt": "Why?", "messages": [{"role": "user", "content": "Why?"}]}, "Why?", ""),
        ({"prompt": [{"role": "user", "content": "Why?"}]}, "Why?", ""),
    ],
)
def test_usual_names_of_columns_are_known(project: Project, row: dict[str, Any], instruction: str, given: str) -> None:
    (question,) = read(project, [row]).questions
    assert (question.id, question.instruction, question.input, question.messages) == ("1", instruction, given, ())


def test_fields_name_columns_and_what_is_inside_them(project: Project) -> None:
    rows = [
        {"a": {"b": [{"q": "Why?"}]}, "a.b": "no", "n": 7.0, "kind": "x", "able": 3, "gold": "So.", "in.put": "in"},
        {"a": {"b": [{"q": "How?"}]}, "n": "8"},
    ]
    fields = ", fields: {instruction: a.b.0.q, id: n, category: kind, skill: able, reference: gold, input: in.put}"
    first, second = read(project, rows, fields).questions
    assert first == Question("7", "Why?", "in", (("category", "x"), ("skill", "3")), "So.")
    assert second == Question("8", "How?")


def test_a_conversation_is_asked_up_to_its_last_answer(project: Project) -> None:
    turns = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Hi."},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Why?"},
    ]
    answered = [*turns, {"role": "assistant", "content": "So."}]
    rows = [{"messages": turns}, {"messages": answered}]
    first, second = read(project, rows).questions
    asked = (("system", "Be brief."), ("user", "Hi."), ("assistant", "Hello."), ("user", "Why?"))
    assert first.messages == second.messages == asked
    assert (
        first.instruction
        == second.instruction
        == "Developer: Be brief.\n\nUser: Hi.\n\nAssistant: Hello.\n\nUser: Why?"
    )
    assert (first.reference, second.reference) == ("", "So.")


def test_only_the_first_of_several_turns_is_asked_and_that_is_said(project: Project) -> None:
    found = read(project, [{"turns": ["Why?", "And now?"], "reference": ["So.", "Now."]}, {"turns": ["How?"]}])
    assert [each.instruction for each in found.questions] == ["Why?", "How?"]
    assert found.questions[0].reference == "So."
    assert found.notes == (
        "1 of 2 questions have further turns, which are not asked: the first one is answered and judged",
    )


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("q.csv", 'id,question,category\n1,"Why, then?",x\n2,How?,\n'),
        ("q.tsv", "id\tquestion\tcategory\n1\tWhy, then?\tx\n2\tHow?\t\n"),
        ("q.json", json.dumps([{"id": 1, "question": "Why, then?", "category": "x"}, {"id": 2, "question": "How?"}])),
        (
            "q.json",
            json.dumps(
                {"data": [{"id": "1", "question": "Why, then?", "category": "x"}, {"id": 2, "question": "How?"}]}
            ),
        ),
    ],
)
def test_every_format_gives_the_same_questions(project: Project, file: str, text: str) -> None:
    rows = [{"id": 2, "question": "How?"}, {"id": 1, "question": "Why, then?", "category": "x"}]
    lines = read(project, rows)
    found = read(project, text, file=file)
    assert [each.id for each in found.questions] == ["1", "2"]
    assert found.digest == lines.digest == questions_digest(lines.questions[::-1])
    assert found.digest != read(project, rows[:1]).digest


def test_parquet_is_read_too(project: Project) -> None:
    duckdb = pytest.importorskip("duckdb")
    path = project.folder / "q.parquet"
    duckdb.sql(
        "SELECT 1 AS question_id, [{'role': 'user', 'content': 'Hi.'}, {'role': 'assistant', 'content': 'Hello.'}, "
        "{'role': 'user', 'content': 'Why?'}] AS messages, 'x' AS category"
    ).write_parquet(str(path))
    (question,) = read(project, None, file="q.parquet").questions
    assert (question.id, question.groups) == ("1", (("category", "x"),))
    assert question.messages == (("user", "Hi."), ("assistant", "Hello."), ("user", "Why?"))


@pytest.mark.parametrize(
    ("rows", "more", "message"),
    [
        ([{"question": "Why?"}, {"question": " "}], "", "q.jsonl, line 2: the question is empty"),
        ([{"question": ""}], "", "q.jsonl, line 1: the question is empty"),
        ([{"question": 3}], "", "q.jsonl, line 1: the question is a number where a text should be"),
        ([{"turns": []}], "", "q.jsonl, line 1: the question is null where a text should be"),
        ([{"question": "a", "input": [1]}], "", "q.jsonl, line 1: the input is a list where a text should be"),
        (
            [{"id": 1, "question": "a"}, {"id": "1", "question": "b"}],
            "",
            "q.jsonl, line 2: the id '1' is also that of line 1",
        ),
        ([{"id": [1], "question": "a"}], "", "q.jsonl, line 1: the id is a list where a text or a number should be"),
        ([{"messages": "Hi."}], "", "q.jsonl, line 1: the messages: a text that is no JSON"),
        ([{"messages": [{"role": "bot", "content": "a"}]}], "", "q.jsonl, line 1: turn 1: unknown role 'bot'"),
        (
            [{"messages": [{"role": "system", "content": "a"}]}],
            "",
            "q.jsonl, line 1: the messages have no user turn to answer",
        ),
        (
            [{"a": "b"}],
            "",
            "q.jsonl: no column is known to be a question: name it, such as 'fields: {instruction: …}'; there are: a",
        ),
        (
            [{"ask": "b"}],
            ", fields: {instruction: aks}",
            "q.jsonl: it has no column 'aks', which 'fields' names as instruction, did you mean 'ask'?",
        ),
        ("", "", "q.jsonl: it has no questions"),
        ('{"question": "a"}\n{"question"', "", "q.jsonl: line 2: broken JSON (Expecting ':' delimiter, column 12)"),
    ],
)
def test_what_cannot_be_asked_is_an_error_with_its_place(project: Project, rows: Any, more: str, message: str) -> None:
    assert problems(project, rows, more) == [message]


def test_a_file_with_many_wrong_rows_shows_the_first_ones(project: Project) -> None:
    found = problems(project, [{"question": ""}] * 9)
    assert len(found) == 6
    assert "q.jsonl: and 4 more" in found


def test_a_file_that_is_not_there_or_of_no_known_format_is_an_error(project: Project) -> None:
    assert "there is no file q.jsonl (looked in" in problems(project, None)[0]
    assert "q.txt: cannot tell the format" in problems(project, "a", file="q.txt")[0]


def test_a_sample_is_the_same_in_every_run_and_spread_over_the_categories() -> None:
    draw = random.Random(3)
    kinds = ["a"] * 60 + ["b"] * 30 + ["c"] * 10
    questions = [Question(f"q{at}", "Why?", groups=(("category", kind),)) for at, kind in enumerate(kinds)]
    shuffled = draw.sample(questions, len(questions))
    for count in range(1, 101):
        found = sampled(questions, count)
        assert len(found) == count
        assert {each.id for each in found} == {each.id for each in sampled(shuffled, count)}
        assert list(found) == [each for each in questions if each in found], "in the order of the file"
        assert {each.id for each in sampled(questions, count - 1)} < {each.id for each in found} or count == 1
        sizes = Counter(each.groups[0][1] for each in found)
        for kind, share in (("a", 0.6), ("b", 0.3), ("c", 0.1)):
            assert abs(sizes[kind] - share * count) <= 1.5
    assert sampled(questions, None) == sampled(questions, 500) == tuple(questions)
    assert [each.id for each in sampled(questions, 10)] != [f"q{at}" for at in range(10)]


def known_lines(name: str) -> str:
    return "".join(json.dumps({"id": at, "instruction": f"Why {at}?"}) + "\n" for at in range(CATALOG[name].items))


def load(project: Project, name: str = "vicuna", *, offline: bool = True) -> ReadTestSet:
    return load_test_set(read_recipe(recipe(project, name)), name, offline=offline)


def test_a_known_test_set_is_found_in_the_data_or_the_projects_cache(project: Project, monkeypatch: Any) -> None:
    monkeypatch.delenv("ALPAQUAL_DATA", raising=False)
    cached = project.write(".alpaqual/test_sets/vicuna.jsonl", known_lines("vicuna"))
    assert load(project).path == cached
    for place in ("data/test_sets/vicuna.jsonl", "data/vicuna.jsonl"):
        path = project.write(place, known_lines("vicuna"))
        monkeypatch.setenv("ALPAQUAL_DATA", str(project.folder / "data"))
        assert load(project).path == path


class Origin(BaseHTTPRequestHandler):
    """An origin of test sets on this machine: sends `text`, or 404 where there is none, and notes what is asked for."""

    text = ""
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200 if self.text else 404)
        self.end_headers()
        self.wfile.write(self.text.encode())

    def log_message(self, *_: Any) -> None:
        """Pass."""


@pytest.fixture
def origin(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Origin]]:
    """The origin of Vicuna's questions, as the catalog names it."""
    monkeypatch.delenv("ALPAQUAL_DATA", raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Origin) as server:
        url = f"http://127.0.0.1:{server.server_port}/question.jsonl"
        monkeypatch.setattr(test_sets, "CATALOG", {**CATALOG, "vicuna": replace(CATALOG["vicuna"], url=url)})
        Origin.text, Origin.asked[:] = "", []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Origin
        server.shutdown()


def test_a_known_test_set_that_is_not_here_names_the_command(project: Project, origin: type[Origin]) -> None:
    url = test_sets.CATALOG["vicuna"].url
    for offline, reason in ((True, "the run is offline"), (False, "it could not be fetched: HTTP Error 404")):
        with pytest.raises(MachineError, match=reason) as caught:
            load(project, offline=offline)
        target = project.folder / ".alpaqual" / "test_sets" / "vicuna.jsonl"
        assert f"curl -fL --create-dirs -o {target} {url}" in str(caught.value)
        assert "80 questions, licence: Apache-2.0" in str(caught.value)
    assert origin.asked == ["/question.jsonl"]


def test_a_known_test_set_is_fetched_once_and_counted(project: Project, origin: type[Origin]) -> None:
    origin.text = known_lines("koala")
    with pytest.raises(MachineError, match="has 180 lines where 80 questions should be"):
        load(project, offline=False)
    # FastChat's file has a list of turns where the first release has a text; one has a line separator of Unicode.
    lines = [{"question_id": at, "turns": [f"Why {at}?\u2028So?"]} for at in range(80)]
    origin.text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    found = load(project, offline=False)
    assert (len(found.questions), found.questions[3]) == (80, Question("3", "Why 3?\u2028So?"))
    assert load(project).questions == found.questions
    assert origin.asked == ["/question.jsonl"] * 2


def test_a_known_test_set_of_another_size_is_refused(project: Project, monkeypatch: Any) -> None:
    monkeypatch.delenv("ALPAQUAL_DATA", raising=False)
    project.write(".alpaqual/test_sets/vicuna.jsonl", known_lines("koala"))
    with pytest.raises(RecipeError, match="has 180 questions where the test set 'vicuna' has 80"):
        load(project)


@pytest.mark.skipif(not os.environ.get("ALPAQUAL_DATA"), reason="needs ALPAQUAL_DATA, the folder of the real data")
def test_the_published_test_sets(project: Project) -> None:
    found = {name: load(project, name) for name in CATALOG}
    for name, read_set in found.items():
        assert hashlib.sha256(read_set.path.read_bytes()).hexdigest() == CATALOG[name].sha256
        assert len(read_set.questions) == CATALOG[name].items
    groups = {name: Counter(group for each in found[name].questions for group in each.groups) for name in found}
    assert [len(groups[name]) for name in found] == [9, 0, 29, 71]
    assert groups["vicuna"][("category", "coding")] == 7
    assert groups["wizardlm"][("skill", "Math")] == 19
    tasks = found["self_instruct"].questions
    assert sum(bool(each.input) for each in tasks) == 208
    assert all(each.reference for each in tasks)
