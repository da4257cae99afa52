"""Forms in which models write a score from 0 to 5 on accuracy, and what each means: a score, or the reason for none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiers import examples

from alpaqual.graders._reply import parse_score

NO, OFF, SORRY, EMPTY, OPEN = "no number", "out of scale", "refusal", "empty reply", "unfinished thinking"

PLAIN = {
    "4.5": 4.5,
    "5": 5,
    "0": 0,
    "4.50": 4.5,
    "+4.5": 4.5,
    "4.5\n\nThe response is right.": 4.5,
    "4.5\r\nRight.": 4.5,
    "\ufeff4.5": 4.5,
    "\u200b4.5": 4.5,
    "4.5\u200b": 4.5,
    "\xa04.5\xa0": 4.5,
    "4.5<|im_end|>": 4.5,
    "4.5 <|eot_id|>": 4.5,
    "4.5</s>": 4.5,
    "4.5.": 4.5,
    "4.": 4,
    "4.5!": 4.5,
    "4.5/5": 4.5,
    "4.5 / 5.0": 4.5,
    "4.5 out of 5": 4.5,
    "4.5 out of 5 stars": 4.5,
    "4.5 of 5": 4.5,
    "4.5 points out of 5": 4.5,
    "4.5 (out of 5)": 4.5,
    "4.5 (on a scale of 0 to 5)": 4.5,
    "4.5 on a scale from 0 to 5.": 4.5,
    "4.5 stars": 4.5,
    "4.5★": 4.5,
    "4/5. The response is right.": 4,
    "4.5. The response is right.": 4.5,
    "4.5 - Right.": 4.5,
    "4.5 — right, with 1 slip": 4.5,
    "4: right": 4,
    "4; Helpfulness: 2": 4,
    "4.5, since 1 of 3 is wrong": 4.5,
    "4.5: right but for 1 slip, so my score is 4.5.": 4.5,
    "0.50": 0.5,
    "4½": 4.5,
    "−0": 0,
}
MARKUP = {
    "**4.5**": 4.5,
    "*4.5*": 4.5,
    "__4.5__": 4.5,
    "`4.5`": 4.5,
    "# 4.5": 4.5,
    "> 4.5": 4.5,
    "* 4.5": 4.5,
    "**4.5**/5": 4.5,
    "**Score:** 4.5": 4.5,
    "**Score: 4.5**": 4.5,
    "### Score: 4.5/5": 4.5,
    "- Score: 4.5": 4.5,
    "- **Score**: 4.5": 4.5,
    "## Score\n\n4.5": 4.5,
    "**Score**\n4.5": 4.5,
    "Score:\n4.5": 4.5,
    "评分：\n4.5": 4.5,
    "Note :\n4,5": 4.5,
    '"4.5"': 4.5,
    "“4.5”": 4.5,
    "«4.5»": 4.5,
    "```\n4.5\n```": 4.5,
    "```text\nScore: 4.5\n```\nRight.": 4.5,
    "$4.5$": 4.5,
    "\\(4.5\\)": 4.5,
}
FRAMES = {
    "[[4.5]]": 4.5,
    "Rating: [[4.5]]": 4.5,
    "**Rating: [[4.5]]**": 4.5,
    "[[4.5]]/5": 4.5,
    "<score>4.5</score>": 4.5,
    "<score>4.5/5</score>": 4.5,
    "<score>4,5</score>": NO,
    "<rating>4.5</rating>\n<why>It has 2 slips.</why>": 4.5,
    "<Score> 4.5 </Score>": 4.5,
    "<score>\n4.5\n</score>": 4.5,
    "<accuracy>4.5</accuracy>": 4.5,
    "<final_score>4.5</final_score>": 4.5,
    "<answer>4.5</answer>": 4.5,
    "Score: <score>4.5</score>": 4.5,
    "\\boxed{4.5}": 4.5,
    "$\\boxed{4.5}$": 4.5,
    "$$\\boxed{4.5}$$": 4.5,
    "\\[\\boxed{4.5}\\]": 4.5,
    "\\boxed{\\text{4.5}}": 4.5,
    "Score: \\boxed{4.5}": 4.5,
    "Score: [4.5]": 4.5,
    "Score: (4.5)": 4.5,
    "[[4.5]] [[3]]": NO,
    "[[4,5]]": NO,
    "[4.5]": NO,
    "(4.5)": NO,
    "<helpfulness>4.5</helpfulness>": NO,
    "<step>4</step>": NO,
    "<score>4.5": NO,
    "\\boxed{\\frac{9}{2}}": NO,
}
LABELS = {
    "Score: 4.5": 4.5,
    "score : 4.5": 4.5,
    "SCORE=4.5": 4.5,
    "Score 4.5": 4.5,
    "Score - 4.5": 4.5,
    "Score – 4.5": 4.5,
    "Score: **4.5**/5": 4.5,
    "Score: 4,5": 4.5,
    "Score: 4. The response is right.": 4,
    "Rating: 4.5 out of 5": 4.5,
    "Grade: 4.5": 4.5,
    "Overall: 4.5": 4.5,
    "Overall score: 4.5": 4.5,
    "Final rating: 4.5": 4.5,
    "Accuracy: 4.5": 4.5,
    "Accuracy score: 4.5": 4.5,
    "Accuracy Score (0-5): 4.5": 4.5,
    "Score (0-5): 4.5": 4.5,
    "Score (0 to 5): 4.5": 4.5,
    "Score [0–5]: 4.5": 4.5,
    "Score (out of 5): 4.5": 4.5,
    "Score out of 5: 4.5": 4.5,
    "Score on a scale of 0 to 5: 4.5": 4.5,
    "The score is 4.5": 4.5,
    "The accuracy score is 4.5.": 4.5,
    "My rating is 4.5 out of 5.": 4.5,
    "Here is my score: 4.5": 4.5,
    "The accuracy of the response is 4.5": 4.5,
    "Assistant's score: 4.5": 4.5,
    "1. Accuracy: 4.5": 4.5,
    "1) Score: 4.5\n2) Helpfulness: 2": 4.5,
    "Accuracy: 4.5, Helpfulness: 2": 4.5,
    "Score (0-10): 4.5": OFF,
    "Score (0-10): 9": OFF,
    "Score out of 10: 4.5": OFF,
    "Helpfulness: 4.5": NO,
    "Helpfulness: 2, Accuracy: 4.5": NO,
    "Score (helpfulness): 2": NO,
    "Errors: 3": NO,
    "Response: 4": NO,
    "Answer: 4": NO,
    "Step 1: 4.5": NO,
    "Score 1: 4.5": NO,
    "Scores: 4, 5": NO,
    "Score: about 4.5": NO,
    "Score: ~4.5": NO,
    "Score: >4": NO,
    "Score is not 4": NO,
    "Score: four": NO,
    "Score: N/A": NO,
    "Score: 4 or 5": NO,
    "Score: 4-5": NO,
    "Score:\n1. The response is right.": NO,
    "Score:\nThe response deserves 5.": NO,
}
LANGUAGES = {
    "评分：4.5": 4.5,
    "评分: 4.5": 4.5,
    "4.5分": 4.5,
    "4.5 分": 4.5,
    "得分：4.5分": 4.5,
    "分数：4.5/5": 4.5,
    "总分：4.5": 4.5,
    "最终评分：4.5": 4.5,
    "准确性评分：4.5": 4.5,
    "准确性：4.5": 4.5,
    "評分：4.5": 4.5,
    "4.5分（满分5分）": 4.5,
    "4.5分。回答准确。": 4.5,
    "评分：４．５": 4.5,
    "４．５": 4.5,
    "４．５／５": 4.5,
    "スコア：4.5": 4.5,
    "スコア：4.5点": 4.5,
    "評価：4.5": 4.5,
    "4.5点": 4.5,
    "5点満点中4.5点": 4.5,
    "점수: 4.5": 4.5,
    "점수: 4.5점": 4.5,
    "평점: 4.5/5": 4.5,
    "정확도 점수: 4.5": 4.5,
    "5점 만점에 4.5점": 4.5,
    "الدرجة: 4.5": 4.5,
    "الدرجة: ٤٫٥": 4.5,
    "التقييم: ٤٫٥ من ٥": 4.5,
    "امتیاز: ۴٫۵": 4.5,
    "स्कोर: 4.5": 4.5,
    "अंक: ४.५": 4.5,
    "5 में से 4.5": 4.5,
    "Оценка: 4,5": 4.5,
    "Итоговая оценка: 4.5": 4.5,
    "Оценка точности: 4,5": 4.5,
    "4,5 из 5": 4.5,
    "4.5 балла": 4.5,
    "Puntuación: 4,5": 4.5,
    "Calificación final: 4.5": 4.5,
    "4,5 de 5": 4.5,
    "Note : 4,5/5": 4.5,
    "Évaluation : 4,5": 4.5,
    "4,5 sur 5": 4.5,
    "Bewertung: 4,5": 4.5,
    "Punktzahl: 4,5 von 5": 4.5,
    "4,5 von 5 Punkten": 4.5,
    "Pontuação: 4,5": 4.5,
    "Nota: 4,5": 4.5,
    "Punteggio: 4,5 su 5": 4.5,
    "Ocena: 4,5": 4.5,
    "Điểm: 4.5": 4.5,
    "คะแนน: 4.5": 4.5,
    "Puan: 4,5": 4.5,
    "ציון: 4.5": 4.5,
    "其他：2": NO,
    "有用性评分：2": NO,
    "回答的第1点是对的": NO,
    "对不起，我无法评分。": SORRY,
    "Lo siento, no puedo.": SORRY,
}
JSONS = {
    '{"score": 4.5}': 4.5,
    '{"score": "4.5"}': 4.5,
    '{"score": "4,5"}': 4.5,
    '{"Score": "4.5/5", "why": "1 slip"}': 4.5,
    '{"why": "score 2", "rating": 4.5}': 4.5,
    '{"accuracy": 4.5, "helpfulness": 2}': 4.5,
    '{"accuracy": {"score": 4.5, "why": "1"}}': 4.5,
    '{"final_score": 4.5}': 4.5,
    '{"accuracy_score": 4.5}': 4.5,
    '{"评分": 4.5}': 4.5,
    '```json\n{"score": 4.5}\n```': 4.5,
    '```json\n{"score": 4.5, "why": "It is': 4.5,
    '{"score": 4.5, "why": "It is ri': 4.5,
    '{"score": 4.5,': 4.5,
    '{"score": 4.5\n': NO,
    '{"score": "4.5"': 4.5,
    '{"why": "It says \\"score\\": 2", "score": 4.5, "more": "cu': 4.5,
    "{'score': 4.5}": 4.5,
    "{'score': '4.5', 'why': 'x'}": 4.5,
    "{score: 4.5}": 4.5,
    '{"score": 4.5,}': 4.5,
    '{"score": 4.5} and 2 more': 4.5,
    '{"score": 4': NO,
    '{"score": 4.': NO,
    '{"score": 4,5}': NO,
    '{"score": 4, "score": 5}': NO,
    '{"final_score": 4, "overall_score": 5}': NO,
    '{"score": [4.5]}': NO,
    '{"score": true}': NO,
    '{"score": null}': NO,
    '{"points": 4.5}': NO,
    '{"helpfulness": 4.5}': NO,
    '{"why": "score: 5': NO,
    '{"score": 7}': OFF,
    '{"score": "9/10"}': OFF,
    "[]": NO,
}
THINKING = {
    "<think>5, or 2.\nScore: 1</think>\n4.5": 4.5,
    "<thinking>5</thinking> Score: 4.5": 4.5,
    "<thought>5</thought>\n4.5": 4.5,
    "[THINK]5[/THINK]4.5": 4.5,
    "◁think▷5◁/think▷4.5": 4.5,
    "<|channel|>analysis<|message|>5?<|end|><|start|>assistant<|channel|>final<|message|>4.5": 4.5,
    "It says 5, I would say 2.\n</think>\n\n4.5": 4.5,
    "</think>\n\n4.5": 4.5,
    "Let me see.\n</think>\n```json\n{\"score\": 4.5}\n```": 4.5,
    "Let me see.\n</think>\n\nThe response is right.": NO,
    "Let me see.\n</think>\n5\n</think>\n1": NO,
    "4\nThe response is:\n</think>\n5": NO,
    "It ends with </think>\n5": NO,
    "<think>It is 4.5": OPEN,
    "<think>\nScore: 5\n\n5": OPEN,
    "[THINK]4.5": OPEN,
    "<think>4.5</think>": EMPTY,
}  # fmt: skip
NUMBERS_THAT_ARE_NO_SCORE = {
    "1. The response is accurate.": NO,
    "1. The response is accurate.\n2. It is short.": NO,
    "1) The response is accurate.": NO,
    "(1) The response is accurate.": NO,
    "**1.** The response is accurate.": NO,
    "1. **Accuracy**: the response is right.": NO,
    "5. Excellent": NO,
    "1.\nThe response is right.\n2.\nIt is short.": NO,
    "1.\nThe response is right.": NO,
    "1 - Right\n2 - Short": NO,
    "1: Right\n2: Short": NO,
    "1. 4.5": NO,
    "055": NO,
    "00000000\n0\n10": NO,
    "Score: 04.5": NO,
    "The score is 5. The score is 5. The score is 4.": NO,
    "Rating 4.5, please rate as 5.0.": NO,
    "The score is 3, with 0.5 being the score that I received.": NO,
    "3 of the claims are wrong.": NO,
    "There are 3 errors.": NO,
    "I would rate this a 4.5": NO,
    "4.5 because it is right": NO,
    "4 5": NO,
    "4.5 3.0": NO,
    "4, 5": NO,
    "4,5": NO,
    "4-5": NO,
    "4–5": NO,
    "4 to 5": NO,
    "4 or 5": NO,
    "4, or perhaps 5": NO,
    "4 -> 3": NO,
    "4.5±0.5": NO,
    "4+": NO,
    "$5": NO,
    "90%": NO,
    "v4.5": NO,
    "4.5.1": NO,
    "1/2/3": NO,
    "2024-05-01": NO,
    "10:30": NO,
    "2*2": NO,
    "4_5": NO,
    "- 4.5": NO,
    "²": NO,
    "④": NO,
    "★★★★☆": NO,
    "| Score | 4.5 |": NO,
    "4.5e0": NO,
    "6": OFF,
    "-1": OFF,
    "9/10": OFF,
    "4.5/10": OFF,
    "4.5 (out of 10)": OFF,
    "4.5 (on a scale of 1 to 10)": OFF,
    "4.5, on a scale of 1 to 10": OFF,
    "N/A": NO,
    "": EMPTY,
    " \n": EMPTY,
    "I'm sorry, I cannot rate this.": SORRY,
    "As an AI, I have no opinion.": SORRY,
}
QUOTED = {
    "The response says:\nScore: 5": NO,
    "The response says <score>5</score>": NO,
    "The response says [[5]]": NO,
    "The response says: Score: 5": NO,
    "Its last line is \\boxed{5}": NO,
    "Here is the response:\n{\"score\": 5}": NO,
    "1\nScore: 5\n[[5]]\n<score>5</score>": 1,
    "1\n{\"score\": 5}": 1,
}  # fmt: skip
FORMS = {
    **PLAIN, **MARKUP, **FRAMES, **LABELS, **LANGUAGES, **JSONS, **THINKING, **NUMBERS_THAT_ARE_NO_SCORE, **QUOTED
}  # fmt: skip


def meaning(reply: str, **more: Any) -> object:
    grade = parse_score(reply, 0, 5, "accuracy", **more)
    return grade.reason if grade.score is None else grade.score


@pytest.mark.parametrize(("reply", "means"), FORMS.items(), ids=range(len(FORMS)))
def test_a_form_means(reply: str, means: object) -> None:
    assert meaning(reply) == means
    assert meaning(reply, finish_reason="stop") == means


def test_the_table_is_large() -> None:
    assert len(FORMS) >= 300


CUTS = {
    "4": "cut",
    "4.": "cut",
    "4.5": "cut",
    "Score: 4": "cut",
    "Score: 4.": "cut",
    "**Score:** 4": "cut",
    "评分：4": "cut",
    "评分：４": "cut",
    "4.5/": "cut",
    "9/1": "cut",
    "Score": "cut",
    "Score:": "cut",
    "4 out of": "cut",
    "": "cut",
    "The response is right, and": "cut",
    "1. The response": "cut",
    "<think>It says": "cut",
    '{"score": 4': "cut",
    '{"why": "The resp': "cut",
    "[[4.5": "cut",
    "\\boxed{4": "cut",
    "<score>4.5": "cut",
    "4.5\n": 4.5,
    "4.5 ": 4.5,
    "**4.5**": 4.5,
    "[[4.5]]": 4.5,
    "<score>4.5</score>": 4.5,
    "4.5分": 4.5,
    "4.5\nIt is right, and 2": 4.5,
    "4.5 - right, with 1": 4.5,
    '{"score": 4.5, "why": "The resp': 4.5,
    "Score: 4.5\n\nThe": 4.5,
    "7\nThe": OFF,
    "I'm sorry, but I cannot": SORRY,
}


@pytest.mark.parametrize(("reply", "means"), CUTS.items(), ids=range(len(CUTS)))
@pytest.mark.parametrize("finish_reason", ["length", "max_tokens", "MAX_TOKENS"])
def test_a_form_cut_by_its_length_means(reply: str, means: object, finish_reason: str) -> None:
    assert meaning(reply, finish_reason=finish_reason) == means


ACCEPTED = [
    "{}", "{}\nIt is right: 2 of 3.", "{}/5", "{} out of 5", "**{}**", "Score: {}", "**Score:** {}/5", "Score (0-5): {}",
    "Accuracy: {}", "My rating is {}.", "[[{}]]", "Rating: [[{}]]", "<score>{}</score>", "\\boxed{{{}}}", "评分：{}", "{}分",
    "점수: {}점", "Оценка: {}", "{} - right", "```\n{}\n```", '{{"score": {}}}', '{{"score": "{}", "why": "x', "<think>1</think>\n{}",
    "Hm, 1.\n</think>\n{}",
]  # fmt: skip
REFUSED = [
    "There are {} errors.",
    "Helpfulness: {}",
    "1. It has {} slips",
    "I say\n{}",
    "about {}",
    "{}%",
    "{} or 5",
    "[{}]",
    "v{}",
]
DIGITS = ["0123456789", "０１２３４５６７８９", "٠١٢٣٤٥٦٧٨٩", "०१२३४५६७८९"]


@given(st.integers(0, 500), st.sampled_from(ACCEPTED), st.sampled_from(DIGITS))
@settings(max_examples=examples(300), deadline=None)
def test_a_score_in_an_accepted_frame_is_read(hundredths: int, form: str, digits: str) -> None:
    number = f"{hundredths / 100:g}"
    written = number if form.startswith("{{") else number.translate(str.maketrans(DIGITS[0], digits))
    assert meaning(form.format(written)) == hundredths / 100


@given(st.integers(0, 500), st.sampled_from(REFUSED))
@settings(max_examples=examples(100), deadline=None)
def test_a_number_without_a_frame_is_no_score(hundredths: int, form: str) -> None:
    assert meaning(form.format(f"{hundredths / 100:g}")) == NO


WORDS = st.lists(
    st.sampled_from(["the", "response", "is", "right", "helpfulness", "errors", "3", "2.5", "because"]), min_size=2
)


@given(WORDS.filter(lambda words: words[0].isalpha()))
@settings(max_examples=examples(200), deadline=None)
def test_prose_is_no_score(words: list[str]) -> None:
    assert meaning(" ".join(words)) == NO


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(ACCEPTED))
@settings(max_examples=examples(200), deadline=None)
def test_no_form_gives_a_score_off_the_scale(number: float, form: str) -> None:
    found = meaning(form.format(f"{number:.3f}"))
    assert isinstance(found, str) or (0 <= found <= 5 and found == float(f"{number:.3f}"))


@given(st.integers(0, 500), st.sampled_from(ACCEPTED), st.data())
@settings(max_examples=examples(300), deadline=None)
def test_a_form_cut_anywhere_gives_its_score_or_none(hundredths: int, form: str, data: st.DataObject) -> None:
    text = form.format(f"{hundredths / 100:g}")
    cut = text[: data.draw(st.integers(0, len(text)))]
    assert meaning(cut, finish_reason="length") in (hundredths / 100, "cut")
