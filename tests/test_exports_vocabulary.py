"""Texts in the place of numbers: each word and pattern has a meaning, and none is a number."""

import pytest

from sensor_ad.errors import UsageError
from sensor_ad.exports.numbers import THOUSANDS, Signs
from sensor_ad.exports.vocabulary import PATTERNS, WORDS, extra_words, folded, meaning
from sensor_ad.records import Quality

BAD, NO_DATA = Quality.BAD, Quality.NO_DATA
ALL = [Signs(d, t) for d in ".," for t in THOUSANDS if d != t]


@pytest.mark.parametrize("word", WORDS)
def test_every_word(word):
    assert word == folded(word)
    for text in (word, word.upper(), f"  {word} ", word.replace(" ", "  ")):
        assert meaning(text) == WORDS[folded(text)] == WORDS[word]
    assert WORDS[word] in (BAD, NO_DATA)
    assert not any(signs.pattern.fullmatch(word) for signs in ALL)


EXAMPLES = {
    0: ("[-11059] No Good Data For Calculation", NO_DATA),
    1: ("[-10722] PINET: Timeout on PI RPC", BAD),
    2: ("Invalid function argument: x", BAD),
    3: ("No Data in range", NO_DATA),
    4: ("-1.#INF00", BAD),
    5: ("Value_OutOfService; Value_Fault", BAD),
    6: ("{'Name': 'Bad', 'Value': 307, 'IsSystem': True}", BAD),
    7: ("Bad: Comm Failure", BAD),
    8: ("10\0", BAD),
}


def test_every_pattern():
    """Each has an example that no word and no pattern before it knows."""
    assert len(EXAMPLES) == len(PATTERNS)
    for place, (text, quality) in EXAMPLES.items():
        fitting = [k for k, (p, _) in enumerate(PATTERNS) if p.fullmatch(folded(text))]
        assert fitting[0] == place and folded(text) not in WORDS
        assert meaning(text) == PATTERNS[place][1] == quality


@pytest.mark.parametrize("text", ["1.#QNAN", "1.#IND", "0.#J", "1.#INF", "-1.#IO"])
def test_words_of_the_c_runtime(text):
    assert meaning(text) == BAD


@pytest.mark.parametrize(
    "text",
    ["run", "Open", "badly", "noData2", "12 bar", "x", "1.5", "error", "[12] open", "°", "Badger"],
)
def test_other_texts_are_not_known(text):
    assert meaning(text) is None


def test_texts_of_the_config_go_first():
    extra = extra_words({"  Wartung ": "bad", "BAD": "No_Data", "9999": "no data"})

    assert extra == {"wartung": BAD, "bad": NO_DATA, "9999": NO_DATA}
    assert meaning("WARTUNG", extra) == BAD
    assert meaning("Bad", extra) == NO_DATA
    assert meaning("Comm Fail", extra) == BAD
    assert meaning("Wartung") is None


@pytest.mark.parametrize(
    ("said", "hint"), [("no dta", "; did you mean 'no data'?"), ("12", "."), ("", ".")]
)
def test_another_meaning_is_refused(said, hint):
    with pytest.raises(UsageError) as fault:
        extra_words({"Wartung": said})
    assert str(fault.value) == (
        f"data.texts says that 'Wartung' is {said!r}, 'bad' or 'no data' was expected of a text "
        f"that is no number; correct it{hint}"
    )
