"""The JSON Schema (draft-07) of `results.json`: the keys that other programs may rely on."""

from __future__ import annotations

from typing import Any

_COUNT = {"type": "integer", "minimum": 0}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_STATE = {"enum": ["pass", "warn", "fail", "error"]}
_TEXT = {"type": "string"}
_LIMIT = {"type": ["integer", "string", "null"]}
_SIGNED = {"type": ["number", "null"]}
_NUMBER = {"type": "number"}
_AMOUNT = {"type": "number", "minimum": 0}
_LIMIT_WORDS = {"type": ["string", "null"]}


def _object(required: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {**required, **more}, "required": list(required)}


def _map(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": of}


def _list(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of}


def _or_null(of: dict[str, Any]) -> dict[str, Any]:
    return {**of, "type": [of["type"], "null"]}


def _training() -> dict[str, Any]:
    """What training came to; its numbers are there where it is done."""
    held_out = _object({"dataset": _TEXT, "rows": _COUNT, "before": _SIGNED, "after": _SIGNED})
    point = _object({"step": _COUNT, "loss": _SIGNED}, learning_rate=_SIGNED, gradient_norm=_SIGNED)
    many, amount = _or_null(_COUNT), _or_null(_AMOUNT)
    numbers = {
        "rows": many, "tokens": many, "steps": many, "seconds": amount, "tokens_per_second": amount, "mfu": amount,
        "loss_first": _SIGNED, "loss_last": _SIGNED, "cost_usd": amount,
    }  # fmt: skip
    training = _object(
        {
            "state": {"enum": ["done", "written", "waiting"]},
            "why": _TEXT,
            "base_model": _TEXT,
            "method": {"enum": ["full", "lora", "qlora"]},
            "precision": {"enum": ["bf16", "fp32"]},
            "epochs": _COUNT,
            "batch_size": _COUNT,
            "learning_rate": _AMOUNT,
            "max_length": _COUNT,
            "loss_on": {"enum": ["response", "all"]},
            "prompt": {"enum": ["alpaca", "chat"]},
        },
        **numbers, rows_truncated=many, rows_dropped=many, rows_held_out=many, loss_tokens=many, processes=many, device=_or_null(_TEXT),
        memory_bytes=many, held_out=_or_null(held_out), curve=_or_null(_list(point)), model=_or_null(_TEXT),
    )  # fmt: skip
    done = {"properties": {"state": {"const": "done"}}}
    counted = {"properties": {"rows": _COUNT, "tokens": _COUNT, "steps": _COUNT}, "required": list(numbers)}
    return {**training, "if": done, "then": counted}


def results_schema() -> dict[str, Any]:
    """The schema of `results.json`. More keys may stand beside those named."""
    fates = _map(_COUNT)
    category = _object(
        {"rows": _COUNT, "keep_rate": _SHARE, "below_threshold": _COUNT, "shortfall": _COUNT},
        share=_SHARE, eligible=_COUNT, at_threshold=_COUNT, fates=fates,
    )  # fmt: skip
    quota = _object(
        {
            "category": _TEXT,
            "limit": _TEXT,
            "wanted": _COUNT,
            "rows": _COUNT,
            "shortfall": _COUNT,
            "state": _STATE,
        }
    )
    dataset = _object(
        {"rows": _COUNT, "keep_rate": _SHARE, "categories": _map(category)},
        eligible=_COUNT, at_threshold=_COUNT, below_threshold=_COUNT, shortfall=_COUNT, fates=fates, quotas=_list(quota),
    )  # fmt: skip
    check = _object(
        {"check": _TEXT, "value": _SIGNED, "warn": _LIMIT_WORDS, "fail": _LIMIT_WORDS, "state": _STATE, "text": _TEXT}
    )
    cell = _object({"score": _NUMBER, "other": _NUMBER, "rows": _COUNT})
    agreement = _object(
        {
            "with": _TEXT,
            "rows": _COUNT,
            "this_only": _COUNT,
            "other_only": _COUNT,
            "spearman": _SIGNED,
            "kappa": _SIGNED,
        },
        confusion=_list(cell),
    )
    cascade = _object(
        {"first": _TEXT, "asked": _COUNT, "taken_over": _COUNT, "saved_calls": _COUNT, "saved_usd": _SIGNED}
    )
    grader = _object({
        "rows": _COUNT, "scored": _COUNT, "unscored": _COUNT, "calls_made": _COUNT, "calls_reused": _COUNT,
        "input_tokens": _COUNT, "output_tokens": _COUNT, "cost_usd": _AMOUNT, "bought_usd": _AMOUNT,
        "calls_per_second": _AMOUNT, "taken_over": _COUNT, "health": _list(check),
        "histogram": _list(_object({"score": _SIGNED, "rows": _COUNT})),
    }, dimension=_TEXT, source=_TEXT, models=_list(_TEXT), unscored_reasons=_map(_COUNT),
        agreement=_or_null(agreement), cascade=_or_null(cascade))  # fmt: skip
    rule = _object({"id": _TEXT, "state": _STATE, "failing_rows": _COUNT, "warn": _LIMIT, "fail": _LIMIT})
    counted = _object({"rows": _COUNT, "keyword_hits": _COUNT, "keywords": _map(_COUNT)})
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "alpaqual results",
        **_object(
            {
                "version": {"const": 1},
                "verdict": _STATE,
                "recipe": _object({"name": _TEXT, "title": _TEXT, "file": _TEXT}),
                "reasons": _list(_object({"state": _STATE, "text": _TEXT, "place": _TEXT})),
                "source": _object({"rows": _COUNT}, quarantined=_COUNT),
                "datasets": _map(dataset),
            },
            rules=_list(rule),
            categories=_map(counted),
            graders=_map(grader),
            training=_map(_training()),
            expectations=_list(_object({"text": _TEXT, "state": _STATE, "value": {}})),
        ),
    }
