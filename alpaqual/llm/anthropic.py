"""Models of Anthropic."""

from __future__ import annotations

import json
import os
from typing import Any

from alpaqual.errors import Fault, FaultKind, MachineError
from alpaqual.llm._faults import fault_of_status
from alpaqual.values import Endpoint, Reply, Request

KEY = "ANTHROPIC_API_KEY"
_REPLY_TOKENS = 1024
"""The API asks for a limit; without one in the request this is it."""


class Plugin:
    """Messages through the anthropic package. The key is read from ANTHROPIC_API_KEY; a server of one's own may need none."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Raises MachineError where the key is missing."""
        import anthropic

        key = os.environ.get(KEY)
        if not key and endpoint.base_url is None:
            raise MachineError(f"{endpoint.provider}/{endpoint.model} needs a key: export {KEY}=…")
        self.endpoint = endpoint
        self.errors = anthropic
        # Retries are decided for all requests together, not by each for itself.
        self.client = anthropic.AsyncAnthropic(
            api_key=key or "none", base_url=endpoint.base_url, timeout=endpoint.timeout, max_retries=0
        )

    async def complete(self, request: Request) -> Reply:
        """The texts of a message."""
        try:
            answer = await self.client.messages.create(**self.words(request))
        except Exception as error:
            raise self.fault(error) from None
        return self.reply(answer)

    def words(self, request: Request) -> dict[str, Any]:
        """The body of a message."""
        parameters = request.parameters
        body: dict[str, Any] = {
            "model": self.endpoint.model,
            "max_tokens": parameters.get("max_tokens") or _REPLY_TOKENS,
            "messages": [{"role": role, "content": text} for role, text in request.messages if role != "system"],
        }
        system = "\n\n".join(text for role, text in request.messages if role == "system")
        if system:
            body["system"] = system
        if parameters.get("temperature") is not None:
            # Not every version of the package has a word for it; the API does.
            body["extra_body"] = {"temperature": parameters["temperature"]}
        if "schema" in parameters:
            body["output_config"] = {"format": {"type": "json_schema", "schema": parameters["schema"]}}
        return body

    def reply(self, answer: Any) -> Reply:
        """Raises Fault where what came is no message."""
        blocks = getattr(answer, "content", None)
        if not isinstance(blocks, list):
            raise Fault(FaultKind.TRANSIENT, "broken reply", "no content in the message")
        text = "".join(block.text for block in blocks if getattr(block, "type", "") == "text")
        usage = getattr(answer, "usage", None)
        tokens = (usage.input_tokens, usage.output_tokens) if usage else (None, None)
        return Reply(text, f"{self.endpoint.provider}/{getattr(answer, 'model', None) or self.endpoint.model}", *tokens)

    def fault(self, error: Exception) -> Exception:
        """What an error of the package means; an error that is none of its own stays what it is."""
        anthropic = self.errors
        if isinstance(error, anthropic.APIStatusError):
            return fault_of_status(error.status_code, error.body, error.response.headers)
        if isinstance(error, anthropic.APITimeoutError):
            return Fault(FaultKind.TRANSIENT, "timeout", f"nothing within {self.endpoint.timeout:g} s")
        if isinstance(error, anthropic.APIConnectionError):
            return Fault(FaultKind.TRANSIENT, "no connection", f"{self.client.base_url}: {error.__cause__ or error}")
        if isinstance(error, json.JSONDecodeError | anthropic.APIError | UnicodeDecodeError):
            return Fault(FaultKind.TRANSIENT, "broken reply", " ".join(str(error).split())[:300])
        return error

    async def close(self) -> None:
        """Close the connections."""
        await self.client.close()
