"""Answers to questions about pictures: what was asked, as far as it can be seen.

What cannot be known is said to be unknown. A question is recognised by its words; there is no language model here.
"""

import re
from collections.abc import Callable, Sequence

from tessera.adapters.providers.sight import sentences, topics
from tessera.adapters.providers.sight.comparing import compare
from tessera.adapters.providers.sight.observation import Observation

Teller = Callable[[Observation, str], str]


def answer(observations: Sequence[Observation], question: str) -> str:
    """An answer in English prose about one or more pictures; a full description when no topic is recognised."""
    if not observations:
        return f"I was given no picture. I am {sentences.NAME}, so without one there is nothing I can say."
    asked = " ".join(question.lower().replace("gray", "grey").replace("color", "colour").split())
    if len(observations) > 1 and re.search(COMPARING, asked):
        return compare(observations)
    tellers = recognised(asked)
    describing = not tellers or bool(re.search(DESCRIBING, asked))
    parts = [one_picture(seen, asked, tellers, describing=describing) for seen in observations]
    if len(parts) > 1:
        parts = [f"Picture {index}: {part}" for index, part in enumerate(parts, start=1)]
    closing = [UNKNOWN] if re.search(UNKNOWABLE, asked) else []
    if describing or closing:
        closing.append(sentences.limits(observations))
    return "\n\n".join([*parts, " ".join(closing)] if closing else parts)


def recognised(asked: str) -> list[Teller]:
    tellers = [teller for pattern, teller in TOPICS if re.search(rf"\b({pattern})\b", asked)]
    if re.search(r"\b(how many|count)\b", asked) and not COUNTERS.intersection(tellers):
        tellers.append(topics.tell_count)
    return tellers


def one_picture(seen: Observation, asked: str, tellers: Sequence[Teller], *, describing: bool) -> str:
    if not describing:
        told = list(dict.fromkeys(teller(seen, asked) for teller in tellers))
        return " ".join([*told, sentences.signature(seen)])
    text = sentences.description(seen)
    extra = [teller(seen, asked) for teller in tellers if teller in ALWAYS_TOLD]
    return " ".join([text, *(part for part in extra if part not in text)])


UNKNOWN = (
    "As to what or who is shown, what it is for or what it means: I cannot know that, and would rather say so than "
    "guess. A vision language model can."
)
COMPARING = r"\b(compar\w*|differen\w*|same|similar\w*|alike|identical|versus|vs|which (one|picture|image)|both)\b"
DESCRIBING = (
    r"\b(describ\w*|descripti\w*|caption|summar\w*|alt[- ]text|tell me about|what (do|can) you see|everything|"
    r"in detail|narrate)\b"
)
UNKNOWABLE = (
    r"\b(who|whose|why|when|name|identify|recogni[sz]e|breed|species|brand|celebrity|emotion\w*|feeling|mood|happening|"
    r"doing|mean\w*|purpose|what is (this|that|it|shown|in)|what's (this|that|in)|what are (these|those|they|the)|"
    r"(kind|type|sort) of (animal|plant|food|car|bird|dog|cat|flower|tree|object)|objects?|animals?|location|"
    r"where (is|was) (this|it) taken|year|age|old)\b"
)
TOPICS: tuple[tuple[str, Teller], ...] = (
    (r"who are you|what are you|which model|are you an?|your name|language model", topics.tell_self),
    (rf"colours?|coloured|hues?|palette|tones?|{'|'.join(topics.FAMILIES)}", topics.tell_colours),
    (r"text|reads?|written|writing|words?|says?|letters?|ocr|transcri\w+|title|headline", topics.tell_text),
    (r"qr|bar ?codes?|codes?|ean|upc|data ?matrix|scan", topics.tell_codes),
    (r"shapes?|circles?|ellipses?|squares?|rectangles?|triangles?|polygons?|lines?|geometr\w+", topics.tell_shapes),
    (
        r"faces?|people|persons?|who|any(one|body)|some(one|body)|m[ae]n|wom[ae]n|child(ren)?|portrait of",
        topics.tell_faces,
    ),
    (r"sharp\w*|blur\w*|focus\w*|quality|crisp|nois[ey]|grain\w*|soft|motion", topics.tell_quality),
    (r"bright\w*|dark\w*|light|lighting|exposure|exposed|contrast|backlit|shadow\w*", topics.tell_light),
    (
        r"size|resolution|dimensions?|pixels?|megapixels?|width|height|wide|tall|aspect|file|bytes|format|large",
        topics.tell_size,
    ),
    (
        r"orientation|(landscape|portrait) (or|format|mode)|rotat\w+|upright|upside|sideways|turned",
        topics.tell_orientation,
    ),
    (
        r"(photo|photograph|drawing) or|(kind|type|sort) of (picture|image)|screenshot|"
        r"(is|a) (it|this)? ?an? (photo|photograph|drawing|document|chart|graph|diagram|screenshot)",
        topics.tell_kind,
    ),
    (r"patterns?|patterned|textures?|textured|striped?|stripes|checks|checked|checkerboard|grid", topics.tell_texture),
    (r"symmetr\w+|mirror\w*", topics.tell_symmetry),
    (r"transparen\w+|alpha", topics.tell_transparency),
    (r"composition|subject|stands? out|foreground|background|horizon|focal", topics.tell_composition),
    (r"top|upper|bottom|lower|left|right|corner|centre|center|middle", topics.tell_places),
)
"""What a question may be about, by the words it uses; several topics are answered one after the other."""
COUNTERS = frozenset({topics.tell_shapes, topics.tell_faces, topics.tell_codes, topics.tell_colours, topics.tell_size})
ALWAYS_TOLD = (topics.tell_text, topics.tell_codes, topics.tell_faces)
"""Topics a description is silent on when nothing was found, answered all the same when asked for."""
