"""Rows as tokens: prompts, what is learned, what is too long."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs the extra 'train'")
from training import rows, write_tokenizer

from alpaqual.job import Text
from alpaqual.trainers.fsdp_job.texts import alpaca_prompt, encode

pytestmark = pytest.mark.slow

ROW = {"id": "r", "instruction": "Say {input} and {instruction}.", "input": "{instruction}", "output": "Said."}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(write_tokenizer(tmp_path_factory.mktemp("tokenizer")))


def text(**more):
    return Text(**{"prompt": "alpaca", "loss_on": "response", "max_length": 4096, "too_long": "truncate", **more})


def test_the_prompt_is_the_alpaca_scripts_and_braces_of_a_row_are_text():
    assert alpaca_prompt(ROW) == (
        "Below is an instruction that describes a task, paired with an input that provides further context. "
        "Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nSay {input} and {instruction}.\n\n### Input:\n{instruction}\n\n### Response:"
    )
    assert alpaca_prompt({**ROW, "input": ""}) == (
        "Below is an instruction that describes a task. "
        "Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nSay {input} and {instruction}.\n\n### Response:"
    )


def test_the_response_and_the_end_are_learned(tokenizer):
    examples = encode(rows(100), tokenizer, text())
    assert len(examples.all) == 100 and not examples.truncated and not examples.dropped
    for row, example in zip(rows(100), examples.all, strict=True):
        assert tokenizer.decode(example.tokens[: example.learned]) == alpaca_prompt(row)
        assert tokenizer.decode(example.tokens[example.learned :]) == row["output"] + "</s>"
        # What a model is asked with when it answers is what it read before it learned.
        assert list(example.tokens[: example.learned]) == tokenizer(alpaca_prompt(row))["input_ids"]


def test_everything_is_learned_where_it_is_asked_for(tokenizer):
    examples = encode(rows(5), tokenizer, text(loss_on="all"))
    assert [example.loss_tokens for example in examples.all] == [len(example.tokens) - 1 for example in examples.all]


def test_a_chat_template_ends_what_is_learned(tokenizer):
    for row, example in zip(rows(20), encode(rows(20), tokenizer, text(prompt="chat")).all, strict=True):
        said = row["instruction"] + (f"\n\n{row['input']}" if row["input"] else "")
        assert tokenizer.decode(example.tokens[: example.learned]) == f"<s>user\n{said}</s><s>assistant\n"
        assert tokenizer.decode(example.tokens[example.learned :]) == f"{row['output']}</s>"


def test_a_longer_row_loses_its_end_or_is_dropped_and_is_counted(tokenizer):
    whole = encode(rows(60), tokenizer, text())
    limit = sorted(len(example.tokens) for example in whole.all)[30]
    longer = {example.id for example in whole.all if len(example.tokens) > limit}
    cut = encode(rows(60), tokenizer, text(max_length=limit))
    assert set(cut.truncated) | set(cut.dropped) == longer and cut.truncated
    assert all(len(example.tokens) <= limit and example.loss_tokens > 0 for example in cut.all)
    # A row whose prompt fills the room has nothing left to learn.
    prompts = {example.id: example.learned for example in whole.all}
    assert all(prompts[each] >= limit for each in cut.dropped)
    left = encode(rows(60), tokenizer, text(max_length=limit, too_long="drop"))
    assert set(left.dropped) == longer and not left.truncated
    assert len(left.all) + len(left.dropped) == 60


def test_a_tokenizer_that_cannot_is_told(tokenizer):
    import copy

    other = copy.deepcopy(tokenizer)
    other.chat_template = None
    with pytest.raises(ValueError, match="no chat template"):
        encode(rows(1), other, text(prompt="chat"))
    other.eos_token = None
    with pytest.raises(ValueError, match="no end-of-text token"):
        encode(rows(1), other, text())


def test_a_template_that_hides_its_prompt_is_told(tokenizer):
    import copy

    other = copy.deepcopy(tokenizer)
    other.chat_template = "{{ messages | length }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
    with pytest.raises(ValueError, match="writes another prompt"):
        encode(rows(1), other, text(prompt="chat"))
