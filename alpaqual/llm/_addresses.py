"""Takes a `base_url` apart: its query, an operation at the end of its path, and what Azure adds to both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from alpaqual.values import Endpoint

RESPONSES = "/responses"
_OPERATIONS = ("/chat/completions", RESPONSES, "/v1/messages")
"""Ends of addresses as portals show them; the packages add them to each request."""
_VERSION = "api-version"
_DEPLOYMENTS = "/openai/deployments/"


@dataclass(frozen=True)
class Address:
    """The address of a server without query and operation. `operation` is what its path ended with, "" mostly."""

    url: str
    query: tuple[tuple[str, str], ...] = ()
    operation: str = ""

    @property
    def azure(self) -> bool:
        """Whether the address is Azure's, or that of a gateway in front of it."""
        return _VERSION in dict(self.query) or self.of_azure

    @property
    def of_azure(self) -> bool:
        """Whether the address is Azure's own, which answers no request without a key."""
        return (urlsplit(self.url).hostname or "").endswith(".azure.com")

    @property
    def version(self) -> str:
        """The version of Azure's API, where the path names a deployment or the package has to; "" elsewhere."""
        return "" if self.url.endswith("/v1") else dict(self.query).get(_VERSION, "")


def openai_advice(address: Address) -> str:
    """What to change about an address without OpenAI's API: most servers have it under /v1."""
    return "" if urlsplit(address.url).path.strip("/") else f"end base_url in /v1, as in {address.url.rstrip('/')}/v1"


def anthropic_advice(address: Address) -> str:
    """What to change about an address without Anthropic's API, which the package looks for under /v1 by itself."""
    if not address.url.endswith("/v1"):
        return ""
    return f"leave /v1 out of base_url, as in {address.url.removesuffix('/v1')}: it is added"


def address_of(text: str) -> Address:
    """The parts of a `base_url`."""
    parts = urlsplit(text)
    path = parts.path.rstrip("/")
    operation = next((each for each in _OPERATIONS if path.endswith(each)), "")
    url = urlunsplit((parts.scheme, parts.netloc, path.removesuffix(operation), "", ""))
    return Address(url, tuple(parse_qsl(parts.query, keep_blank_values=True)), operation)


def openai_client(package: Any, address: Address, key: str, endpoint: Endpoint) -> Any:
    """The client of the openai package: for an address with `?api-version=`, the one for Azure, which sends `api-key`."""
    query = dict(address.query)
    options = {
        "api_key": key,
        "timeout": endpoint.timeout,
        # The inference client retries, since a rate limit concerns all requests.
        "max_retries": 0,
        "default_headers": dict(endpoint.headers) or None,
    }
    if not address.version:
        return package.AsyncOpenAI(base_url=address.url, default_query=query or None, **options)
    # The package adds the deployment to the path, named as the model where the address names none.
    resource, _, deployment = address.url.partition(_DEPLOYMENTS)
    return package.AsyncAzureOpenAI(
        azure_endpoint=resource.removesuffix("/openai"),
        azure_deployment=deployment or None,
        api_version=query.pop(_VERSION),
        default_query=query or None,
        **options,
    )
