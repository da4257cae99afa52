"""The openai package alone: the paper's prompt about every row, CONCURRENCY requests in flight, scores written at the end. No ledger, no retries.

python tests/bench/contenders/openai_bare.py IN.parquet OUT.jsonl URL CONCURRENCY [together]

With `together`, CONCURRENCY requests are sent and waited for before the next ones are, as the paper's repository does with 5.
"""

import asyncio
import json
import sys
from pathlib import Path

import openai
import polars as pl

SYSTEM = (
    "We would like to request your feedback on the performance of AI assistant in response to the instruction and the given "
    "input displayed following.\n\nInstruction: {}\n\nInput: {}\n\nResponse: {}"
)
USER = (
    "Please rate according to the accuracy of the response to the instruction and the input. Each assistant receives a score on a "
    "scale of 0 to 5, where a higher score indicates higher level of the accuracy. Please first output a single line containing the "
    "value indicating the scores. In the subsequent line, please provide a comprehensive explanation of your evaluation, avoiding "
    "any potential bias."
)


async def main(source: str, target: str, url: str, concurrency: int, together: bool) -> None:
    rows = pl.read_parquet(source).select("instruction", "input", "output").fill_null("").rows()
    scores = [0.0] * len(rows)
    client = openai.AsyncOpenAI(api_key="none", base_url=url, max_retries=0)

    async def ask(index: int) -> None:
        instruction, given, response = rows[index]
        answer = await client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[
                {"role": "system", "content": SYSTEM.format(instruction, given or "None", response)},
                {"role": "user", "content": USER},
            ],
            temperature=0.0,
            max_tokens=16,
        )
        scores[index] = float((answer.choices[0].message.content or "").splitlines()[0])

    if together:
        for start in range(0, len(rows), concurrency):
            await asyncio.gather(*(ask(index) for index in range(start, min(start + concurrency, len(rows)))))
    else:
        indexes = iter(range(len(rows)))

        async def work() -> None:
            for index in indexes:
                await ask(index)

        await asyncio.gather(*(work() for _ in range(concurrency)))
    with Path(target).open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps({"n": index, "score": score}) + "\n" for index, score in enumerate(scores))


asyncio.run(main(*sys.argv[1:4], int(sys.argv[4]), sys.argv[5:] == ["together"]))
