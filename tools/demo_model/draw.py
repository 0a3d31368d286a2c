"""Small helpers of the corpus generators: drawing words and expanding patterns."""

import re

_CHOICE = re.compile(r"\[([^\[\]]*)\]")


def say(r, pattern, **values):
    """Expand "[a|b|]" choices (innermost first), then fill "{name}" fields.

    Values are filled last, so brackets inside a value are left alone.
    """
    while True:
        pattern, n = _CHOICE.subn(lambda m: r.choice(m.group(1).split("|")), pattern)
        if not n:
            break
    for name, value in values.items():
        pattern = pattern.replace("{" + name + "}", str(value))
    return re.sub(r"  +", " ", pattern).strip()


def a(noun):
    """The noun with its indefinite article."""
    return ("an " if noun[0].lower() in "aeiou" else "a ") + noun


def cap(text):
    return text[:1].upper() + text[1:]


def join(words, last="and"):
    words = list(words)
    if len(words) < 2:
        return "".join(words)
    return ", ".join(words[:-1]) + f" {last} " + words[-1]


def rough(r, text):
    """People type carelessly: sometimes lower case, no full stop, no comma."""
    if r.random() < 0.22:
        text = text.lower()
    if r.random() < 0.18:
        text = text.rstrip(".?!")
    if r.random() < 0.05:
        text = text.replace(",", "")
    if r.random() < 0.04:
        text = text.replace("'", "")
    return text


_ONSET = "b br c ch d dr f fl g gr h j k kl l m n p pr r s sh st t tr v w y z".split()
_VOWEL = "a a e e i i o o u ai ea ee ia io ou".split()
_CODA = ["", "", "", "", "l", "n", "r", "s", "m", "x", "ck", "nd"]


def coin(r, syllables=None):
    """An invented word: what it stands for can only be copied, never remembered."""
    if syllables is None and r.random() < 0.2:
        # Letters as they come, so that copying does not lean on how the syllables below are built.
        return "".join(r.choice("aaabcdeeefghiiijklmnoopqrsstuvwxyz") for _ in range(r.randint(3, 8)))
    n = syllables or r.choice([1, 2, 2, 2, 3])
    return "".join(r.choice(_ONSET) + r.choice(_VOWEL) for _ in range(n)) + r.choice(_CODA)
