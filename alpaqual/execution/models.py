"""Opens what the settings of a model name: its plug-in, ledger, rate limits, price and budget."""

from __future__ import annotations

import json
import math
from pathlib import Path

from alpaqual.contracts import Model
from alpaqual.errors import MachineError, RecipeError
from alpaqual.execution.options import RunOptions
from alpaqual.inference.budget import Budget
from alpaqual.inference.client import InferenceClient
from alpaqual.inference.limit import Limit, SharedLimit, Spending
from alpaqual.inference.price import FREE, UNKNOWN, Price, listed_price
from alpaqual.inference.rate_limiter import RateLimiter, RateLimits
from alpaqual.recipe.model_settings import ModelSettings
from alpaqual.recipe.recipe import Recipe
from alpaqual.recipe.yaml_nodes import Path as Place
from alpaqual.registry import find
from alpaqual.store.ledger import Ledger, Recording
from alpaqual.store.refused import REFUSED, RefusedFile
from alpaqual.values import Endpoint, Reply, Request

_LOCAL_QUEUE = 4
"""Requests in flight per request that a local model computes at once: it sorts the queue by length before it forms a batch."""


class UnavailableModel:
    """A model that this machine cannot open; raises on any request that misses the ledger."""

    BATCH_REQUESTS = 0
    PROBABILITIES = STRUCTURED = LOCAL = FREE = RECORDED = False

    def __init__(self, error: MachineError) -> None:
        self.error = error

    async def complete(self, request: Request) -> Reply:
        """Raises MachineError."""
        raise self.error

    async def alive(self) -> bool:
        """Always: there is no server."""
        return True

    async def close(self) -> None:
        """Nothing is open."""


def open_client(
    settings: ModelSettings,
    recipe: Recipe,
    place: Place,
    options: RunOptions,
    ledger: Ledger,
    spending: Spending | None = None,
) -> InferenceClient:
    """A client for the model at `place` of the recipe; its `model` has to be closed.

    `spending` is what the processes of the project spend together; without it, `budget_usd` knows of this process alone. Where this machine lacks what the model needs, only requests that miss the ledger raise MachineError. Raises RecipeError
    where a limit of money needs a price that is unknown.
    """
    budget = budget_of(settings, recipe, place, options.max_cost, spending)
    try:
        model = open_model(settings, recipe.folder, offline=options.offline)
    except MachineError as error:
        model = UnavailableModel(error)
    if not settings.live:
        ledger = Recording(recipe.folder / settings.model_name)
    offline = options.offline and settings.live
    refused = None
    if settings.live and not settings.plugin.LOCAL:
        refused = RefusedFile(ledger.path / REFUSED, _destination(settings))
    limiter = RateLimiter(rate_limits(settings))
    return InferenceClient(model, ledger, limiter, budget, offline=offline, refused=refused)


def _destination(settings: ModelSettings) -> str | None:
    """The address of a model, and the settings besides the ledger's key that a refusal may be about; None for the provider's own."""
    more = [settings.token_limit, sorted(settings.headers.items())] if settings.token_limit or settings.headers else []
    return " ".join([settings.base_url or "", json.dumps(more)]).strip() if more else settings.base_url


def open_model(settings: ModelSettings, folder: Path, *, offline: bool = False) -> Model:
    """The provider's plug-in; offline, a model without replies of its own, so that only the ledger answers.

    Raises MachineError where this machine lacks what the model needs.
    """
    endpoint = Endpoint(
        settings.provider,
        settings.model_name,
        base_url=settings.base_url,
        timeout=settings.timeout_seconds,
        folder=str(folder),
        batch=settings.concurrency,
        headers=tuple(settings.headers.items()),
        token_limit=settings.token_limit,
    )
    opened: Model = (find("llm", "recorded") if offline else settings.plugin)(endpoint)
    return opened


def rate_limits(settings: ModelSettings) -> RateLimits:
    """The rate limits of a model; recorded replies have none per minute."""
    if not settings.live:
        return RateLimits(settings.concurrency)
    concurrency = settings.concurrency * (_LOCAL_QUEUE if settings.plugin.LOCAL else 1)
    return RateLimits(concurrency, settings.requests_per_minute, settings.tokens_per_minute, settings.patience_seconds)


def price_of(settings: ModelSettings) -> Price | None:
    """The price of a model, from the recipe or the list of prices; None where it is unknown."""
    if (price := settings.price) is not None:
        return Price(price.input, price.output, "the recipe", price.cache_read, price.cache_write)
    return FREE if settings.plugin.FREE else listed_price(settings.provider, settings.model_name)


def budget_of(
    settings: ModelSettings, recipe: Recipe, place: Place, max_cost: Limit | None, spending: Spending | None = None
) -> Budget:
    """The budget of a model: its own limit first, then that of the run.

    Raises RecipeError where there is a limit and no price.
    """
    if not settings.live:
        return Budget(FREE, [])
    limits: list[Limit] = []
    name = f"budget_usd of {place[-1]}"
    if settings.budget_usd is not None and spending is None:
        limits.append(Limit(name, settings.budget_usd, includes_reused=True))
    elif spending is not None:
        limits.append(SharedLimit(name, math.inf if settings.budget_usd is None else settings.budget_usd, spending))
    limits += [] if max_cost is None else [max_cost]
    price = price_of(settings)
    limited = [limit for limit in limits if math.isfinite(limit.usd)]
    if price is None and limited:
        message = (
            f"{limited[0].name} needs a price, and none is listed for {settings.model}; write 'price: {{input: …, output: …}}' "
            "in US dollars per million tokens, or 'price: {input: 0, output: 0}' for a server of your own"
        )
        raise RecipeError([recipe.problem((*place, "model"), message)])
    return Budget(price or UNKNOWN, limits)
