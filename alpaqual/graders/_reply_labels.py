"""The names of a score, in the scripts of large languages: `Score`, `Final rating`, `评分`, and the grader's dimension."""

from __future__ import annotations

import functools
import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NOUNS = _words(
    # English
    "score rating grade mark marks value overall evaluation assessment "
    # German, Dutch, Swedish, Danish, Norwegian, Finnish
    "bewertung punktzahl wertung note punkte gesamtbewertung gesamtpunktzahl gesamtnote beoordeling cijfer "
    "betyg poäng karakter vurdering pisteet arvosana "
    # French, Spanish, Portuguese, Italian, Romanian, Catalan
    "évaluation notation cote puntuación puntuacion puntaje calificación calificacion valoración valoracion nota "
    "pontuação pontuacao avaliação avaliacao classificação classificacao punteggio voto valutazione scor notă puntuació "
    # Russian, Ukrainian, Polish, Czech, Hungarian, Greek, Turkish
    "оценка балл баллы рейтинг оцінка бал ocena skóre hodnocení známka pontszám értékelés βαθμολογία puan skor "
    "değerlendirme "
    # Vietnamese, Indonesian, Swahili
    "điểm nilai peringkat alama "
    # Arabic, Persian, Urdu, Hebrew
    "الدرجة درجة التقييم تقييم الدرجات امتیاز نمره اسکور ציון דירוג "
    # Hindi, Bengali, Tamil, Telugu, Thai
    "स्कोर अंक रेटिंग मूल्यांकन স্কোর রেটিং மதிப்பெண் స్కోరు คะแนน คะแนนรวม "
    # Korean, which writes spaces
    "점수 평점 평가 총점 등급"
)
_BESIDE = _words(
    "the a an my our your this that it its here is are here's i of for to as in on final total single average numeric "
    "numerical assigned given ai assistant assistant's response response's answer's "
    "der die das meine gesamte finale endgültige ist "
    "la le les l el los mi ma est es de du del della global globale général generale générale general totale "
    "o os sua é geral minha "
    "итоговая итоговый общая общий моя это ответа загальна підсумкова "
    "النهائية النهائي الإجمالية الكلية هي هو अंतिम कुल số tổng 최종 종합 전체 응답 답변 답변의 응답의"
)
_UNSPACED_NOUNS = _words(
    "评分 得分 分数 打分 评级 总分 评价 評分 得分 分數 總分 評價 スコア 評価 得点 点数 評点 採点 点 점수 평점 คะแนน"
)
_UNSPACED_BESIDE = _words(
    "最终 最終 综合 綜合 総合 总体 總體 整体 整體 总 總 我的 回答 回答的 该 本 的 の は 为 為 是 最後 최종 종합"
)
_UNSPACED = re.compile("(?:" + "|".join(sorted(_UNSPACED_NOUNS | _UNSPACED_BESIDE, key=len, reverse=True)) + ")+")
_UNSPACED_NOUN = re.compile("|".join(_UNSPACED_NOUNS))
_DIMENSIONS = {
    "accuracy": "准确性 准确度 準確性 正确性 正確性 正確さ 正確度 정확성 정확도 точность точности precisión exactitud exactitude "
    "précision genauigkeit precisão exatidão accuratezza الدقة सटीकता",
    "helpfulness": "有用性 有帮助性 帮助性 有幫助性 役立ち度 유용성 полезность полезности utilidad utilité hilfsbereitschaft "
    "nützlichkeit utilidade utilità الفائدة उपयोगिता",
    "quality": "质量 品質 質量 품질 качество качества calidad qualité qualität qualidade qualità الجودة गुणवत्ता",
}
_BETWEEN = re.compile(r"[\s_:=,\-–—―|]+")
MAX_LABEL = 80
"""Characters of a label at most."""


@functools.lru_cache(4096)
def is_label(text: str, dimension: str) -> bool:
    """Whether a text names the score: by a noun such as `Score`, or by the dimension, and by nothing else."""
    if len(text) > MAX_LABEL:
        return False
    rest, named = _without(text.casefold().replace("’", "'"), dimension.casefold().strip())
    for word in _BETWEEN.split(rest):
        bare = word.strip("'\"“”«»「」『』【】()[].、")
        if not bare or bare in _BESIDE:
            continue
        if bare not in _NOUNS and not _UNSPACED.fullmatch(bare):
            return False
        named = named or bare in _NOUNS or _UNSPACED_NOUN.search(bare) is not None
    return named


def _without(text: str, dimension: str) -> tuple[str, bool]:
    """The text without the dimension's names, and whether it has one."""
    text = text.replace("_", " ")
    for name in (dimension, dimension.replace("_", " "), *_DIMENSIONS.get(dimension, "").split()):
        if not name or name not in text:
            continue
        # A name in letters of the Latin script ends at a word's end; others are written without spaces.
        found = rf"(?<!\w){re.escape(name)}(?!\w)" if name.isascii() else re.escape(name)
        replaced, times = re.subn(found, " ", text)
        if times:
            return replaced, True
    return text, False
