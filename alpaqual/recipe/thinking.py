"""Whether the parameters of a model switch thinking on, and how many tokens it may take.

Providers name it differently: `reasoning_effort` (OpenAI, Gemini, vLLM), `reasoning` (OpenRouter, Responses API), `thinking`
(Anthropic, DeepSeek), `enable_thinking` (DashScope) and `chat_template_kwargs` (vLLM, SGLang, llama.cpp).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

THINKING_TOKENS = 4096
"""Space for thinking where the parameters switch it on and name no number."""
_OFF = (None, False, "none", "off", "disable", "disabled")
_ANTHROPIC_ON = ("enabled", "adaptive")
_BY_DEFAULT = (
    "o1", "o3", "o4", "gpt-5", "gpt-oss", "gemini-2.5-pro", "gemini-2.5-flash", "gemini-3", "deepseek-r1", "deepseek-reasoner",
    "grok-3-mini", "grok-4", "qwen3", "qwq", "magistral", "glm-4.5", "glm-4.6", "kimi-k2-thinking", "minimax-m1", "minimax-m2",
)  # fmt: skip
"""Names, or their beginnings, of models that reason unless a request says otherwise."""
_NOT_BY_DEFAULT = re.compile(r"gpt-5\.|chat|flash-lite|instruct|non-reasoning|embedding|image")
"""What is in the names of their relatives that answer at once."""
_SWITCHES = frozenset(
    (
        "reasoning_effort",
        "reasoning",
        "thinking",
        "enable_thinking",
        "thinking_budget",
        "chat_template_kwargs",
        "google",
    )
)


def thinking_tokens(parameters: Mapping[str, Any]) -> int:
    """Tokens that thinking may take before the answer; 0 where the parameters do not switch it on."""
    flat = without_extra_body(parameters)
    template = _mapping(flat.get("chat_template_kwargs"))
    switches = [
        flat.get("reasoning_effort"),
        flat.get("enable_thinking"),
        template.get("enable_thinking"),
        template.get("thinking"),
        *_switches(flat.get("thinking"), ("type",)),
        *_switches(flat.get("reasoning"), ("effort", "enabled", "max_tokens")),
    ]
    if all(switch in _OFF for switch in switches):
        return 0
    budgets = (budget_tokens(flat), _mapping(flat.get("reasoning")).get("max_tokens"), flat.get("thinking_budget"))
    return max((each for each in budgets if type(each) is int and each > 0), default=THINKING_TOKENS)


def reasons_by_default(model: str, parameters: Mapping[str, Any]) -> bool:
    """Whether a model is known to reason, by its name, and the parameters leave open how much."""
    name = model.rpartition("/")[2].lower()
    known = any(re.match(rf"{re.escape(each)}(?![0-9])", name) for each in _BY_DEFAULT)
    return known and not _NOT_BY_DEFAULT.search(name) and _SWITCHES.isdisjoint(without_extra_body(parameters))


def budget_tokens(parameters: Mapping[str, Any]) -> int:
    """Anthropic's `thinking.budget_tokens`, which have to be fewer than the limit of the reply; 0 where there are none."""
    found = _mapping(without_extra_body(parameters).get("thinking")).get("budget_tokens")
    return found if type(found) is int and found > 0 else 0


def refuses_temperature(parameters: Mapping[str, Any]) -> bool:
    """Whether Anthropic's thinking is on, with which a temperature is refused."""
    return _mapping(without_extra_body(parameters).get("thinking")).get("type") in _ANTHROPIC_ON


def without_extra_body(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with those of `extra_body` among them, as the body of a request has them."""
    return {name: value for name, value in parameters.items() if name != "extra_body"} | {
        **_mapping(parameters.get("extra_body"))
    }


def _switches(value: Any, keys: tuple[str, ...]) -> list[Any]:
    return [value[key] for key in keys if key in value] if isinstance(value, Mapping) else []


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
