"""Answers of local models: training's tokens before them, batches that change nothing, and where they end."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="the extra 'train' is not installed")
pytest.importorskip("transformers", reason="the extra 'train' is not installed")

import tiny_models as t
import torch

from alpaqual.errors import Fault, MachineError
from alpaqual.job import Text
from alpaqual.llm._local_decoding import Decoder
from alpaqual.llm._local_forward import Forward
from alpaqual.llm._local_generating import Generation
from alpaqual.llm._local_jobs import Job
from alpaqual.llm._local_prompts import Prompts
from alpaqual.llm.local import Plugin, model_digest
from alpaqual.plan.answer_requests import answer_request
from alpaqual.trainers.fsdp_job.tokenization import tokenize
from alpaqual.values import Endpoint, Question, Reply, Request

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")]

KINDS = ["llama", "gpt2", "gemma2", "mamba"]
NO_THOUGHT = t.CHATML.replace(
    "assistant\n{% endif %}",
    "assistant\n{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>{% endif %}{% endif %}",
)
TEXTS = [
    "Give three tips for staying healthy.",
    "Hi",
    "Naïve café 🎉 <|im_end|> </s> {input}",
    "def add(a, b):\n    return a + b\n",
    "What is the capital of France? " * 4,
    "Rate this.",
]
ROWS = [
    {"id": str(at), "instruction": text, "input": given, "output": "It is."}
    for at, text in enumerate(TEXTS)
    for given in ("", "4.5\nand more")
]


def question(row: dict[str, Any]) -> Question:
    return Question(str(row["id"]), row["instruction"], row["input"])


def asked(text: str, most: int = 100, temperature: float = 0, how: str = "plain") -> Request:
    return Request("local/m", (("user", text),), {"temperature": temperature, "max_tokens": most, "prompt": how})


def opened(path: Path, batch: int = 4) -> Plugin:
    return Plugin(Endpoint("local", path.name, folder=str(path.parent), batch=batch))


def ask(plugin: Plugin, *requests: Request) -> list[Any]:
    async def work() -> list[Any]:
        return await asyncio.gather(*map(plugin.complete, requests), return_exceptions=True)

    return asyncio.run(work())


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder a kind of model."""
    root = tmp_path_factory.mktemp("models")
    tokenizer = t.byte_tokenizer()
    for kind in KINDS:
        t.saved(root / kind, t.tiny(kind, len(tokenizer)), tokenizer)
    return root


@pytest.mark.parametrize("pieces", [False, True])
def test_the_prompt_has_the_tokens_that_training_gave_it(pieces: bool) -> None:
    tokenizer = t.piece_tokenizer() if pieces else t.byte_tokenizer(NO_THOUGHT)
    prompts = Prompts(tokenizer)
    for prompt in ("alpaca",) if pieces else ("alpaca", "chat"):
        examples = tokenize(ROWS, tokenizer, Text(prompt, "response", 4096, "truncate")).all
        for row, example in zip(ROWS, examples, strict=True):
            request = answer_request("local/m", question(row), prompt, {}, trained=True)
            assert tuple(job(prompts, request).prompt) == example.tokens[: example.loss[0][0]]


def job(prompts: Prompts, request: Request) -> Job:
    return Generation(Any, prompts, [0], None).job(request)  # type: ignore[arg-type]


def plain(model: Any, prompt: Sequence[int], most: int) -> list[int]:
    """The likeliest tokens, the whole read anew each time."""
    written: list[int] = []
    while len(written) < most and (not written or written[-1] != 0):
        written.append(int(t.log_probabilities(model, [*prompt, *written])[-1].argmax()))
    return written


class Given:
    """A feed of jobs that come a few at a time."""

    def __init__(self, jobs: list[Job]) -> None:
        self.jobs = jobs
        self.most = 0

    def take(self, count: int) -> list[Job]:
        new, self.jobs = self.jobs[:count], self.jobs[count:]
        return new

    def wants(self, job: Job) -> bool:
        return True

    def give(self, job: Job, answer: Any) -> None:
        raise AssertionError


@pytest.mark.parametrize("kind", KINDS)
def test_answers_in_changing_batches_are_those_alone(kind: str) -> None:
    model = t.tiny(kind, 340)
    draw = random.Random(5)
    jobs = [
        Job(
            asked(str(at)),
            "long",
            [draw.randrange(3, 340) for _ in range(draw.randint(1, 30))],
            most=draw.randint(1, 12),
        )
        for at in range(10)
    ]
    found: dict[int, list[int]] = {}
    forward = Forward(model, "cpu", 2)
    feed = Given(jobs[3:])
    with torch.inference_mode():
        decoder = Decoder(forward, frozenset({0}), 4, feed, lambda row: found.update({id(row.job): row.written}))
        decoder.run(jobs[:3])
    assert not feed.jobs
    for each in jobs:
        assert found[id(each)] == plain(model, each.prompt, each.most)


