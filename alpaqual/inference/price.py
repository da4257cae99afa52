"""Prices of tokens: the recipe's, else those of the genai-prices package."""

from __future__ import annotations

from dataclasses import dataclass

BATCH_DISCOUNT = 0.5
"""Factor on the price of requests in batches, at both providers."""


@dataclass(frozen=True)
class Price:
    """US dollars per million input tokens and per million output tokens; `source` is where they are from."""

    input: float
    output: float
    source: str

    def of(self, input_tokens: float, output_tokens: float) -> float:
        """The price of these tokens, in US dollars."""
        return (input_tokens * self.input + output_tokens * self.output) / 1e6

    def discounted(self, factor: float) -> Price:
        """The price multiplied by a factor."""
        return Price(self.input * factor, self.output * factor, self.source)


FREE = Price(0.0, 0.0, "nothing to pay")


def listed_price(provider: str, model: str) -> Price | None:
    """The price of a provider's model in the genai-prices package; None where it has none."""
    import genai_prices

    # A thousand tokens: some prices rise for prompts of hundreds of thousands, which are not sent here.
    usage = genai_prices.Usage(input_tokens=1000, output_tokens=1000)
    try:
        found = genai_prices.calc_price(usage, model, provider_id=provider)
    except LookupError:
        return None
    source = f"genai-prices {genai_prices.__version__}"
    return Price(float(found.input_price) * 1000, float(found.output_price) * 1000, source)
