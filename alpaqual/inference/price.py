"""What tokens cost: as the recipe states it, else as a maintained list of prices has it."""

from __future__ import annotations

from dataclasses import dataclass


def dollars(usd: float) -> str:
    """US dollars for a person: cents where there are dollars, enough digits where there are none."""
    return f"${usd:,.2f}" if usd >= 1 or usd == 0 else f"${usd:.3g}"


BATCH_DISCOUNT = 0.5
"""Both providers' batch APIs cost half."""


@dataclass(frozen=True)
class Price:
    """US dollars for a million input tokens and a million output tokens. `source` says where they come from."""

    input: float
    output: float
    source: str

    def of(self, input_tokens: float, output_tokens: float) -> float:
        """US dollars for so many tokens."""
        return (input_tokens * self.input + output_tokens * self.output) / 1e6

    def discounted(self, factor: float) -> Price:
        """The same tokens at a share of the price."""
        return Price(self.input * factor, self.output * factor, self.source)


FREE = Price(0.0, 0.0, "nothing to pay")


def listed_price(provider: str, model: str) -> Price | None:
    """The price of a model in the genai-prices package, of this provider or any; None where it has none."""
    import genai_prices

    # A thousand tokens: some prices rise for prompts of hundreds of thousands, which graders do not send.
    usage = genai_prices.Usage(input_tokens=1000, output_tokens=1000)
    try:
        found = genai_prices.calc_price(usage, model, provider_id=provider)
    except LookupError:
        return None
    source = f"genai-prices {genai_prices.__version__}"
    return Price(float(found.input_price) * 1000, float(found.output_price) * 1000, source)
