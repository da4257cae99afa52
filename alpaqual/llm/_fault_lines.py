"""The table that decides what an error of a provider or a gateway means: first by status, then by code, then by words.

The first line that fits an error decides. An error belongs to
    a row (REQUEST)                  too long, or stopped by a content filter;
    the settings (REFUSED)           whatever a server refuses without a known reason;
    the provider's state (DENIED)    key, model, address, budget of a gateway; FATAL where no single row can be the cause;
    time (THROTTLED, TRANSIENT)      rate limits, overload, server errors.
What came before decides about REFUSED and DENIED: see `alpaqual.inference.refusals`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from alpaqual.errors import FaultKind

NO_STATUS = 0
"""Status of an error in a reply with status 200 that names none."""
NOT_FOUND = "the model or the address does not exist"
KEY_REFUSED = "the key is refused"
NO_MONEY = "no money is left with the provider"
REFUSED = "refused by the server ({status})"
NO_BACKEND = "no connection behind the gateway"
"""The gateway answers, its health check too, and the server behind it does not."""
_CLIENT = (400, 401, 403, 404, 422, NO_STATUS)
_ROW = (400, 403, 413, 422, 500, NO_STATUS)


@dataclass(frozen=True)
class Line:
    """One line of the table. It fits where the status does, and a code is equal or words are in the message (lower case).

    Without `statuses` every status fits; without `codes` and `words` the status decides alone.
    """

    kind: FaultKind
    reason: str
    statuses: Collection[int] = ()
    codes: Collection[str] = ()
    words: Collection[str] = ()

    def fits(self, status: int, codes: Collection[str], message: str) -> bool:
        """Whether an error fits; codes and message are in lower case."""
        if self.statuses and status not in self.statuses:
            return False
        if not self.codes and not self.words:
            return True
        return any(code in self.codes for code in codes) or any(words in message for words in self.words)


LINES: tuple[Line, ...] = (
    # The provider's state, for certain.
    Line(FaultKind.FATAL, NO_MONEY, (402,)),
    # DashScope's rate limit has OpenAI's code of an account without money.
    Line(FaultKind.THROTTLED, "rate limit", (429,), words=("allocated quota exceeded", "throttling.")),
    Line(FaultKind.FATAL, NO_MONEY, (429,), ("insufficient_quota",), ("insufficient_quota",)),
    # A limit of the reply that the model does not have is a setting, though its message names tokens.
    Line(
        FaultKind.REFUSED,
        REFUSED,
        (400, 422),
        words=(
            "max_tokens is too large",
            "max_completion_tokens is too large",
            "maximum allowed number of output tokens",
        ),
    ),
    # Rows that are too long.
    Line(
        FaultKind.REQUEST,
        REFUSED,
        _ROW,
        (
            "context_length_exceeded",
            "exceed_context_size_error",
            "string_above_max_length",
            "request_too_large",
            "tokens_limit_reached",
        ),
        ("available context size", "contextwindowexceeded"),
    ),
    Line(
        FaultKind.REQUEST,
        REFUSED,
        (400, 403, 422, NO_STATUS),
        words=(
            "context_length",
            "context length",
            "context_size",
            "context size",
            "context limit",
            "context window",
            "string_above_max",
            "prompt is too long",
            "too large",
            "input token count",
            "range of input length",
            "exceeds the maximum number of tokens",
        ),
    ),
    Line(FaultKind.REQUEST, REFUSED, (413,)),
    # More tokens than the limit per minute: a retry does not help.
    Line(FaultKind.REQUEST, REFUSED, (429,), words=("request too large",)),
    # Rows that a content filter stops.
    Line(
        FaultKind.REQUEST,
        REFUSED,
        _ROW,
        (
            "content_filter",
            "content_policy_violation",
            "contentpolicyviolationerror",
            "responsibleaipolicyviolation",
            "data_inspection_failed",
            "datainspectionfailed",
            "invalid_prompt",
            "prohibited_content",
        ),
        ("data_inspection_failed", "datainspectionfailed", "contentpolicyviolation"),
    ),
    Line(
        FaultKind.REQUEST,
        REFUSED,
        (400, 403, 422, NO_STATUS),
        words=(
            "content_filter",
            "content filter",
            "content_policy",
            "content policy",
            "content management policy",
            "content exists risk",
            "inappropriate content",
            "input was flagged",
            "safety system",
            "invalid_prompt",
        ),
    ),
    # The provider's state: money, key, account. A 400 may quote the row, so that one alone is no proof.
    Line(
        FaultKind.DENIED,
        NO_MONEY,
        _CLIENT,
        ("budget_exceeded", "arrearage", "billing_hard_limit_reached", "billing_error", "insufficient_quota"),
        (
            "budget has been exceeded",
            "exceededbudget",
            "over budget",
            "credit balance is too low",
            "insufficient balance",
            "insufficient credits",
            "specified api usage limits",
            "billing_hard_limit_reached",
            "key limit exceeded",
        ),
    ),
    Line(
        FaultKind.DENIED,
        KEY_REFUSED,
        _CLIENT,
        (
            "no_db_connection",
            "api_key_invalid",
            "invalid_api_key",
            "invalidapikey",
            "authentication_error",
            "auth_error",
            "token_not_found_in_db",
            "expired_key",
            "permission_error",
            "permission_denied",
            "unauthenticated",
        ),
        (
            "no connected db",
            "api key not valid",
            "api key not found",
            "api key expired",
            "invalid api key",
            "incorrect api key",
            "authentication error",
            "authentication fails",
            "organization has been disabled",
            "user location is not supported",
        ),
    ),
    Line(FaultKind.DENIED, NOT_FOUND, _CLIENT, ("model_not_found",), ("invalid model name passed",)),
    Line(FaultKind.DENIED, KEY_REFUSED, (401, 403)),
    Line(FaultKind.DENIED, NOT_FOUND, (404,)),
    # Time.
    Line(FaultKind.THROTTLED, "rate limit", (429,)),
    Line(FaultKind.THROTTLED, "overloaded", (529,)),
    Line(
        FaultKind.TRANSIENT,
        NO_BACKEND,
        (500, 502, 503),
        words=(
            "connection error",
            "connection refused",
            "cannot connect to host",
            "connect call failed",
            "connection attempts failed",
            "upstream connect error",
            "no healthy upstream",
        ),
    ),
    Line(FaultKind.TRANSIENT, "server error {status}", (408, 409, 425, *range(500, 600))),
    Line(FaultKind.TRANSIENT, "an error instead of a reply", (NO_STATUS,)),
    # The settings, or a row.
    Line(FaultKind.REFUSED, REFUSED),
)

STATUSES = {
    "invalid_request_error": 400,
    "invalid_argument": 400,
    "failed_precondition": 400,
    "badrequesterror": 400,
    "exceed_context_size_error": 400,
    "budget_exceeded": 400,
    "authentication_error": 401,
    "authenticationerror": 401,
    "unauthenticated": 401,
    "invalid_api_key": 401,
    "invalidapikey": 401,
    "billing_error": 402,
    "permission_error": 403,
    "permission_denied": 403,
    "not_found_error": 404,
    "notfounderror": 404,
    "not_found": 404,
    "model_not_found": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "resource_exhausted": 429,
    "insufficient_quota": 429,
    "throttling": 429,
    "server_error": 500,
    "internal": 500,
    "api_error": 500,
    "internal_server_error": 500,
    "insufficient_system_resource": 503,
    "unavailable": 503,
    "unavailable_error": 503,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The status of an error that has a code or a type and no status: in batches, and in replies with status 200."""


UNFINISHED = {
    "content_filter": (FaultKind.REQUEST, "content filter"),
    "content-filter": (FaultKind.REQUEST, "content filter"),
    "sensitive": (FaultKind.REQUEST, "content filter"),
    "safety": (FaultKind.REQUEST, "content filter"),
    "prohibited_content": (FaultKind.REQUEST, "content filter"),
    "refusal": (FaultKind.REQUEST, "refusal"),
    "insufficient_system_resource": (FaultKind.TRANSIENT, "overloaded"),
    "error": (FaultKind.TRANSIENT, "an error instead of a reply"),
}
"""Why a reply with status 200 ended without being one, by the start of its finish or stop reason in lower case."""


def line_of(status: int, codes: Collection[str], message: str) -> Line:
    """The first line that fits an error; codes and message are in lower case."""
    return next(line for line in LINES if line.fits(status, codes, message))
