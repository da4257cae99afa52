"""Models of OpenAI, and of every server that speaks its chat completions (vLLM, llama.cpp, Ollama, …)."""

from __future__ import annotations

import json
import os
from typing import Any

from alpaqual.errors import Fault, FaultKind, MachineError
from alpaqual.llm._faults import fault_of_status
from alpaqual.values import Endpoint, Reply, Request

KEY = "OPENAI_API_KEY"


class Plugin:
    """Chat completions through the openai package. The key is read from OPENAI_API_KEY; a server of one's own may need none."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Raises MachineError where the key is missing."""
        import openai

        key = os.environ.get(KEY)
        if not key and endpoint.base_url is None:
            raise MachineError(f"{endpoint.provider}/{endpoint.model} needs a key: export {KEY}=…")
        self.endpoint = endpoint
        self.errors = openai
        # Retries are decided for all requests together, not by each for itself.
        self.client = openai.AsyncOpenAI(
            api_key=key or "none", base_url=endpoint.base_url, timeout=endpoint.timeout, max_retries=0
        )

    async def complete(self, request: Request) -> Reply:
        """The first choice of a chat completion."""
        try:
            answer = await self.client.chat.completions.create(**self.words(request))
        except Exception as error:
            raise self.fault(error) from None
        return self.reply(answer)

    def words(self, request: Request) -> dict[str, Any]:
        """The body of a chat completion."""
        parameters = dict(request.parameters)
        body: dict[str, Any] = {
            "model": self.endpoint.model,
            "messages": [{"role": role, "content": text} for role, text in request.messages],
        }
        if parameters.get("temperature") is not None:
            body["temperature"] = parameters["temperature"]
        if parameters.get("max_tokens") is not None:
            # OpenAI's newer models refuse the old name, other servers may not know the new one.
            new = self.endpoint.base_url is None
            body["max_completion_tokens" if new else "max_tokens"] = parameters["max_tokens"]
        if "schema" in parameters:
            schema = {"name": "score", "strict": True, "schema": parameters["schema"]}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    def reply(self, answer: Any) -> Reply:
        """Raises Fault where what came is no completion."""
        choice = (getattr(answer, "choices", None) or [None])[0]
        message = getattr(choice, "message", None)
        if message is None:
            raise Fault(FaultKind.TRANSIENT, "broken reply", "no choice in the completion")
        text = message.content or getattr(message, "refusal", None) or ""
        usage = getattr(answer, "usage", None)
        tokens = (usage.prompt_tokens, usage.completion_tokens) if usage else (None, None)
        return Reply(text, f"{self.endpoint.provider}/{getattr(answer, 'model', None) or self.endpoint.model}", *tokens)

    def fault(self, error: Exception) -> Exception:
        """What an error of the package means; an error that is none of its own stays what it is."""
        openai = self.errors
        if isinstance(error, openai.APIStatusError):
            return fault_of_status(error.status_code, error.body, error.response.headers)
        if isinstance(error, openai.APITimeoutError):
            return Fault(FaultKind.TRANSIENT, "timeout", f"nothing within {self.endpoint.timeout:g} s")
        if isinstance(error, openai.APIConnectionError):
            return Fault(FaultKind.TRANSIENT, "no connection", f"{self.client.base_url}: {error.__cause__ or error}")
        if isinstance(error, json.JSONDecodeError | openai.APIError | UnicodeDecodeError):
            return Fault(FaultKind.TRANSIENT, "broken reply", " ".join(str(error).split())[:300])
        return error

    async def close(self) -> None:
        """Close the connections."""
        await self.client.close()