def test_a_reply_that_ends_leaves_its_place_to_the_next(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = opened(folders / "llama", batch=4)
    widths: list[int] = []
    extend = Forward.extend
    monkeypatch.setattr(
        Forward, "extend", lambda self, prefix, ids: widths.append(len(ids)) or extend(self, prefix, ids)
    )
    # The random model seldom ends by itself: each reply is as long as is allowed.
    requests = [asked(f"{text} {at}", 65 + 40 * (at % 3)) for at in range(4) for text in TEXTS]
    replies = ask(plugin, *requests)
    assert all(isinstance(reply, Reply) for reply in replies)
    tokens = sum(reply.output_tokens for reply in replies)
    assert max(widths) == 4 and len(widths) < 1.2 * tokens / 4
    assert [ask(plugin, request)[0] for request in requests[:6]] == replies[:6]


def test_sampled_answers_depend_on_the_request_alone(folders: Path) -> None:
    plugin = opened(folders / "gpt2", batch=3)
    requests = [asked(text, 70, 1.3) for text in TEXTS]
    together = ask(plugin, *requests)
    assert [ask(plugin, request)[0] for request in reversed(requests)] == together[::-1]
    assert [reply.text for reply in together] != [reply.text for reply in ask(plugin, *map(asked, TEXTS))]


def test_an_answer_says_whether_it_was_cut(folders: Path) -> None:
    plugin = opened(folders / "llama")
    # So that about half of the replies end by themselves.
    plugin.runner.kinds["generation"].ends = frozenset(range(0, 340, 10))  # type: ignore[attr-defined]
    replies = ask(plugin, *(asked(f"{text} {at}", most) for at in range(4) for text in TEXTS for most in (3, 66)))
    ends = {reply.finish_reason for reply in replies}
    assert ends == {"stop", "length"}
    for reply, most in zip(replies, [3, 66] * len(replies), strict=False):
        assert reply.finish_reason == "stop" or reply.output_tokens == most
    (short,) = ask(plugin, Request("local/m", (("user", "Hi"),), {"max_tokens": 90}))
    assert short.finish_reason is None, "a grader's reply is read as before"


def test_an_answer_is_as_long_as_the_context_has_space_for(tmp_path: Path) -> None:
    tokenizer = t.byte_tokenizer()
    plugin = opened(t.saved(tmp_path / "short", t.tiny("gpt2", len(tokenizer), n_positions=64), tokenizer))
    fits, long = ask(plugin, asked("What?", 1024), asked("x" * 300, 1024))
    assert fits.finish_reason == "stop" or fits.input_tokens + fits.output_tokens == 64
    assert isinstance(long, Fault) and long.reason == "longer than the model's context"


def test_fewer_answers_at_once_where_they_exceed_the_memory(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = opened(folders / "llama", batch=8)
    requests = [asked(f"{text} {at}", 70) for at in range(3) for text in TEXTS]
    usual = ask(plugin, *requests)
    extend, sizes = Forward.extend, []

    def small(self: Forward, prefix: Any, ids: Any) -> Any:
        sizes.append(len(ids))
        if len(ids) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return extend(self, prefix, ids)

    monkeypatch.setattr(Forward, "extend", small)
    assert ask(plugin, *requests) == usual
    assert max(sizes) > 3 and sum(size > 3 for size in sizes) <= 3

    def never(self: Forward, prefix: Any, ids: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(Forward, "extend", never)
    faults = ask(plugin, *requests[:3])
    assert {fault.reason for fault in faults} == {"out of memory"}


def test_closing_does_not_wait_for_long_answers(folders: Path) -> None:
    plugin = opened(folders / "llama", batch=2)

    async def work() -> list[Any]:
        waits = [asyncio.create_task(plugin.complete(asked(f"Why {at}?", 400))) for at in range(6)]
        await waits[0]
        await plugin.close()
        return await asyncio.gather(*waits, return_exceptions=True)

    found = asyncio.run(work())
    assert isinstance(found[0], Reply)
    assert sum(isinstance(each, asyncio.CancelledError) for each in found) >= 3


@pytest.fixture
def adapters(folders: Path, tmp_path: Path) -> Path:
    """Adapters of the llama, moved far from their zero."""
    peft = pytest.importorskip("peft", reason="the extra 'lora' is not installed")
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(folders / "llama")
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    torch.manual_seed(1)
    model = peft.get_peft_model(base, config)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            weight.data.normal_(std=0.2)
    model.save_pretrained(tmp_path / "adapters")
    return tmp_path / "adapters"


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_adapters_are_merged_into_their_base_model(adapters: Path, folders: Path) -> None:
    from peft import AutoPeftModelForCausalLM

    plugin = opened(adapters)
    whole = AutoPeftModelForCausalLM.from_pretrained(adapters).eval()
    tokenizer = t.byte_tokenizer()
    request = asked("What is the capital of France?", 20)
    (reply,) = ask(plugin, request)
    prompt = list(tokenizer("What is the capital of France?").input_ids)
    assert reply.text == tokenizer.decode(plain(whole, prompt, 20), skip_special_tokens=True)
    assert reply.text != ask(opened(folders / "llama"), request)[0].text


def test_the_digest_of_adapters_has_that_of_their_base(adapters: Path, folders: Path, tmp_path: Path) -> None:
    before = model_digest(adapters, sha)
    config = json.loads((adapters / "adapter_config.json").read_text())

    def based_on(name: str) -> str:
        (adapters / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": name}))
        return model_digest(adapters, sha)

    shutil.copytree(folders / "llama", tmp_path / "moved")
    assert based_on(str(tmp_path / "moved")) == based_on("moved") == before
    assert len({before, based_on(str(folders / "gpt2")), based_on("owner/name")}) == 3
    with pytest.raises(MachineError, match="names no base model"):
        based_on("")
    with pytest.raises(MachineError, match="is not at /nowhere/model"):
        based_on("/nowhere/model")


def test_adapters_that_do_not_fit_or_are_pickles_are_refused(adapters: Path, folders: Path) -> None:
    config = json.loads((adapters / "adapter_config.json").read_text())
    other = {**config, "base_model_name_or_path": str(folders / "gpt2")}
    (adapters / "adapter_config.json").write_text(json.dumps(other))
    with pytest.raises(MachineError, match=r"adapters could not be loaded|do not fit"):
        raise ask(opened(adapters), asked("Hi"))[0]
    (adapters / "adapter_model.safetensors").rename(adapters / "adapter_model.bin")
    with pytest.raises(MachineError, match=r"has no adapter_model\.safetensors"):
        opened(adapters)
