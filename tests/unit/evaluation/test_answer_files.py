"""Files of answers: by id or by question, in any text that JSON allows."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from alpaqual.errors import Problem, RecipeError
from alpaqual.execution.answering import read_answers
from alpaqual.values import Question

QUESTIONS = [
    Question("1", "Answer this.", "One?"),
    Question("2", "Answer this.", "Two?"),
    Question("3", "Name a colour."),
]


def read(path: Path, content: bytes) -> list[str | None]:
    path.write_bytes(content)
    return [answer.text for answer in read_answers(path, path.name, "own", QUESTIONS, Problem("recipe.yaml", 1, 1, ""))]


def lines(*records: dict[str, Any]) -> bytes:
    return "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in records).encode()


def test_a_text_may_have_any_line_separator(tmp_path: Path) -> None:
    text = "a\u2028b\u2029c\u0085d\ne"
    content = lines({"id": 1, "answer": text}, {"id": "3", "answer": "blue"})
    for found in (content, b"\xef\xbb\xbf" + content, content.replace(b"\n", b"\r\n")):
        assert read(tmp_path / "answers.jsonl", found) == [text, None, "blue"]
    assert read(tmp_path / "answers.jsonl.gz", gzip.compress(content)) == [text, None, "blue"]


def test_questions_of_one_text_have_their_own_answers_by_input_or_by_order(tmp_path: Path) -> None:
    one, two = {"instruction": "Answer this.", "output": "1"}, {"instruction": "Answer this.", "output": "2"}
    assert read(tmp_path / "a.jsonl", lines(one, two)) == ["1", "2", None]
    assert read(tmp_path / "a.jsonl", lines(two | {"input": "Two?"}, one | {"input": "One?"})) == ["1", "2", None]


def test_a_file_that_is_no_text_is_a_problem_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"answers\.jsonl:2:1: not UTF-8"):
        read(tmp_path / "answers.jsonl", lines({"id": 1, "answer": "a"}) + b"\xff\n")


def test_an_answer_may_be_null_as_in_the_files_of_a_run(tmp_path: Path) -> None:
    assert read(tmp_path / "a.jsonl", lines({"id": "1", "answer": None}, {"id": "3", "answer": ""})) == [None, None, ""]
    with pytest.raises(RecipeError, match="a text `answer`"):
        read(tmp_path / "a.jsonl", lines({"id": "1", "answer": 7}))
