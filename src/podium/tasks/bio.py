"""BIO tags: validation, and conversion of BIO1 to BIO2.

BIO2 (Tjong Kim Sang and Veenstra, 1999) begins every entity with `B-`; BIO1 (Ramshaw and Marcus, 1995) only one that
directly follows another of its type. Writing `B-` for every `I-` that does not continue an entity of its type turns
BIO1 into BIO2 and leaves BIO2 as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

OUTSIDE = "O"


def invalid_tag(tags: Iterable[object]) -> str | None:
    """Say what is wrong with the first tag that is not `O`, `B-TYPE` or `I-TYPE`; None when all are fine."""
    for tag in tags:
        if not isinstance(tag, str):
            return f"must hold tags such as 'O' or 'B-PER' as text, but got {tag!r}"
        if tag != OUTSIDE and (tag[:2] not in ("B-", "I-") or len(tag) == 2):
            return f"must hold BIO tags ('O', 'B-TYPE' or 'I-TYPE'), but got {tag!r}; convert other schemes first"
        if not tag.isascii() and any("\ud800" <= character <= "\udfff" for character in tag):
            return f"must hold tags that UTF-8 can encode, but got {tag!r}"
    return None


def to_bio2(tags: Sequence[str]) -> tuple[list[str], int]:
    """Return the tags in BIO2 and how many were rewritten."""
    result: list[str] = []
    rewritten = 0
    before = OUTSIDE
    for tag in tags:
        if tag[0] == "I" and before[2:] != tag[2:]:
            result.append(f"B-{tag[2:]}")
            rewritten += 1
        else:
            result.append(tag)
        before = tag
    return result, rewritten


def entity_types(tags: Iterable[str]) -> set[str]:
    """Types of the entities that tags name."""
    return {tag[2:] for tag in tags if tag != OUTSIDE}


def tag_list(types: Iterable[str]) -> tuple[str, ...]:
    """Labels of a tagger for these types: `O`, then `B-` of each type in order, then `I-` of each."""
    ordered = sorted(types)
    return (OUTSIDE, *(f"B-{name}" for name in ordered), *(f"I-{name}" for name in ordered))
