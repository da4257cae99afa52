"""Messages -> token ids, by the model's own chat template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alpaqual.errors import Fault, FaultKind

Message = tuple[str, str]
_LINE_MARKS = ("\n", "\r", "Ċ", "č", "<0x0A>", "<0x0D>")
"""Beginnings of tokens that are a line break: plain, in GPT-2's byte alphabet, and as SentencePiece bytes."""


class Prompts:
    """Tokenizes messages for one model.

    Texts come from data: a control token in them (`<|im_end|>`) gets a space after its first character, so that a response
    cannot end its own turn. Thinking is switched off in templates that have it.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.controls = _controls(tokenizer)
        self.has_template = bool(tokenizer.chat_template)
        bos = tokenizer.bos_token_id
        self.start: list[int] = [bos] if bos is not None and bos in tokenizer("").input_ids else []
        """The tokens that the tokenizer puts before any text."""

    def encode(self, text: str) -> list[int]:
        """A text's tokens, without special tokens around them."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False).input_ids
        return ids

    def escape(self, text: str) -> str:
        """The text with a space inside each control token."""
        for control in self.controls:
            if control in text:
                text = text.replace(control, f"{control[0]} {control[1:]}")
        return text

    def text(self, messages: Sequence[Message], *, reply: bool = True) -> str:
        """All messages as one text, up to the beginning of the reply (`reply`).

        Without a chat template, each text is followed by a blank line. Raises Fault where the template fails on the messages
        with and without a system part.
        """
        escaped = [(role, self.escape(text)) for role, text in messages]
        if not self.has_template:
            return "".join(f"{text}\n\n" for _, text in escaped)
        systems = [text for role, text in escaped if role == "system"]
        try:
            text = self._render(escaped, reply)
        except Exception as error:
            if not systems:
                raise _refused(error) from None
        else:
            # Some templates silently drop a role that they do not know.
            if all(system.strip() in text for system in systems):
                return text
        try:
            return self._render(_merged(escaped), reply)
        except Exception as error:
            raise _refused(error) from None

    def ids(self, text: str) -> list[int]:
        """The tokens of a text from `text`. A chat template writes the start token itself."""
        return self.encode(text) if self.has_template else [*self.start, *self.encode(text)]

    def plain_ids(self, text: str) -> list[int]:
        """The tokens of a text without a chat template, as training tokenizes a prompt: control tokens in it count as such."""
        ids: list[int] = self.tokenizer(text, truncation=False, verbose=False).input_ids
        # Some tokenizers append the end-of-text token to every text.
        return ids[:-1] if ids and ids[-1] == self.tokenizer.eos_token_id else ids

    def trained_ids(self, messages: Sequence[Message]) -> list[int]:
        """The tokens of messages up to the reply, as training renders them: texts and the template as they are.

        Raises Fault where the template refuses them.
        """
        if not self.has_template:
            return self.ids(self.text(messages))
        try:
            return self.encode(self._render(messages, reply=True, thinking=None))
        except Exception as error:
            raise _refused(error) from None

    def ends(self, model: Any) -> list[int]:
        """Token ids that end the model's turn, by model, tokenizer and chat template."""
        named: list[Any] = [self.tokenizer.eos_token_id]
        for config in (model.config, model.generation_config):
            found = getattr(config, "eos_token_id", None)
            named += found if isinstance(found, list) else [found]
        if self.has_template:
            named.append(self._end_of_turn())
        return sorted({int(end) for end in named if end is not None})

    def line_breaks(self) -> list[int]:
        """Token ids whose text begins with a line break."""
        tokens = self.tokenizer.convert_ids_to_tokens(list(range(len(self.tokenizer))))
        marked = (at for at, token in enumerate(tokens) if token and token.startswith(_LINE_MARKS))
        return [at for at in marked if self.tokenizer.decode([at])[:1] in ("\n", "\r")]

    def _end_of_turn(self) -> int | None:
        """The control token that the chat template puts behind a reply."""
        try:
            text = self._render([("user", "a"), ("assistant", "bcd")], reply=False)
        except Exception:
            return None
        behind = self.encode(text.rpartition("bcd")[2].lstrip())[:1]
        return behind[0] if behind and self.tokenizer.convert_ids_to_tokens(behind[0]) in self.controls else None

    def _render(self, messages: Sequence[Message], reply: bool, thinking: bool | None = False) -> str:
        turns = [{"role": role, "content": text} for role, text in messages]
        more = {} if thinking is None else {"enable_thinking": thinking}
        text: str = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=reply, **more)
        return text


def _controls(tokenizer: Any) -> list[str]:
    added = tokenizer.added_tokens_decoder.values()
    found = {str(token) for token in added if token.special or str(token).startswith("<|")}
    return sorted(control for control in found if len(control) > 1)


def _merged(messages: Sequence[Message]) -> list[Message]:
    """The system part put before the first user turn's text."""
    system = [text for role, text in messages if role == "system"]
    rest = [message for message in messages if message[0] != "system"]
    first = next((at for at, (role, _) in enumerate(rest) if role == "user"), None)
    if first is None:
        return [("user", "\n\n".join(system)), *rest]
    return [*rest[:first], ("user", "\n\n".join([*system, rest[first][1]])), *rest[first + 1 :]]


def _refused(error: Exception) -> Fault:
    return Fault(FaultKind.REFUSED, "the chat template refuses the messages", " ".join(str(error).split())[:300])
