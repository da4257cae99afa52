"""Rows as tokens: prompts, loss tokens, and rows that are too long."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs the extra 'train'")
from training import rows, write_tokenizer

from alpaqual.job import Text
from alpaqual.trainers.fsdp_job.tokenization import tokenize
from alpaqual.training_prompts import alpaca_prompt

pytestmark = pytest.mark.slow

ROW = {"id": "r", "instruction": "Say {input} and {instruction}.", "input": "{instruction}", "output": "Said."}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(write_tokenizer(tmp_path_factory.mktemp("tokenizer")))


def text(**more):
    return Text(**{"prompt": "alpaca", "loss_on": "response", "max_length": 4096, "too_long": "truncate", **more})


def test_the_prompt_is_stanford_alpacas_and_braces_are_text():
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


def test_response_and_end_have_loss(tokenizer):
    examples = tokenize(rows(100), tokenizer, text())
    assert len(examples.all) == 100 and not examples.truncated and not examples.dropped
    for row, example in zip(rows(100), examples.all, strict=True):
        assert tokenizer.decode(example.tokens[: example.loss[0][0]]) == alpaca_prompt(row)
        assert tokenizer.decode(example.tokens[example.loss[0][0] :]) == row["output"] + "</s>"
        # The prompt has the tokens that it has at inference.
        assert list(example.tokens[: example.loss[0][0]]) == tokenizer(alpaca_prompt(row))["input_ids"]


def test_all_tokens_have_loss_on_request(tokenizer):
    examples = tokenize(rows(5), tokenizer, text(loss_on="all"))
    assert [example.loss_tokens for example in examples.all] == [len(example.tokens) - 1 for example in examples.all]


def test_a_chat_templates_end_of_turn_has_loss(tokenizer):
    for row, example in zip(rows(20), tokenize(rows(20), tokenizer, text(prompt="chat")).all, strict=True):
        question = row["instruction"] + (f"\n\n{row['input']}" if row["input"] else "")
        assert tokenizer.decode(example.tokens[: example.loss[0][0]]) == f"<s>user\n{question}</s><s>assistant\n"
        assert tokenizer.decode(example.tokens[example.loss[0][0] :]) == f"{row['output']}</s>"


def test_a_long_row_is_truncated_or_dropped_and_counted(tokenizer):
    whole = tokenize(rows(60), tokenizer, text())
    limit = sorted(len(example.tokens) for example in whole.all)[30]
    longer = {example.id for example in whole.all if len(example.tokens) > limit}
    cut = tokenize(rows(60), tokenizer, text(max_length=limit))
    assert set(cut.truncated) | set(cut.dropped) == longer and cut.truncated
    assert all(len(example.tokens) <= limit and example.loss_tokens > 0 for example in cut.all)
    # A row whose prompt fills max_length has no loss token left.
    prompts = {example.id: example.loss[0][0] for example in whole.all}
    assert all(prompts[each] >= limit for each in cut.dropped)
    left = tokenize(rows(60), tokenizer, text(max_length=limit, too_long="drop"))
    assert set(left.dropped) == longer and not left.truncated
    assert len(left.all) + len(left.dropped) == 60


def test_a_tokenizer_without_template_or_end_is_refused(tokenizer):
    import copy

    other = copy.deepcopy(tokenizer)
    other.chat_template = None
    with pytest.raises(ValueError, match="no chat template"):
        tokenize(rows(1), other, text(prompt="chat"))
    other.eos_token = None
    with pytest.raises(ValueError, match="no end-of-text token"):
        tokenize(rows(1), other, text())


def test_a_template_that_changes_the_prompt_is_refused(tokenizer):
    import copy

    other = copy.deepcopy(tokenizer)
    other.chat_template = "{{ messages | length }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
    with pytest.raises(ValueError, match="renders another prompt"):
        tokenize(rows(1), other, text(prompt="chat"))
