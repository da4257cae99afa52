"""Prices of tokens: the recipe's, else those of the genai-prices package."""

from __future__ import annotations

from dataclasses import dataclass, replace

from alpaqual.values import CacheTokens

BATCH_DISCOUNT = 0.5
"""Factor on the price of requests in batches, at both providers."""
_CACHE_WRITE = 1.25
"""Price of a token that a cache takes in, in input tokens, where no price is known: that of Anthropic; OpenAI asks nothing more."""
_HOUR = 1.6
"""Price of a token that a cache keeps for an hour, relative to one that it keeps for five minutes."""


@dataclass(frozen=True)
class Price:
    """US dollars per million input tokens and per million output tokens; `source` is where they are from.

    `cache_read` and `cache_write` are those of input tokens that a provider's cache gives and takes in; None where they are not
    known: reads then cost what other input tokens do. `known` is False where no price is known.
    """

    input: float
    output: float
    source: str
    cache_read: float | None = None
    cache_write: float | None = None
    known: bool = True

    def of(self, input_tokens: float, output_tokens: float, cache: CacheTokens | None = None) -> float:
        """The price of these tokens, in US dollars; `cache` says which of the input tokens concern a cache."""
        usd = (input_tokens * self.input + output_tokens * self.output) / 1e6
        return usd if cache is None else usd - self.saved(cache)

    def saved(self, cache: CacheTokens) -> float:
        """US dollars that a cache saved, by the price of input tokens; below 0 where it cost more."""
        read = self.input if self.cache_read is None else self.cache_read
        written = self.input * _CACHE_WRITE if self.cache_write is None else self.cache_write
        writes = written * (cache.written + (_HOUR - 1) * cache.written_1h)
        return (self.input * (cache.read + cache.written) - read * cache.read - writes) / 1e6

    def discounted(self, factor: float) -> Price:
        """The price multiplied by a factor."""
        return replace(
            self,
            input=self.input * factor,
            output=self.output * factor,
            cache_read=None if self.cache_read is None else self.cache_read * factor,
            cache_write=None if self.cache_write is None else self.cache_write * factor,
        )


FREE = Price(0.0, 0.0, "nothing to pay")
UNKNOWN = Price(0.0, 0.0, "no price is known", known=False)


def listed_price(provider: str, model: str) -> Price | None:
    """The price of a provider's model in the genai-prices package; None where it has none."""
    import genai_prices

    def million(**tokens: int) -> tuple[float, float]:
        # A thousand tokens: some prices rise for prompts of hundreds of thousands, which are not sent here.
        found = genai_prices.calc_price(genai_prices.Usage(**tokens), model, provider_id=provider)
        return float(found.input_price) * 1000, float(found.output_price) * 1000

    try:
        read_in, written_out = million(input_tokens=1000, output_tokens=1000)
        read, _ = million(input_tokens=1000, cache_read_tokens=1000)
        written, _ = million(input_tokens=1000, cache_write_tokens=1000)
    except LookupError:
        return None
    return Price(read_in, written_out, f"genai-prices {genai_prices.__version__}", read, written)
