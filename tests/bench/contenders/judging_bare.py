"""The openai package alone: the Vicuna prompt about every item in both orders, CONCURRENCY requests in flight. No ledger, no retries.

python tests/bench/contenders/judging_bare.py ITEMS.jsonl OUT.jsonl URL CONCURRENCY
"""

import asyncio
import json
import sys
from pathlib import Path

import openai

SYSTEM = "You are a helpful and precise assistant for checking the quality of the answer."
USER = (
    "[Question]\n{}\n\n[The Start of Assistant 1's Answer]\n{}\n\n[The End of Assistant 1's Answer]\n\n"
    "[The Start of Assistant 2's Answer]\n{}\n\n[The End of Assistant 2's Answer]\n\n[System]\nWe would like to request your "
    "feedback on the performance of two AI assistants in response to the user question displayed above.\nPlease rate the "
    "helpfulness, relevance, accuracy, level of details of their responses. Each assistant receives an overall score on a scale of "
    "1 to 10, where a higher score indicates better overall performance.\nPlease first output a single line containing only two "
    "values indicating the scores for Assistant 1 and 2, respectively. The two scores are separated by a space. In the subsequent "
    "line, please provide a comprehensive explanation of your evaluation, avoiding any potential bias and ensuring that the order "
    "in which the responses were presented does not affect your judgment.\n\n"
)


async def main(source: str, target: str, url: str, concurrency: int) -> None:
    items = [json.loads(line) for line in Path(source).read_text(encoding="utf-8").splitlines()]
    asked = [(item["question"], item["a"], item["b"]) for item in items]
    asked += [(item["question"], item["b"], item["a"]) for item in items]
    scores: list[list[float]] = [[] for _ in asked]
    client = openai.AsyncOpenAI(api_key="none", base_url=url, max_retries=0)
    indexes = iter(range(len(asked)))

    async def work() -> None:
        for index in indexes:
            reply = await client.chat.completions.create(
                model="gpt-4o-mini",
                messages=[
                    {"role": "system", "content": SYSTEM},
                    {"role": "user", "content": USER.format(*asked[index])},
                ],
                temperature=0.0,
                max_tokens=16,
            )
            scores[index] = [float(word) for word in (reply.choices[0].message.content or "").splitlines()[0].split()]

    await asyncio.gather(*(work() for _ in range(concurrency)))
    with Path(target).open("w", encoding="utf-8") as stream:
        for index in range(len(items)):
            first, second = scores[index], scores[index + len(items)][::-1]
            stream.write(json.dumps({"n": index, "scores": [first, second]}) + "\n")


asyncio.run(main(*sys.argv[1:4], int(sys.argv[4])))
