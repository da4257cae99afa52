"""Four hundred conversations made from real rows: loaded, checked, graded by recorded replies, selected, trained, exported.

`python tests/conversations/end_to_end.py` does the same with 2,000, and trains SmolLM2.
"""

from __future__ import annotations

import copy
import json
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extra 'train'")
from conversations import checking, whole
from conversations.making import Made, Record, Turn, make
from training import TINY, write_tokenizer
from training.forking import run_ranks

from alpaqual.api import Run

pytestmark = [pytest.mark.slow, pytest.mark.paper]

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WITH_TOOLS = (
    "{% if tools %}<|im_start|>tools\n{% for t in tools %}{{ t | tojson }}\n{% endfor %}<|im_end|>\n{% endif %}"
    "{% for m in messages %}{% if m['role'] == 'tool' %}"
    "{% if messages[loop.index0 - 1]['role'] != 'tool' %}<|im_start|>user\n{% endif %}<response>{{ m['content'] }}</response>\n"
    "{% if loop.last or messages[loop.index0 + 1]['role'] != 'tool' %}<|im_end|>\n{% endif %}"
    "{% else %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}{% for c in m['tool_calls'] or [] %}<call>{{ c['function']['name'] }}"
    "{% for k, v in c['function']['arguments'].items() %} {{ k }}={{ v | tojson }}{% endfor %}</call>{% endfor %}<|im_end|>\n"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def made(paper_data: Path) -> list[Made]:
    return make(paper_data, 400)


@pytest.fixture(scope="module")
def tokenizer(model: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with random weights, and a tokenizer of ChatML."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("model")
    tokenizer = AutoTokenizer.from_pretrained(write_tokenizer(folder))
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.eos_token, tokenizer.chat_template = "<|im_end|>", CHATML
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {**TINY, "vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id}
    LlamaForCausalLM(LlamaConfig(**sizes, max_position_embeddings=1024)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def recipe(made: Sequence[Made], model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = whole.Settings(str(model), sample=24, epochs=4, rate=8e-3)
    return whole.prepare(tmp_path_factory.mktemp("conversations"), made, settings)


@pytest.fixture(scope="module")
def run(recipe: Path) -> Run:
    return whole.run(recipe)


def test_each_record_is_a_row_in_its_normal_form_or_in_quarantine(run: Run, made: Sequence[Made]) -> None:
    found = whole.check_selection(run, made)
    assert (found["rows"], found["quarantined"], sum(found["failing"].values())) == (388, 12, 12)
    assert found["rows"] > found["full"] > 2 * found["good"] > 200
    assert found["unscored"].keys() == {"refusal"}


def test_the_loss_of_the_job_is_on_the_turns_that_plain_python_states(run: Run, tokenizer: Any) -> None:
    rows = whole.dataset(run, "full")[::3]
    found = whole.check_loss(rows, tokenizer, lambda row: checking.labels_of(row, tokenizer, ""))
    assert 0.2 < found["with loss"] / found["tokens"] < 0.8
    assert any("tools" in row for row in rows)


def test_the_loss_is_on_the_same_turns_where_the_template_has_tools(run: Run, tokenizer: Any) -> None:
    """The template gets tools and arguments as objects, and puts the results of one turn's calls into one block."""
    rows = [row for row in whole.dataset(run, "full") if "tools" in row]
    knowing = copy.deepcopy(tokenizer)
    knowing.chat_template = WITH_TOOLS
    texts = {row["id"]: knowing.apply_chat_template(objects(row), tools=row["tools"], tokenize=False) for row in rows}
    whole.check_loss(rows, knowing, lambda row: checking.labels_in(texts[row["id"]], row, tokenizer))
    assert any("<response>1" in text and text.count("</response>\n<response>") for text in texts.values())


def objects(row: Record) -> list[Turn]:
    """The turns with the arguments of calls as objects."""
    turns = copy.deepcopy(row["messages"])
    for call in (call for turn in turns for call in turn.get("tool_calls", ())):
        call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return [{**turn, "content": turn["content"] or ""} for turn in turns]


def expected(rows: Sequence[Record], tokenizer: Any) -> list[tuple[list[int], list[int]]]:
    """Tokens and labels of rows, cut at 1,024 tokens; rows that have nothing left to learn are dropped."""
    found = [checking.labels_of(row, tokenizer, "") for row in rows]
    return [(ids[:1024], labels[:1024]) for ids, labels in found if any(label != -100 for label in labels[:1024])]


def test_the_exports_have_the_same_tokens_and_loss(run: Run, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    unseen = {row["id"] for row in whole.dataset(run, "unseen")}
    wanted = expected([row for row in whole.dataset(run, "few") if row["id"] not in unseen], tokenizer)
    for program, main in (("axolotl", "prepare.py"), ("trl", "train.py")):
        folder = run.folder / "exports" / program / "few"
        monkeypatch.chdir(folder)
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.delitem(sys.modules, "chat_tokens", raising=False)
        names = runpy.run_path(str(folder / main))
        if program == "trl":
            rows = names["Rows"]("training_rows.jsonl", prompt="chat", too_long="truncate", loss_on="response")
            found = list(names["read"]("training_rows.jsonl", rows, tokenizer, 1024))
        else:
            found = [json.loads(line) for line in Path("train.jsonl").read_text(encoding="utf-8").splitlines()]
        assert [(row["input_ids"], row["labels"]) for row in found] == wanted


def test_a_job_learns_from_them_and_its_model_answers(run: Run, recipe: Path, tokenizer: Any) -> None:
    from transformers import AutoModelForCausalLM

    assert run.results["training"]["few"]["state"] == "written"
    folder = run.folder / "training" / "few"
    assert run_ranks(folder, 1, 120) == 0, (folder / "log.txt").read_text(encoding="utf-8")
    trained = whole.run(recipe).results["training"]["few"]
    losses = [point["loss"] for point in trained["curve"]]
    assert trained["state"] == "done" and trained["steps"] == len(losses) >= 8
    assert losses[-1] < losses[0] - 0.5 and trained["held_out"]["after"] < trained["held_out"]["before"] - 0.5
    question = whole.dataset(run, "few")[0]["messages"][:1]
    asked = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt")
    model = AutoModelForCausalLM.from_pretrained(folder / "model")
    said = model.generate(**asked, max_new_tokens=8, do_sample=False, pad_token_id=tokenizer.eos_token_id)
    assert said.shape[1] > asked["input_ids"].shape[1]
