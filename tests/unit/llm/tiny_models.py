"""Models of a few thousand random weights with real tokenizers, saved as folders; and what they should answer, computed plainly."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

WORDS = [
    "Give three tips for staying healthy.",
    "What is the capital of France? Paris is the capital of France.",
    "Rate the accuracy on a scale of 0 to 5. Score: 4.5\nThe response is right.\n\n",
    "def add(a, b):\n    return a + b\n",
    "0 1 2 3 4 5 6 7 8 9 10 0.5 1.5 2.5 3.5 4.5",
]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHATML
)
FORGETS_SYSTEM = CHATML.replace(
    "<|im_start|>{{ m", "{% if m['role'] == 'system' %}{% continue %}{% endif %}<|im_start|>{{ m"
)
THINKS = CHATML.replace(
    "assistant\n{% endif %}", "assistant\n{% if enable_thinking is not false %}<think>{% endif %}{% endif %}"
)
CHOICES = ["0", "0.5", "1", "1.5", "2", "2.5", "3", "3.5", "4", "4.5", "5"]


def byte_tokenizer(template: str | None = CHATML, *, words: Sequence[str] = WORDS, whole_lines: bool = False) -> Any:
    """A byte-level BPE like GPT-2's; with `whole_lines` it merges over spaces and line breaks as well."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not whole_lines)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=340,
        special_tokens=["<|im_end|>", "<|im_start|>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(words, trainer)
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<pad>")
    made.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    made.chat_template = template
    return made


def piece_tokenizer() -> Any:
    """BPE with spaces as ▁, a line break as the byte <0x0A> and a start token, like Llama 2's; without a chat template."""
    from tokenizers import Tokenizer, decoders, models, normalizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))],
        show_progress=False,
    )
    tokenizer.train_from_iterator([part for text in WORDS for part in text.split("\n") if part], trainer)
    start = tokenizer.token_to_id("<s>")
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", start)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def tiny(kind: str, vocabulary: int, **more: Any) -> Any:
    """A model with random weights, wide enough apart that its likeliest tokens are clear."""
    import torch
    import transformers as t

    size: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.3,
        "eos_token_id": 0,
        "pad_token_id": 2,
        "bos_token_id": None,
    }
    gpt = {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 512, "initializer_range": 0.3}
    gemma = {"head_dim": 8, "sliding_window": 16, "query_pre_attn_scalar": 8}
    configs = {
        "llama": lambda: t.LlamaConfig(**size | more),
        "qwen2": lambda: t.Qwen2Config(**size | more),
        "gemma2": lambda: t.Gemma2Config(**size | gemma | more),
        "gpt2": lambda: t.GPT2Config(vocab_size=vocabulary, **gpt | {"eos_token_id": 0, "bos_token_id": None} | more),
        "mamba": lambda: t.MambaConfig(
            vocab_size=vocabulary,
            hidden_size=32,
            state_size=4,
            num_hidden_layers=2,
            eos_token_id=0,
            bos_token_id=0,
            **more,
        ),
    }
    torch.manual_seed(7)
    return t.AutoModelForCausalLM.from_config(configs[kind]()).eval()


def saved(folder: Path, model: Any, tokenizer: Any) -> Path:
    """Both in one folder."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def prompt_ids(tokenizer: Any, messages: Sequence[tuple[str, str]], behind: str = "") -> list[int]:
    """The tokens of a prompt, and of a text behind it, by the tokenizer's own way."""
    if tokenizer.chat_template:
        turns = [{"role": role, "content": text} for role, text in messages]
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        return list(tokenizer(text + behind, add_special_tokens=False).input_ids)
    return list(tokenizer("".join(f"{text}\n\n" for _, text in messages) + behind).input_ids)


def log_probabilities(model: Any, ids: Sequence[int]) -> Any:
    """(tokens, vocabulary) in fp64: one sequence, no padding, no cache."""
    import torch

    with torch.no_grad():
        return model(input_ids=torch.tensor([list(ids)])).logits[0].double().log_softmax(-1)


def plain_choices(
    model: Any, tokenizer: Any, messages: Sequence[tuple[str, str]], ends: set[int]
) -> Mapping[str, float]:
    """The probability of each choice and its end, each computed alone."""
    prompt = prompt_ids(tokenizer, messages)
    found = {}
    for choice in CHOICES:
        whole_ids = prompt_ids(tokenizer, messages, choice)
        tokens = whole_ids[len(prompt) :]
        logs = log_probabilities(model, whole_ids)
        total = sum(float(logs[len(prompt) - 1 + at, token]) for at, token in enumerate(tokens))
        found[choice] = math.exp(total + math.log(sum(math.exp(float(logs[-1, end])) for end in ends)))
    whole = sum(found.values())
    return {choice: share / whole for choice, share in found.items()}


def line_ends(tokenizer: Any) -> set[int]:
    """The end of text, and every token whose text begins with a line break."""
    texts = {token: tokenizer.decode([token]) for token in range(len(tokenizer))}
    return {tokenizer.eos_token_id} | {token for token, text in texts.items() if text[:1] in ("\n", "\r")}


def plain_greedy(model: Any, tokenizer: Any, messages: Sequence[tuple[str, str]], tokens: int) -> str:
    """The likeliest reply, token by token, the whole read anew each time."""
    ids = prompt_ids(tokenizer, messages)
    written: list[int] = []
    while len(written) < tokens:
        new = int(log_probabilities(model, ids + written)[-1].argmax())
        if new == tokenizer.eos_token_id:
            break
        written.append(new)
    return str(tokenizer.decode(written, skip_special_tokens=True))


def plain_ifd(model: Any, tokenizer: Any, instruction: str, response: str) -> tuple[float, float]:
    """Perplexities of the response's tokens but the first: given the instruction, and alone."""
    tokens = list(tokenizer(response, add_special_tokens=False).input_ids)
    start = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []
    found = []
    for before in (prompt_ids(tokenizer, [("user", instruction)]), start):
        logs = log_probabilities(model, before + tokens)
        nll = [-float(logs[len(before) + at - 1, tokens[at]]) for at in range(1, len(tokens))]
        found.append(math.exp(sum(nll) / len(nll)))
    return found[0], found[1]


def read(text: str) -> Any:
    """A reply that is JSON."""
    return json.loads(text)
