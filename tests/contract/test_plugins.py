"""What every plug-in of a kind must do, found as the package finds them: a new one without a case here fails."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from alpaqual import registry
from alpaqual.errors import Fault, MachineError
from alpaqual.job import Job, Launch, Lora, Machine, Model, Steps, Text
from alpaqual.store.ledger import Recording, entry, request_key
from alpaqual.values import Endpoint, Question, Reply, Request, Row

ROWS: list[dict[str, Any]] = [
    {"q": "plain", "a": "text", "s": 1.5, "more": "x"},
    {"q": 'quotes " and, commas', "a": "line one\nline two\r\nthree", "s": 2.0, "more": None},
    {"q": " Übersetze 🎉 \\ | ' ", "a": "null", "s": None, "more": "NULL"},
    {"q": "\t", "a": "\u2028 \x00 end", "s": -3.0, "more": "#"},
] + [{"q": f"q{i}", "a": f"a{i}", "s": float(i), "more": "m"} for i in range(4, 50)]


def _csv(rows: list[dict[str, Any]], delimiter: str = ",") -> bytes:
    def cell(value: Any) -> str:
        return "" if value is None else '"' + str(value).replace('"', '""') + '"'

    lines = [delimiter.join(rows[0]), *(delimiter.join(map(cell, row.values())) for row in rows), ""]
    return "\n".join(lines).encode()


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame(rows).write_parquet(buffer)
    return buffer.getvalue()


def _arrow(rows: list[dict[str, Any]]) -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame(rows).write_ipc_stream(buffer)
    return buffer.getvalue()


GOOD: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {
    "arrow": _arrow,
    "csv": _csv,
    "json": lambda rows: json.dumps(rows).encode(),
    "jsonl": lambda rows: "".join(json.dumps(row) + "\n" for row in rows).encode(),
    "parquet": _parquet,
    "tsv": lambda rows: _csv(rows, "\t"),
}
BROKEN: dict[str, bytes] = {
    "arrow": b"ARROW1 junk ARROW1",
    "csv": b'q,a,s,more\n"open',
    "json": b'[{"q": 1',
    "jsonl": b'{"q": "x", "a": "b"}\n{oops\n',
    "parquet": b"PAR1 junk PAR1",
    "tsv": b'q\ta\ts\tmore\n"open',
}


def test_every_source_is_tried() -> None:
    assert set(GOOD) == set(BROKEN) == set(registry.own_names("sources"))


def write(folder: Path, kind: str, content: bytes, name: str = "d") -> str:
    path = folder / f"{name}.{kind}"
    path.write_bytes(content)
    return str(path)


def cell(value: Any, cells: str) -> Any:
    """A cell of a scan, or a value that a source yields, as the value in the file."""
    if cells == "json" and isinstance(value, str):
        return json.loads(value)
    if cells == "text" and isinstance(value, str) and re.fullmatch(r"-?\d+\.\d+", value):
        return float(value)
    return value


@pytest.mark.parametrize("kind", registry.names("sources"))
def test_a_source_says_what_it_is(kind: str) -> None:
    plugin = registry.find("sources", kind)
    assert isinstance(plugin.VERSION, int)
    assert plugin.VERSION >= 1
    assert plugin.SUFFIXES
    assert all(re.fullmatch(r"\.[a-z]+", suffix) for suffix in plugin.SUFFIXES)
    assert plugin.CELLS in ("json", "text", "typed")
    assert registry.find("sources", kind) is plugin


def test_no_two_sources_share_an_ending() -> None:
    endings = [suffix for kind in registry.names("sources") for suffix in registry.find("sources", kind).SUFFIXES]
    assert len(endings) == len(set(endings))


@pytest.mark.parametrize("kind", registry.own_names("sources"))
def test_a_source_yields_the_rows_of_its_file(tmp_path: Path, kind: str) -> None:
    plugin = registry.find("sources", kind)()
    file = write(tmp_path, kind, GOOD[kind](ROWS))
    if plugin.CELLS == "typed":
        # Only engines read typed files.
        with pytest.raises(ValueError, match="Parquet"):
            list(plugin.rows(file))
        return
    found = list(plugin.rows(file))
    assert [reason for _, reason in found] == [""] * len(ROWS)
    assert [{key: cell(value, "text") for key, value in row.items()} for row, _ in found] == ROWS


@pytest.mark.parametrize("kind", registry.own_names("sources"))
def test_a_broken_file_is_refused_as_a_whole_or_by_its_lines(tmp_path: Path, kind: str) -> None:
    plugin = registry.find("sources", kind)()
    file = write(tmp_path, kind, BROKEN[kind])
    try:
        rows = list(plugin.rows(file))
    except ValueError as error:
        assert str(error)
    else:
        assert any(row is None and reason.startswith("line ") for row, reason in rows)
        assert all((row is None) == bool(reason) for row, reason in rows)


def test_a_plug_in_that_is_not_there_says_which_are() -> None:
    with pytest.raises(
        MachineError,
        match=r"no plug-in 'xlsx' of the kind 'sources' is installed; there are: arrow, csv, json, jsonl, parquet, tsv",
    ):
        registry.find("sources", "xlsx")


# Models


def test_every_model_is_tried() -> None:
    assert registry.names("llm") == ("anthropic", "local", "openai", "recorded", "vllm")


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[Recording, Request]:
    request = Request("openai/one", (("system", "s"), ("user", "u")), {"temperature": 0.0})
    path = tmp_path / "replies.jsonl"
    path.write_text(entry(request_key(request), Reply("4", "openai/one", 3, 1)) + "\n", encoding="utf-8")
    return Recording(path), request


@pytest.mark.parametrize("model", ["openai/one", "recorded/anything"])
def test_a_recording_answers_what_was_asked_and_nothing_else(recorded: tuple[Recording, Request], model: str) -> None:
    recording, request = recorded
    asked = Request(model, request.messages, request.parameters)
    assert recording.get(recording.key(asked)) == Reply("4", "openai/one", 3, 1)
    for other in (
        Request(model, (("system", "s"), ("user", "u ")), request.parameters),
        Request(model, request.messages[::-1], request.parameters),
        Request(model, request.messages, {"temperature": 1.0}),
        Request(model, request.messages, {"temperature": 0.0, "max_tokens": 5}),
    ):
        assert recording.get(recording.key(other)) is None


def test_unrecorded_requests_are_not_sent() -> None:
    model = registry.find("llm", "recorded")(Endpoint("recorded", "replies.jsonl"))
    with pytest.raises(Fault, match="no recorded reply"):
        asyncio.run(model.complete(Request("m", (("user", "u"),))))


def test_a_key_is_that_of_the_content() -> None:
    """Recordings are kept and committed: the same request has the same key in every version."""
    request = Request("m", (("user", "é"),), {"temperature": 0.0, "a": 1})
    assert request_key(request) == hashlib.sha256('["m",[["user","é"]],{"a":1,"temperature":0.0}]'.encode()).hexdigest()
    assert request_key(request) == "856aba114e4782b2f3472a5a0c86ab55e49d6df3f4d1636276b52af14db6f051"
    assert request_key(request) == request_key(Request("m", (("user", "é"),), {"a": 1, "temperature": 0.0}))


# Graders


def test_every_grader_is_tried() -> None:
    assert registry.names("graders") == ("ifd", "length", "model")


def test_a_grader_asks_about_a_row_and_a_slot_inside_a_row_stays_text() -> None:
    from alpaqual.graders._prompt_spec import PromptSpec

    plugin = registry.find("graders", "model")
    assert isinstance(plugin.VERSION, int)
    asked = plugin(PromptSpec("accuracy", 0, 5, {"temperature": 0.0}), "openai/one").request(
        Row("id", "[response] and [max]", "", "[instruction]")
    )
    (system, system_text), (user, user_text) = asked.messages
    assert (system, user, asked.model) == ("system", "user", "openai/one")
    assert system_text.endswith("Instruction: [response] and [max]\n\nInput: None\n\nResponse: [instruction]")
    assert "on a scale of 0 to 5" in user_text


JUDGES = registry.names("judges")


def test_every_judge_is_tried() -> None:
    assert JUDGES == ("mt_bench", "single", "template", "vicuna")


@pytest.mark.parametrize("kind", JUDGES)
def test_a_judge_asks_reads_and_asks_again(kind: str) -> None:
    from alpaqual.judges._spec import JudgeSpec

    template = "[Question] [Answer 1] [Answer 2]" if kind == "template" else None
    plugin = registry.find("judges", kind)(JudgeSpec({"temperature": 0.0}, template), "openai/m")
    question = Question("1", "Say [Answer 1] twice.", "It is [Question].")
    request = plugin.request(question, "one", "two")
    text = "\n".join(text for _, text in request.messages)
    assert "Say [Answer 1] twice.\n\nIt is [Question]." in text
    assert request.parameters["max_tokens"] > 0
    assert isinstance(plugin.VERSION, int)
    read = {True: ("8 7", (8, 7)), False: ("[[7]]", (7,))}[plugin.PAIRWISE]
    vote = plugin.read(Reply(read[0] if plugin.SCORES else "[[A]]", "m"))
    assert vote.scores == (read[1] if plugin.SCORES else ())
    assert vote.winner == ("first" if plugin.PAIRWISE else None)
    unclear = plugin.read(Reply("Both are good.", "m"))
    assert (unclear.winner, unclear.scores, bool(unclear.reason)) == (None, (), True)
    assert plugin.follow_up(request, unclear, 1) != request
    assert plugin.follow_up(request, unclear, 9) is None


def _job(**more: Any) -> Job:
    job = Job(
        recipe="trial",
        dataset="quality",
        data="../../datasets/quality.jsonl",
        model=Model(path="../../../models/base", digest="d"),
        method="full",
        lora=Lora(8, 16, 0.0, None, "merged"),
        text=Text("alpaca", "response", 512, "truncate"),
        steps=Steps(3, 128, 2e-5, "cosine", 0.03, 0.0, 1.0, 42),
        precision="bf16",
        machine=Machine(4096, None, None, "auto", "auto", 1, None, 10, 2, False, None),
        launch=Launch("here", 1, 4, None, {"A": 'it\'s "quoted" $HOME'}, None, None),
        key="k" * 64,
    )
    return replace(job, **more)


TRAINERS = ("axolotl", "fsdp_job", "llama_factory", "trl")


def test_every_trainer_is_found() -> None:
    assert registry.names("trainers") == TRAINERS


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
@pytest.mark.parametrize("name", TRAINERS)
def test_a_trainer_writes_what_its_command_starts(name: str, method: str) -> None:
    plugin = registry.find("trainers", name)()
    assert plugin.VERSION >= 1 and (name == "fsdp_job") == plugin.TRAINS
    files = plugin.files(_job(method=method))
    assert files == plugin.files(_job(method=method)), "the same job gives the same files"
    for path, text in files.items():
        assert text.endswith("\n") and not Path(path).is_absolute() and ".." not in Path(path).parts
    program, script = plugin.command(_job(method=method))
    assert program == "bash" and script in files
    assert any("quality.jsonl" in text for text in files.values()), "it names the data"


@pytest.mark.parametrize("name", TRAINERS)
def test_a_trainer_that_cannot_names_the_setting(name: str) -> None:
    plugin = registry.find("trainers", name)()
    # Three processes that are to hold two replicas; a batch that three devices cannot share.
    impossible = _job(launch=replace(_job().launch, processes=3), machine=replace(_job().machine, replicas=2))
    with pytest.raises(ValueError, match=r"replicas|batch_size"):
        plugin.files(impossible)
