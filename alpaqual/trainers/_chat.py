"""Rows as tokens of a chat template, and which of the tokens have loss.

It imports the standard library alone: the exports carry a copy of this file, so that every trainer gets the same tokens.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

Row = Mapping[str, Any]
Turn = dict[str, Any]
Spans = tuple[tuple[int, int], ...]

_ROWS_PER_CALL = 1_000
"""Rows handed to the tokenizer at once."""
_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
_LEAVE_OUT = "leave the row out of the dataset"


class RowError(ValueError):
    """A row that cannot be trained on; the message has its id and what to do."""


@dataclass(frozen=True)
class Tokens:
    """A row as token ids. `loss` has the (start, end) of tokens with loss, from 1 on, as nothing predicts the first token.

    A row cut at `needed` tokens or fewer has nothing left to learn.
    """

    ids: tuple[int, ...]
    loss: Spans
    needed: int

    def kept(self, max_length: int, too_long: str) -> Tokens | None:
        """The tokens that are trained on: the first `max_length`, or None where the row is dropped.

        It is dropped where nothing is left to learn, or where it is longer and `too_long` is drop.
        """
        if len(self.ids) <= max_length:
            return self if self.loss else None
        loss = tuple((start, min(end, max_length)) for start, end in self.loss if start < max_length)
        if too_long == "drop" or max_length <= self.needed or not loss:
            return None
        return replace(self, ids=self.ids[:max_length], loss=loss)


def name_of(row: Row) -> str:
    """The name of a row in a dataset file: `row_id` where the data has ids of its own, else `id`."""
    return str(row["row_id"] if "row_id" in row else row["id"])


def is_conversation(row: Row) -> bool:
    """Whether a row is a conversation; otherwise it has an instruction, an input and an output."""
    return isinstance(row.get("messages"), list)


def tokenize_chat(rows: Sequence[Row], tokenizer: Any, loss_on: str) -> Iterator[Tokens]:
    """Yield each row as tokens of the tokenizer's chat template. `loss_on` is response, last or all.

    Raises RowError for a row that the template cannot render, or whose responses cannot be found in the rendering.
    """
    for start in range(0, len(rows), _ROWS_PER_CALL):
        rendered = [_render_row(row, tokenizer, loss_on) for row in rows[start : start + _ROWS_PER_CALL]]
        texts = [text for each in rendered if isinstance(each, _Rendering) for text in each.texts]
        ids = iter(tokenizer(texts, add_special_tokens=False, truncation=False)["input_ids"] if texts else ())
        for each in rendered:
            if isinstance(each, _Rendering):
                yield each.tokens(list(itertools.islice(ids, len(each.texts))))
            else:
                yield each


def labelled(
    rows: Sequence[Row], tokenizer: Any, *, loss_on: str, max_length: int, too_long: str
) -> list[dict[str, list[int]]]:
    """The rows as input_ids, attention_mask and labels, which are -100 without loss; rows too long are cut or dropped."""
    found = []
    for whole in tokenize_chat(rows, tokenizer, loss_on):
        tokens = whole.kept(max_length, too_long)
        if tokens is None:
            continue
        labels = [-100] * len(tokens.ids)
        for start, end in tokens.loss:
            labels[start:end] = tokens.ids[start:end]
        found.append({"input_ids": list(tokens.ids), "attention_mask": [1] * len(labels), "labels": labels})
    return found


def notes_on(rows: Iterable[Row], tokenizer: Any) -> list[str]:
    """What the chat template cannot render by itself, and what is done instead: one line each."""
    lacking = {name for row in rows if is_conversation(row) for name in _lacking(row, tokenizer)}
    said = {
        "tools": "the chat template has no tools: they are written into the system turn, as JSON in <tools>",
        "tool_calls": "the chat template has no tool calls: they are written into their turn, as JSON in <tool_call>",
        "developer": "the chat template has no developer turns: they are rendered as system turns",
    }
    return [text for name, text in said.items() if name in lacking]


@dataclass(frozen=True)
class _Rendering:
    """A rendered text, the (start, end) of the characters of some turns, and where the loss is: in them, outside, or on all."""

    text: str
    spans: Spans
    loss: Literal["inside", "outside", "all"]

    @property
    def ends(self) -> list[int]:
        return sorted({*itertools.chain.from_iterable(self.spans), len(self.text)})

    @property
    def texts(self) -> list[str]:
        """The text up to each end, then each piece between two ends."""
        return [self.text[:end] for end in self.ends] + [self.text[a:b] for a, b in itertools.pairwise(self.ends)]

    def tokens(self, ids: list[list[int]]) -> Tokens:
        """The row, of the token ids of `texts`.

        A token may span the end of a prompt and the start of a response. At inference the prompt has its own tokens, so those
        are trained on, and what follows is tokenized by itself.
        """
        prefixes, pieces = ids[: len(self.ends)], ids[len(self.ends) :]
        found = prefixes[0]
        counts = {self.ends[0]: len(found)}
        for end, longer, piece in zip(self.ends[1:], prefixes[1:], pieces, strict=True):
            found = longer if longer[: len(found)] == found else found + piece
            counts[end] = len(found)
        spans = tuple((counts[start], counts[end]) for start, end in self.spans)
        needed = spans[0][0] if self.loss != "outside" and spans else 0
        marked = () if self.loss == "all" else spans
        return Tokens(tuple(found), _loss(marked, len(found), inverted=self.loss != "inside"), needed)


def _loss(spans: Iterable[tuple[int, int]], count: int, *, inverted: bool) -> Spans:
    """Spans of tokens with loss, of `spans` or of what is outside of them; the first token has none."""
    if inverted:
        ends = [1, *itertools.chain.from_iterable(spans), count]
        spans = zip(ends[::2], ends[1::2], strict=True)
    return tuple((max(start, 1), end) for start, end in spans if max(start, 1) < end)


def _render_row(row: Row, tokenizer: Any, loss_on: str) -> _Rendering | Tokens:
    if not is_conversation(row):
        return _render_triple(row, tokenizer, loss_on)
    template: str = tokenizer.get_chat_template(None, row.get("tools"))
    messages, tools = _for_template(row, template)
    render = _Renderer(row, tokenizer, tools)
    answers = [place for place, turn in enumerate(messages) if turn["role"] == "assistant"]
    unweighted = [place for place in answers if not messages[place].get("weight", 1)]
    messages = render.with_contents(
        [{key: value for key, value in turn.items() if key != "weight"} for turn in messages]
    )
    inverted = loss_on == "all"
    if inverted:
        chosen = unweighted
    else:
        chosen = [place for place in (answers[-1:] if loss_on == "last" else answers) if place not in unweighted]
    if _GENERATION.search(template) and getattr(tokenizer, "is_fast", False):
        return render.masked(messages, [place in chosen for place in answers], inverted=inverted)
    text = render(messages)
    spans = tuple(render.span(messages, place, text) for place in chosen)
    return _Rendering(text, spans, "outside" if inverted else "inside")


def _render_triple(row: Row, tokenizer: Any, loss_on: str) -> _Rendering:
    question = row["instruction"] + (f"\n\n{row['input']}" if row["input"] else "")
    turns = [{"role": "user", "content": question}]
    render = _Renderer(row, tokenizer, None)
    prompt = render(turns, prompt=True)
    whole = render([*turns, {"role": "assistant", "content": row["output"]}])
    if not whole.startswith(prompt):
        raise RowError(
            f"row {name_of(row)}: the chat template renders another prompt once a response follows; "
            "train with prompt: alpaca"
        )
    return _Rendering(whole, ((len(prompt), len(whole)),), "all" if loss_on == "all" else "inside")


@dataclass(frozen=True)
class _Renderer:
    """Renders turns of a row with the chat template."""

    row: Row
    tokenizer: Any
    tools: list[Any] | None

    def __call__(self, messages: Sequence[Turn], *, prompt: bool = False) -> str:
        text: str = self.apply(messages, tokenize=False, add_generation_prompt=prompt)
        return text

    def apply(self, messages: Sequence[Turn], **options: Any) -> Any:
        """Call apply_chat_template. Raises RowError where the template raises an error, of whatever kind."""
        try:
            return self.tokenizer.apply_chat_template(list(messages), tools=self.tools, **options)
        except Exception as error:
            raise RowError(
                f"row {name_of(self.row)}: the chat template cannot render it ({error}); {_LEAVE_OUT}, or use a tokenizer "
                "whose template can"
            ) from error

    def with_contents(self, messages: list[Turn]) -> list[Turn]:
        """The turns as the template takes them: some templates need an empty text where a content is null."""
        if all(turn.get("content") is not None for turn in messages):
            return messages
        filled = [{**turn, "content": turn.get("content") or ""} for turn in messages]
        try:
            text = self(messages)
        except RowError:
            return filled
        # Templates that join texts write a null as "None".
        return messages if text.count("None") == self(filled).count("None") else filled

    def span(self, messages: Sequence[Turn], place: int, whole: str) -> tuple[int, int]:
        """The characters of an assistant turn: what its rendering adds to the prompt before it."""
        before, after = self(messages[:place], prompt=True), self(messages[: place + 1])
        if not (whole.startswith(after) and after.startswith(before)):
            raise RowError(
                f"row {name_of(self.row)}: the chat template renders the turns up to turn {place + 1} in another way once more "
                f"turns follow, so its response cannot be found; {_LEAVE_OUT}, set loss_on: last, or use a tokenizer "
                "whose template marks responses with {% generation %}"
            )
        return len(before), len(after)

    def masked(self, messages: Sequence[Turn], chosen: list[bool], *, inverted: bool) -> Tokens:
        """The row, by the template's generation mask; `chosen` are the assistant turns whose tokens are marked."""
        found = self.apply(messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
        ids, mask = found["input_ids"], found["assistant_masks"]
        changes = [
            place for place in range(len(ids) + 1) if any(mask[place - 1 : place]) != any(mask[place : place + 1])
        ]
        blocks = list(zip(changes[::2], changes[1::2], strict=True))
        if len(blocks) == len(chosen):
            blocks = list(itertools.compress(blocks, chosen))
        elif not any(chosen):
            blocks = []
        elif not all(chosen) or not blocks:
            raise RowError(
                f"row {name_of(self.row)}: the template's generation mask has {len(blocks)} blocks for {len(chosen)} assistant "
                f"turns, so the block of a single turn is not known; {_LEAVE_OUT}"
            )
        loss = _loss(blocks, len(ids), inverted=inverted)
        return Tokens(tuple(ids), loss, 0 if inverted or not loss else loss[0][0])


def _lacking(row: Row, tokenizer: Any) -> Iterator[str]:
    template = tokenizer.get_chat_template(None, row.get("tools"))
    roles = {turn["role"] for turn in row["messages"]}
    wanted = {
        "tools": bool(row.get("tools")),
        "tool_calls": any(turn.get("tool_calls") for turn in row["messages"]),
        "developer": "developer" in roles,
    }
    return (name for name, needed in wanted.items() if needed and name not in template)


def _for_template(row: Row, template: str) -> tuple[list[Turn], list[Any] | None]:
    """The turns and tools of a conversation as the template knows them: what it does not know is written as text.

    A system turn is added where there is none for the tools.
    """
    messages = [_turn(turn, template) for turn in row["messages"]]
    tools = row.get("tools") or None
    if tools is None or "tools" in template:
        return messages, tools
    lines = [json.dumps(tool, ensure_ascii=False) for tool in tools]
    text = "\n".join(["You may call these functions:", "<tools>", *lines, "</tools>"])
    if messages[0]["role"] == "system":
        first = {**messages[0], "content": f"{messages[0]['content']}\n\n{text}"}
        return [first, *messages[1:]], None
    return [{"role": "system", "content": text}, *messages], None


def _turn(turn: Turn, template: str) -> Turn:
    found = {key: value for key, value in turn.items() if key != "tool_calls"}
    if turn["role"] == "developer" and "developer" not in template:
        found["role"] = "system"
    if calls := turn.get("tool_calls"):
        parsed = [{**call, "function": _parsed(call["function"])} for call in calls]
        if "tool_calls" in template:
            return {**found, "tool_calls": parsed}
        texts = [f"<tool_call>\n{json.dumps(call['function'], ensure_ascii=False)}\n</tool_call>" for call in parsed]
        found["content"] = "\n".join([turn["content"], *texts] if turn.get("content") else texts)
    return found


def _parsed(function: Mapping[str, Any]) -> dict[str, Any]:
    """A called function with its arguments as an object: in the data they are a JSON text."""
    arguments = function.get("arguments", "{}")
    return {**function, "arguments": json.loads(arguments) if isinstance(arguments, str) else arguments}
