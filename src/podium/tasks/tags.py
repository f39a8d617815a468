"""The schemes in which people write the tags of entities, brought to BIO2; numbers in the place of tags."""

from __future__ import annotations

import re
from collections.abc import Sequence

OUTSIDE = "O"

_PREFIXED = re.compile(r"([BIOESLUMW])([-_])(.+)", re.DOTALL)
_AS_BIO = {"B": "B", "I": "I", "E": "I", "L": "I", "M": "I", "S": "B", "U": "B", "W": "B"}
_SCHEMES = {"E": "IOBES", "S": "IOBES", "L": "BILOU", "U": "BILOU", "M": "BMEWO", "W": "BMEWO"}
BARE = "bare types"
_MANY = 5
_SENTENCE = re.compile(
    r"(sentence|sent|sentence.{0,2}(#|id|idx|no|num|number)|sent.?(id|idx|no)|seq.?id)\.?", re.IGNORECASE
)


def to_bio(tags: Sequence[str]) -> tuple[list[str], str, int]:
    """Tags of a sentence in BIO, the name of the scheme that they are in, empty for BIO, and how many were rewritten.

    Schemes: IOBES (B, I, E, S), BILOU (B, I, L, U), BMEWO (B, M, E, W) and bare types, of which equal neighbours are
    one entity. Tags that are in none of them stay as they are.
    """
    matches = [_PREFIXED.fullmatch(tag) for tag in tags]
    if not any(matches):
        # Tags of many words, none of which is outside, are those of something else, such as parts of speech.
        whole = len(tags) >= _MANY and OUTSIDE not in tags
        if whole or any(tag != OUTSIDE and not _is_type(tag) for tag in tags):
            return list(tags), "", 0
        bare = [_of_type(tag, before) for before, tag in zip([OUTSIDE, *tags], tags, strict=False)]
        rewritten = sum(old != new for old, new in zip(tags, bare, strict=True))
        return bare, BARE if rewritten else "", rewritten
    found = [
        f"{_AS_BIO[match[1]]}-{match[3]}" if match and match[1] in _AS_BIO else tag
        for match, tag in zip(matches, tags, strict=True)
    ]
    scheme = next((_SCHEMES[match[1]] for match in matches if match and match[1] in _SCHEMES), "")
    rewritten = sum(old != new for old, new in zip(tags, found, strict=True))
    return found, scheme or ("tags with '_'" if rewritten else ""), rewritten


def _of_type(tag: str, before: str) -> str:
    return tag if tag == OUTSIDE else f"{'I' if tag == before else 'B'}-{tag}"


def _is_type(tag: str) -> bool:
    """Whether a tag without prefix may be the name of a type: a word, and no remains of a prefix."""
    return bool(re.fullmatch(r"[^\W\d_][\w./ -]*", tag)) and not re.match(r"[A-Z][-_]", tag)


def are_tags(values: Sequence[object]) -> bool:
    """Whether all these values are tags of entities with a prefix, or `O`."""
    return all(isinstance(one, str) and (one == OUTSIDE or _PREFIXED.fullmatch(one)) for one in values)


def sentence_column(columns: Sequence[str]) -> str | None:
    """The column that numbers sentences, by its usual names."""
    return next((name for name in columns if _SENTENCE.fullmatch(name.strip())), None)


def are_numbers(values: Sequence[object]) -> bool:
    """Whether all these values are numbers that may be places in a list of tags."""
    return all(isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in values)
