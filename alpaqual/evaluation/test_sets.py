"""The catalog of test sets: where each comes from, its licence, size and sha256, and which columns make up a question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class KnownTestSet:
    """A published test set. `file` is its name under ALPAQUAL_DATA; `fields` maps the parts of a question to its columns.

    `url` is where it is fetched from, `licence` and `source` are for people. `sha256` is of the file that the fields were
    checked with; a file of another layout is accepted where it has `items` questions.
    """

    file: str
    items: int
    sha256: str
    licence: str
    source: str
    url: str
    fields: Mapping[str, str]


_RAW = "https://raw.githubusercontent.com"

CATALOG: Mapping[str, KnownTestSet] = {
    "vicuna": KnownTestSet(
        "vicuna.jsonl",
        80,
        "590c39157bc561eadd7f03cad4be18c2b597f93029780af65f86718f39eafa87",
        "Apache-2.0",
        "Vicuna's questions, 9 categories (Chiang et al. 2023; lm-sys/FastChat). The file of FastChat has `turns` where the "
        "first release has `text`; questions and ids are the same.",
        f"{_RAW}/lm-sys/FastChat/main/fastchat/llm_judge/data/vicuna_bench/question.jsonl",
        {"id": "question_id", "instruction": "text", "category": "category"},
    ),
    "koala": KnownTestSet(
        "koala.jsonl",
        180,
        "c8cda5c53810dc30aad34fabbb828fe3eba0957119e00916650c971905d19886",
        "none named; released for academic use and benchmarks, not for training",
        "The evaluation set of Koala, user-written prompts (Geng et al. 2023; arnav-gudibande/koala-test-set)",
        f"{_RAW}/arnav-gudibande/koala-test-set/main/koala_test_set.jsonl",
        {"id": "id", "instruction": "prompt"},
    ),
    "wizardlm": KnownTestSet(
        "wizardlm.jsonl",
        218,
        "1a39103c4ad7e0b68a0f7ed770f13a60cc60749418263dafb20cfe8f5e51901e",
        "CC BY-NC 4.0, for research",
        "The Evol-Instruct test set of WizardLM, 29 skills (Xu et al. 2023; nlpxucan/WizardLM)",
        f"{_RAW}/nlpxucan/WizardLM/ce0d433589335d419aa8101abd71685ae7d187f3/WizardLM/data/WizardLM_testset.jsonl",
        {"id": "idx", "instruction": "Instruction", "skill": "Skill"},
    ),
    "self_instruct": KnownTestSet(
        "sinstruct.jsonl",
        252,
        "81d60a117db495cecedecd9193504fd07c5b5a42f6699ef6b0f9da10fc22f42e",
        "Apache-2.0",
        "Self-Instruct's user-oriented tasks, 71 applications (Wang et al. 2022; yizhongw/self-instruct); 208 of them have an input",
        f"{_RAW}/yizhongw/self-instruct/main/human_eval/user_oriented_instructions.jsonl",
        {
            "id": "id",
            "instruction": "instruction",
            "input": "instances.0.input",
            "category": "motivation_app",
            "reference": "instances.0.output",
        },
    ),
}
