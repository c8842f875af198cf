"""The words that show what a prompt asks for: for each topic a pattern, and how its words begin.

Patterns read lower-cased text. The beginnings (`heads`, the first HEAD_CHARS of a word) are looked up first, because a
set costs a hundredth of a pattern; every gap in a pattern is bounded, so that no text makes one slow.
"""

import re
from enum import Enum
from functools import cache
from typing import NamedTuple

HEAD_CHARS = 6


class Topic(Enum):
    """Something a prompt can ask for that vision models are documented to do badly."""

    READING = "reading"
    SMALL_TEXT = "small_text"
    NON_LATIN_TEXT = "non_latin_text"
    COORDINATES = "coordinates"
    CAPTCHA = "captcha"
    MEDICAL = "medical"
    FISHEYE = "fisheye"
    PANORAMA = "panorama"
    COUNTING = "counting"
    PERSON = "person"
    CHART = "chart"
    FILE_METADATA = "file_metadata"
    AI_GENERATED = "ai_generated"


class Words(NamedTuple):
    """`pattern` can only match a text with a word that begins like one of `heads`."""

    heads: frozenset[str]
    pattern: str

    def found_in(self, text: str) -> bool:
        """Whether the pattern matches anywhere in a lower-cased text."""
        return compiled(self.pattern).search(text) is not None


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern, compiled when a text first needs it: all of them take 50 ms, of which a start and most prompts need
    none."""
    return re.compile(pattern)


def _heads(words: str) -> frozenset[str]:
    return frozenset(word[:HEAD_CHARS] for word in words.split())


_WRITING = (
    r"(?:texts?|signs?|signage|signboards?|menus?|labels?|letters?|letterings?|characters?|writing|handwriting|"
    r"handwritten|inscriptions?|words?|captions?|subtitles?|documents?|newspapers?|pages?|receipts?|scripts?|"
    r"calligraphy|manuscripts?|scrolls?|headlines?|posters?|packaging|alphabet|glyphs?|invoices?|passports?|contracts?)"
)
_READ = (
    r"(?:read|reads|reading|transcribe|transcribes|transcription|ocr|extract|translate|translates|translation|says?|"
    r"written|spell|spells|copy out|type out|decipher)"
)
_UP_TO_5_WORDS = r"(?:\W{1,3}\w{1,30}){0,5}?\W{1,3}"

_READING = Words(
    _heads(
        "copy decipher extract find handwriting handwritten licence license list number ocr plate proof "
        "proofread quote read serial spell transcribe transcription translate what"
    ),
    r"\b(?:transcribe|transcription|ocr|proof-?read|decipher|handwriting|handwritten|serial number|"
    r"licen[cs]e plate|number plate)\b"
    rf"|\b(?:read|extract|copy|quote|list|find|spell)\b{_UP_TO_5_WORDS}{_WRITING}\b"
    rf"|\bwhat (?:does|do|did)\b{_UP_TO_5_WORDS}(?:say|read)\b|\bwhat is (?:written|printed|engraved)\b"
    rf"|\btranslate\b{_UP_TO_5_WORDS}(?:text|sign|menu|label|page|letter|document)\b"
    r"|\bread (?:this|the) (?:form|screenshot|meter|table|display|gauge)\b"
    rf"|\b(?:extract|read)\b{_UP_TO_5_WORDS}(?:fields|values|amounts?|totals?|figures|line items|table)\b",
)

_SMALL_TEXT = Words(
    _heads("footnote footnotes little microscopic minuscule print small smallest tiny"),
    r"\b(?:fine|small|tiny) print\b|\bfootnotes?\b"
    r"|\b(?:tiny|small|smallest|little|minuscule|microscopic)\W{1,3}(?:\w{1,30}\W{1,3})?"
    r"(?:text|letters?|lettering|writing|characters|font|words|type|labels?|captions?|numbers|digits)\b",
)

_COORDINATES = Words(
    _heads("bbox bboxes best bounding chess chessboard coordinates exact fen pixel precise segmentation where x"),
    r"\bbounding[ -]?box(?:es)?\b|\bbboxe?s?\b|\bpixel (?:position|location|coordinate)s?\b"
    r"|\bx ?, ?y\b|\bx and y\b|\bsegmentation (?:mask|polygon)s?\b|\bchess ?board\b"
    r"|\bchess (?:position|move|game)\b"
    r"|\bbest move\b.{0,60}\b(?:white|black|chess)\b|\b(?:in|as) fen\b"
    r"|(?<!gps )(?<!geographic )(?<!geographical )(?<!map )(?<!who )(?<!person )\bcoordinates\b(?! (?:system|with))"
    r"|\b(?:exact|precise) (?:position|location|spot) of (?:the|each|every|all|this)\b"
    r"|\bwhere (?:exactly|precisely) in (?:the|this) (?:image|picture|photo|screenshot)\b"
    r"|\bwhere (?:should|do|must) (?:i|you|we) click\b",
)

_CAPTCHA = Words(
    _heads(
        "captcha captchas distorted hcaptcha human not obfuscated prove recaptcha select squiggly verification "
        "warped wavy"
    ),
    r"\b(?:re|h)?captchas?\b|\bnot a robot\b"
    r"|\bselect all (?:the )?(?:squares|images|tiles|pictures) (?:with|that)\b"
    r"|\b(?:distorted|wavy|squiggly|warped|obfuscated) (?:letters|characters|text|code)\b"
    r"|\bverification (?:code|image|challenge)\b.{0,80}\b(?:letters|characters|image|picture|distorted|solve)\b"
    r"|\b(?:letters|characters|solve)\b.{0,80}\bverification (?:code|image|challenge)\b"
    r"|\bhuman verification\b|\bprove (?:that )?i(?: am|'m) (?:a )?human\b",
)

_BODY = (
    r"(?:lungs?|chest|brain|spine|spinal|knee|bones?|fracture|tumou?r|lesion|abdom\w{1,6}|heart|retina|breast|"
    r"pelvi\w{1,4}|patient|skin|rash|mole|scan)"
)
_FINDING = r"(?:diagnos\w{1,5}|malignan\w{1,3}|benign|patholog\w{1,6}|metasta\w{1,5})"
_MEDICAL = Words(
    _heads(
        "angiogram benign biopsies biopsy bone bronchoscopy cat colonoscopy computed ct dermatoscopy "
        "dermoscopy dexa diagnose diagnosis dicom ecg echocardiogram ekg electrocardiogram endoscopy fundus "
        "histology histopathology magnetic malignant mammogram melanoma metastasis mole mr mri nifti pathology "
        "pet radiograph radiography radiology rash retinal skin sonogram spect ultrasound x xray xrays"
    ),
    r"\b(?:chest|dental|bone|skull|spine|knee|hand|wrist|hip|foot|lateral|pa|ap) x-?rays?\b"
    r"|\bx-?rays? (?:of|shows?)\b.{0,40}\b(?:patient|fracture|bone|chest|lung|knee|hand|wrist|tooth|teeth)\b"
    r"|\b(?:ct|cat|pet|mri|bone|ultrasound|dexa|spect)[ -]scans?\b"
    r"|\b(?:ct|mri|mr|ultrasound)[ -](?:images?|slices?|volumes?)\b|\bmri\b"
    r"|\bcomputed tomography\b|\bmagnetic resonance\b|\bradiograph\w{0,5}\b|\bradiolog\w{1,5}\b"
    r"|\bmammogra\w{1,4}\b|\b(?:sono|echocardio|electrocardio|angio)grams?\b|\b(?:ecg|ekg)\b"
    r"|\bhisto(?:patho)?log\w{1,5}\b"
    r"|\bbiops(?:y|ies)\b|\bderm(?:at)?oscop\w{1,3}\b|\bfundus\b|\b(?:endo|colono|broncho)scop\w{1,3}\b"
    r"|\bretinal (?:scan|image|photograph)s?\b|\bdicom\b|\bnifti\b|\bmelanoma\b"
    rf"|\b{_FINDING}\b.{{0,120}}\b{_BODY}\b|\b{_BODY}\b.{{0,120}}\b{_FINDING}\b"
    r"|\b(?:rash|mole|skin lesion)\b.{0,60}\b(?:cancer\w{0,3}|dangerous|serious)\b",
)

_FISHEYE = Words(
    _heads("fish fisheye"),
    r"\bfish-?eye\b|\bfish eye (?:lens|camera|view|photo|image|shot)\b",
)

_PANORAMA = Words(
    _heads("360 360° equirectangular photosphere"),
    r"\bequirectangular\b|\bphotosphere\b"
    r"|\b360(?:°| ?degrees?|-degree)? ?(?:photo|image|picture|panorama|view|camera)\b",
)

_COUNTING = Words(
    _heads("count exact how number total"),
    r"\bhow many (?!words|sentences|tokens|characters|pixels|megapixels|bytes|times|calories|years|days|hours|"
    r"minutes|ways|people live|dollars|euros|degrees|met(?:er|re)s|miles|kilomet|of you|steps)\w"
    r"|\bcount (?:all |up |each |every )?(?:the |of |these |those )?"
    r"(?!on\b|words|as\b|characters|tokens|down)\w{1,30}"
    r"(?:\W{1,3}\w{1,30}){0,4}?\W{1,3}(?:in|on|visible|you see|shown|there)\b"
    r"|\b(?:total |exact )?number of (?!words|sentences|characters|tokens|lines)\w{1,30}"
    r"(?:\W{1,3}\w{1,30}){0,2}?\W{1,3}(?:in|on|visible|shown) (?:this|the)\b",
)

_ONE_PERSON = (
    r"(?:person|people|man|men|woman|women|boys?|girls?|actors?|actress|celebrity|celebrities|faces?|individuals?|"
    r"politicians?|suspects?|singers?|players?)"
)
_PERSON = Words(
    _heads("identify identity name names recognise recognize what which who"),
    rf"\bwho(?: is|'s| are) (?:he|she|they|this|that|these|those|"
    rf"(?:this|that|the|these|those) (?:\w{{1,20}} ){{0,2}}{_ONE_PERSON}"
    r"|(?:pictured|shown|depicted|in) (?:in )?(?:this|the) (?:photo|picture|image|photograph))\b"
    r"(?! .{0,30}\b(?:for|audience|owner)\b)"
    rf"|\bidentify (?:this|the|that|these|each|every) (?:\w{{1,20}} )?{_ONE_PERSON}\b"
    rf"|\b(?:names?|identity) of (?:this|the|that|these|each|every) (?:\w{{1,20}} )?{_ONE_PERSON}\b"
    r"|\b(?:which|what) (?:celebrity|actor|actress|politician|famous person)\b"
    rf"|\brecogni[sz]e (?:this|the|that|his|her|these) (?:\w{{1,20}} )?{_ONE_PERSON}\b",
)

_CHARTED = (
    r"(?:(?:bar|line|pie|scatter|area|candlestick|gantt|stock|radar) ?(?:charts?|graphs?|plots?)|charts?|histograms?|"
    r"scatter ?plots?|graphs?|plots?)"
)
_CHART = Words(
    _heads("bar chart charts graph graphs histogram line pie plot plots scatter scatterplot"),
    r"\b(?:read|extract|values?|data|trends?|compare|digiti[sz]e|numbers|percentages?|peaks?|"
    r"which (?:line|curve|bar|colou?r|series)|legend|highest|lowest|interpret|analy[sz]e|summari[sz]e)\b"
    rf".{{0,80}}\b{_CHARTED}\b(?! (?:of|twist) the (?:film|movie|book|story|novel))"
    rf"|\b{_CHARTED}\b.{{0,80}}\b(?:values?|data|trends?|dashed|dotted|solid line|legend|axis|axes|highest|lowest|"
    r"peaks?|percentages?)\b",
)

_FILE_METADATA = Words(
    _heads("date exif file filename gps metadata what when which"),
    r"\bfile ?name\b|\bexif\b|\b(?:image|photo|file|picture)(?:'s)? metadata\b|\bmetadata of (?:this|the)\b"
    r"|\bwhen was (?:this|the) (?:photo|picture|image|photograph|shot) (?:taken|made|shot)\b"
    r"|\b(?:what|which) (?:camera|lens|aperture|shutter speed|iso)\b"
    r"|\bgps (?:coordinates?|data|location|position)\b|\bdate (?:this|the) (?:photo|picture|image) was taken\b",
)

_AI_GENERATED = Words(
    _heads(
        "ai authentic created deep deepfake deepfakes doctored fake generated genuine made manipulated "
        "photoshopped real"
    ),
    r"\bai[ -](?:generated|made|created)\b|\bdeep ?fakes?\b|\b(?:generated|made|created) by (?:an )?ai\b"
    r"|\b(?:is|was) (?:this|the) (?:photo|picture|image|photograph) (?:\w{1,20} )?"
    r"(?:real|fake|genuine|photoshopped|manipulated|doctored|authentic)\b",
)

TOPICS: dict[Topic, Words] = {
    Topic.READING: _READING,
    Topic.SMALL_TEXT: _SMALL_TEXT,
    Topic.COORDINATES: _COORDINATES,
    Topic.CAPTCHA: _CAPTCHA,
    Topic.MEDICAL: _MEDICAL,
    Topic.FISHEYE: _FISHEYE,
    Topic.PANORAMA: _PANORAMA,
    Topic.COUNTING: _COUNTING,
    Topic.PERSON: _PERSON,
    Topic.CHART: _CHART,
    Topic.FILE_METADATA: _FILE_METADATA,
    Topic.AI_GENERATED: _AI_GENERATED,
}

_SCRIPT = r"(?:kanji|hiragana|katakana|hangul|hanzi|cyrillic|devanagari|gurmukhi|non-?latin)"
_LANGUAGE = (
    r"(?:chinese|mandarin|cantonese|japanese|korean|arabic|persian|farsi|urdu|pashto|hebrew|yiddish|hindi|sanskrit|"
    r"bengali|tamil|telugu|kannada|malayalam|marathi|gujarati|punjabi|nepali|sinhala|thai|khmer|lao|burmese|tibetan|"
    r"mongolian|greek|russian|ukrainian|belarusian|bulgarian|serbian|macedonian|kazakh|armenian|georgian|amharic)"
)
LANGUAGE_HEADS = _heads(
    "kanji hiragana katakana hangul hanzi cyrillic devanagari gurmukhi non nonlatin chinese mandarin cantonese "
    "japanese korean arabic persian farsi urdu pashto hebrew yiddish hindi sanskrit bengali tamil telugu kannada "
    "malayalam marathi gujarati punjabi nepali sinhala thai khmer lao burmese tibetan mongolian greek russian "
    "ukrainian belarusian bulgarian serbian macedonian kazakh armenian georgian amharic"
)
# "Answer in Japanese" and "translate it into Greek" name the language of the reply, not that of the picture.
REPLY_LANGUAGE = (
    r"\b(?:answer|reply|respond|response|summari[sz]e|explain|describe|description|write|translate|translation|output|"
    r"result|caption|story|captions|report|give|speak|tell)\b"
    rf"[^.?!;]{{0,60}}?\b(?:in|into|to)\W{{1,3}}(?:\w{{1,30}}\W{{1,3}})?{_LANGUAGE}\b(?![ -]{_WRITING})"
)
NON_LATIN_TEXT = (
    rf"\b{_READ}\b.{{0,80}}\b{_SCRIPT}\b|\b{_SCRIPT}\b.{{0,40}}\b(?:{_WRITING}|{_READ})\b"
    rf"|\b{_LANGUAGE}(?:[ -]\w{{1,30}}){{0,2}}[ -]{_WRITING}\b"
    rf"|\b(?:{_WRITING}|{_READ})\b(?:\W{{1,3}}\w{{1,30}}){{0,3}}?\W{{1,3}}(?:from|in)\W{{1,3}}(?:\w{{1,30}}\W{{1,3}})?"
    rf"{_LANGUAGE}\b"
    rf"|\b(?:read|transcribe|ocr|decipher|translate)\b\W{{1,3}}(?:this|the|these)\W{{1,3}}{_LANGUAGE}\b"
)
# Text not in a Latin script that asks, in its own words, for text to be read.
NON_LATIN_READING = (
    "文字|テキスト|読[みめん]|書いて(?:ある|あり)|書かれ|看板|識別|识别.{0,10}字|读[出取一]|写着|写了什么|写的是什么|寫著|翻译|翻譯|抄写|转录|"
    "글자|글씨|텍스트|읽어|적혀|쓰여|번역|текст|надпис|написан|прочита|прочти|прочесть|перевед|переклад|распозна|"
    "κείμενο|γράφει|διάβασε|επιγραφ|النص|مكتوب|اقرأ|ترجم|לקרוא|קרא|כתוב|טקסט|תרגם|लिखा|पढ़|पाठ|अनुवाद|ข้อความ|อ่าน|เขียนว่า|แปล"
)
