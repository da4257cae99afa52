"""Conversations as tokens: which characters of the chat template's text have loss, as stated by a few lines of plain Python."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_model import safetensors_folder
from tiers import examples

pytest.importorskip("torch", reason="needs the extra 'train'")
from training import rows, tiny_job, write_rows, write_tokenizer
from training.talks import CALLS, TOOL

from alpaqual.job import JobError, Text
from alpaqual.trainers._chat import RowError, labelled
from alpaqual.trainers._rows import refuse_conversations
from alpaqual.trainers.fsdp_job.tokenization import tokenize

pytestmark = pytest.mark.slow

GENERATION = (
    "{% for m in messages %}<s>{{ m['role'] }}\n{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] }}</s>"
    "{% endgeneration %}{% else %}{{ m['content'] }}</s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)
LAST_THOUGHT = (
    "{% for m in messages %}<s>{{ m['role'] }}\n{% if m['role'] == 'assistant' and loop.last %}(thought){% endif %}"
    "{{ m['content'] }}</s>{% endfor %}{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)
TOOLS = (
    "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}<s>{{ m['role'] }}\n{{ m['content'] or '' }}"
    "{% if m['tool_calls'] %}{% for c in m['tool_calls'] %}{{ c['function']['name'] }}"
    "{% for k, v in c['function']['arguments'].items() %} {{ k }}={{ v }}{% endfor %}{% endfor %}{% endif %}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(write_tokenizer(tmp_path_factory.mktemp("tokenizer")))


def templated(tokenizer, template):
    other = copy.deepcopy(tokenizer)
    other.chat_template = template
    return other


def chat(**more):
    return Text(**{"prompt": "chat", "loss_on": "response", "max_length": 4096, "too_long": "truncate", **more})


def conversation(*turns, **more):
    messages = [dict(zip(("role", "content", "weight"), turn, strict=False)) for turn in turns]
    return {"id": "c", "messages": messages, **more}


def pieces(tokenizer, example):
    """The decoded text of each span with loss."""
    return [tokenizer.decode(example.tokens[start:end]) for start, end in example.loss]


TURNS = st.lists(
    st.tuples(
        st.sampled_from(["user", "assistant", "tool"]),
        st.text("ab \n<é🎉", min_size=1, max_size=8),
        st.sampled_from([0, 1, 1]),
    ),
    max_size=5,
)


@pytest.mark.parametrize("template", [None, GENERATION])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(100), deadline=None)
@given(turns=TURNS, last=st.text("ab \n", min_size=1, max_size=8), loss_on=st.sampled_from(["response", "last", "all"]))
def test_loss_is_on_the_characters_that_plain_python_states(tokenizer, template, turns, last, loss_on):
    from hypothesis import assume

    # Two assistant turns in succession have one block in the mask only if nothing is between them; here a header is.
    turns = [("user", "a", 1), *turns, ("assistant", last, 1)]
    used = tokenizer if template is None else templated(tokenizer, template)
    # The statement: the text, and for each of its characters whether it has loss.
    text, learned = "", []
    for place, (role, content, weight) in enumerate(turns):
        head, body = f"<s>{role}\n", f"{content}</s>"
        if loss_on == "all":
            takes_part = role != "assistant" or weight > 0
            learned += [True] * len(head) + [takes_part] * len(body)
        else:
            own = role == "assistant" and weight > 0 and (loss_on == "response" or place == len(turns) - 1)
            learned += [False] * len(head) + [own] * len(body)
        text += head + body
    # A token that spans header and content belongs to one of them by tokenizing the header alone: see the test below.
    encoded = used(text, add_special_tokens=False, return_offsets_mapping=True)
    offsets = encoded["offset_mapping"]
    assume(all(len(set(learned[start:end])) <= 1 for start, end in offsets))
    wanted = [learned[start] if start < end else None for start, end in offsets]
    (example,) = tokenize([conversation(*turns)], used, chat(loss_on=loss_on)).all
    assert list(example.tokens) == encoded["input_ids"]
    found = {at for start, end in example.loss for at in range(start, end)}
    for at, own in enumerate(wanted):
        if own is not None:
            assert (at in found) == (own and at > 0), (at, text)


def test_a_turn_of_weight_0_is_not_learned(tokenizer):
    """axolotl 1702."""
    row = conversation(("user", "a"), ("assistant", "b", 0), ("user", "c"), ("assistant", "d", 1))
    for template in (tokenizer.chat_template, GENERATION):
        used = templated(tokenizer, template)
        (example,) = tokenize([row], used, chat()).all
        assert pieces(used, example) == ["d</s>"]
        assert tokenizer.decode(example.tokens) == (
            "<s>user\na</s><s>assistant\nb</s><s>user\nc</s><s>assistant\nd</s>"
        )
    assert tokenize([conversation(("user", "a"), ("assistant", "b", 0))], tokenizer, chat()).dropped == ("c",)


def test_the_last_turn_alone_on_request(tokenizer):
    row = conversation(("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"))
    for template in (tokenizer.chat_template, GENERATION):
        used = templated(tokenizer, template)
        assert pieces(used, tokenize([row], used, chat()).all[0]) == ["b</s>", "d</s>"]
        assert pieces(used, tokenize([row], used, chat(loss_on="last")).all[0]) == ["d</s>"]
    # Of a triple it is the response.
    assert tokenize(rows(5), tokenizer, chat(loss_on="last")) == tokenize(rows(5), tokenizer, chat())


def test_a_conversation_of_one_question_has_the_tokens_of_its_triple(tokenizer):
    triples = [{**row, "input": ""} for row in rows(40)]
    talks = [
        {
            "id": row["id"],
            "messages": [
                {"role": "user", "content": row["instruction"]},
                {"role": "assistant", "content": row["output"]},
            ],
        }
        for row in triples
    ]
    for prompt in ("chat", "alpaca"):
        for loss_on in ("response", "all"):
            text = chat(prompt=prompt, loss_on=loss_on)
            assert [(each.id, each.tokens, each.loss) for each in tokenize(talks, tokenizer, text).all] == [
                (each.id, each.tokens, each.loss) for each in tokenize(triples, tokenizer, text).all
            ]


def test_triples_have_the_tokens_of_prompt_and_response(tokenizer):
    """What they had before conversations: the prompt by itself, and the rest of the whole, or the response by itself."""
    for row, example in zip(rows(100), tokenize(rows(100), tokenizer, chat()).all, strict=True):
        question = row["instruction"] + (f"\n\n{row['input']}" if row["input"] else "")
        before = f"<s>user\n{question}</s><s>assistant\n"
        prompt, whole, alone = (
            tokenizer(text, add_special_tokens=False)["input_ids"]
            for text in (before, f"{before}{row['output']}</s>", f"{row['output']}</s>")
        )
        response = whole[len(prompt) :] if whole[: len(prompt)] == prompt else alone
        assert example.tokens == (*prompt, *response)
        assert example.loss == ((len(prompt), len(prompt) + len(response)),)


def test_a_template_that_changes_earlier_turns_is_refused_with_the_row(tokenizer):
    other = templated(tokenizer, LAST_THOUGHT)
    row = conversation(("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"), id="mine-3")
    with pytest.raises(JobError, match=r"row mine-3: .* turn 2 in another way .* loss_on: last"):
        tokenize([row], other, chat())
    # What the message advises.
    assert pieces(other, tokenize([row], other, chat(loss_on="last")).all[0]) == ["(thought)d</s>"]


def test_a_row_that_the_template_refuses_is_named(tokenizer):
    other = templated(tokenizer, "{{ raise_exception('roles must alternate') }}")
    with pytest.raises(JobError, match=r"row c: .*roles must alternate"):
        tokenize([conversation(("user", "a"), ("assistant", "b"))], other, chat())


def test_tools_are_passed_to_the_template_and_arguments_are_objects(tokenizer):
    other = templated(tokenizer, TOOLS)
    examples = tokenize([CALLS], other, chat())
    text = other.decode(examples.all[0].tokens)
    assert text.startswith(json.dumps([TOOL])) and "<s>assistant\nconvert km=2</s><s>tool\n1.24</s>" in text
    assert pieces(other, examples.all[0]) == ["convert km=2</s>", "1.24 miles.</s>"] and not examples.notes


def test_what_a_template_does_not_know_is_written_as_text_and_said(tokenizer):
    row = {**CALLS, "messages": [{"role": "developer", "content": "Be brief."}, *CALLS["messages"]]}
    examples = tokenize([row], tokenizer, chat())
    text = tokenizer.decode(examples.all[0].tokens)
    assert text.startswith("<s>system\nBe brief.\n\nYou may call these functions:\n<tools>\n" + json.dumps(TOOL))
    call = '<tool_call>\n{"name": "convert", "arguments": {"km": 2}}\n</tool_call></s>'
    assert pieces(tokenizer, examples.all[0]) == [call, "1.24 miles.</s>"]
    assert [note.split(":")[0] for note in examples.notes] == [
        "the chat template has no tools",
        "the chat template has no tool calls",
        "the chat template has no developer turns",
    ]


def test_a_truncated_conversation_without_loss_is_dropped(tokenizer):
    row = conversation(("user", "a"), ("assistant", "b"), ("user", "c" * 40), ("assistant", "d"))
    whole = tokenize([row], tokenizer, chat()).all[0]
    (first, second) = whole.loss
    for limit in range(1, len(whole.tokens)):
        cut = tokenize([row], tokenizer, chat(max_length=limit))
        if limit <= first[0]:
            assert cut.dropped == ("c",) and not cut.all
        else:
            assert cut.truncated == ("c",) and cut.all[0].tokens == whole.tokens[:limit]
            clipped = [(start, min(end, limit)) for start, end in (first, second) if start < limit]
            assert list(cut.all[0].loss) == clipped
    assert tokenize([row], tokenizer, chat(max_length=5, too_long="drop")).dropped == ("c",)


def test_the_alpaca_prompt_refuses_a_conversation(tokenizer):
    row = conversation(("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"))
    with pytest.raises(JobError, match=r"row c is a conversation .* set training.prompt: chat"):
        tokenize([row], tokenizer, chat(prompt="alpaca"))


def test_a_run_refuses_conversations_of_the_alpaca_prompt_before_training(tmp_path):
    talk = conversation(("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"))
    plain = conversation(("user", "a"), ("assistant", "b"))
    job = tiny_job(tmp_path)
    write_rows(tmp_path / "talks.jsonl", [*rows(3), plain, talk])
    write_rows(tmp_path / "plain.jsonl", [*rows(3), plain])
    with pytest.raises(RowError, match="row c is a conversation with more than a question"):
        refuse_conversations(job, tmp_path / "talks.jsonl", exported=False)
    refuse_conversations(job, tmp_path / "plain.jsonl", exported=False)
    with pytest.raises(RowError, match=r"exports write for training\.prompt: chat only"):
        refuse_conversations(job, tmp_path / "plain.jsonl", exported=True)
    refuse_conversations(tiny_job(tmp_path, prompt="chat"), tmp_path / "talks.jsonl", exported=True)


def test_rows_are_named_by_row_id(tokenizer):
    row = conversation(("user", "a"), ("assistant", "b"), row_id="r1")
    assert tokenize([{**row, "id": 3}], tokenizer, chat()).all[0].id == "r1"


def test_labels_are_the_loss_of_the_job(tokenizer):
    found = [CALLS, *rows(5), conversation(("user", "a"), ("assistant", "b", 0), ("user", "c"), ("assistant", "d"))]
    for settings_ in (
        {},
        {"loss_on": "last"},
        {"loss_on": "all"},
        {"max_length": 60},
        {"max_length": 60, "too_long": "drop"},
    ):
        text = chat(**settings_)
        more = {"loss_on": text.loss_on, "max_length": text.max_length, "too_long": text.too_long}
        got = labelled(found, tokenizer, **more)
        examples = tokenize(found, tokenizer, text).all
        assert [row["input_ids"] for row in got] == [list(example.tokens) for example in examples]
        for row, example in zip(got, examples, strict=True):
            own = {at for start, end in example.loss for at in range(start, end)}
            assert row["labels"] == [t if at in own else -100 for at, t in enumerate(example.tokens)]


def test_smollm2s_own_template(tokenizer, tmp_path_factory):
    """The template of SmolLM2-Instruct, which has a system turn of its own and knows no tools."""
    template = (safetensors_folder(tmp_path_factory) / "chat_template.jinja").read_text(encoding="utf-8")
    used = templated(tokenizer, template)
    row = conversation(("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"))
    examples = tokenize([row, CALLS], used, chat())
    assert pieces(used, examples.all[0]) == ["b<|im_end|>\n", "d<|im_end|>\n"]
    assert used.decode(examples.all[0].tokens).startswith("<|im_start|>system\nYou are a helpful AI assistant")
    assert pieces(used, examples.all[1])[1] == "1.24 miles.<|im_end|>\n"
