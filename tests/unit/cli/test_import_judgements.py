"""`alpaqual import-judgements`: what it writes, and what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from alpaqual.cli.main import cli


def logs(folder: Path) -> list[str]:
    paths = []
    for first, replies in (("a2", ["8 7", "Both are good.", "9 8"]), ("b2", ["6 9", "8 8", "8 8"])):
        records = [
            {"question_id": n, "text": f"Q{n}", "a2": "of a", "b2": "of b", "review": reply, "score": [8, 7]}
            for n, reply in enumerate(replies)
        ]
        records += [{"question_id": 9, "text": "Q9", "a2": "of a", "b2": None, "review": "8 7"}]
        path = folder / f"vicuna_{first}_first.json"
        path.write_text(json.dumps(records))
        paths.append(str(path))
    return paths


def test_it_says_what_it_found_and_what_it_left_out(tmp_path: Path) -> None:
    paths, out = logs(tmp_path), tmp_path / "replies.jsonl"
    questions = tmp_path / "vicuna.jsonl"
    questions.write_text('{"question_id": 0, "text": "q0", "category": "generic"}\n')
    done = CliRunner().invoke(
        cli, ["import-judgements", *paths, "--models", "a2", "b2", "--out", str(out), "--questions", str(questions)]
    )
    assert (done.exit_code, done.stdout.splitlines()) == (
        0,
        [
            f"{paths[0]}: 4 records; one file an order (AlpaGasus2-QLoRA)",
            f"{paths[1]}: 4 records; one file an order (AlpaGasus2-QLoRA)",
            "a2 against b2, vicuna, judge replies: 3 items, 3 in both orders",
            "replies: 6; read as vicuna",
            "the log's own results: 2 read the same, 3 otherwise, 1 not readable",
            "not readable: 1 (no two scores)",
            "left out: 2 (no answer of one of the models)",
            "questions: 1 items found, 2 not",
            f"{out}: 6 lines, for `evaluation: {{replies: {out}}}`",
        ],
    )
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["reply"] for line in lines] == ["8 7", "Both are good.", "9 8", "6 9", "8 8", "8 8"]


def test_questions_of_the_catalog_go_by_their_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths, out = logs(tmp_path), tmp_path / "replies.jsonl"
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "vicuna.jsonl").write_text('{"question_id": 0, "text": "q0", "category": "generic"}\n')
    monkeypatch.setenv("ALPAQUAL_DATA", str(tmp_path / "data"))
    done = CliRunner().invoke(cli, ["import-judgements", *paths, "--out", str(out), "--questions", "vicuna"])
    assert done.exit_code == 0 and "questions: 1 items found, 2 not" in done.stdout
    assert json.loads(out.read_text().splitlines()[0])["category"] == "generic"


def test_a_test_set_that_is_not_here_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALPAQUAL_DATA", raising=False)
    log = tmp_path / "log.json"
    log.write_text("[]")
    done = CliRunner().invoke(cli, ["import-judgements", str(log), "--questions", "koala"])
    assert "koala: there is no such file, and the test set of this name is not in the folder" in str(done.exception)


def test_the_lines_go_to_standard_output_and_the_report_beside_it(tmp_path: Path) -> None:
    paths = logs(tmp_path)
    done = CliRunner().invoke(cli, ["import-judgements", paths[0], "--test-set", "mine", "--judge", "gpt"])
    assert done.exit_code == 0
    assert [json.loads(line)["judge"] for line in done.stdout.splitlines()] == ["gpt"] * 3
    assert "3 items, 0 in both orders" in done.stderr
    facts = json.loads(CliRunner().invoke(cli, ["import-judgements", paths[0], "--json"]).stdout)
    assert facts["one_order"]
    assert facts["pairs"] == [
        {"a": "a2", "b": "b2", "test_set": "vicuna", "judge": "replies", "items": 3, "both_orders": 0, "single": False}
    ]
    assert facts["left_out"] == {"no answer of one of the models": 1}
