"""What to look at first: findings of a profile, ranked by the time that they are about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from podium.records import Finding, ProfileRecord

_TOKENISING, _OUTSIDE, _COPIES, _SPREAD, _FAR, _IDLE = 0.1, 0.15, 0.05, 1.5, 0.3, 0.5
"""From which shares, ratios and distances on something is worth a line."""
_RARE = 0.05
"""Share of the iterations that take at least as long as the upper bound of a phase."""
_GROUPS, _POINTS = 3, 2
_WAITS = {"kernel_gap_seconds": "gaps between kernels", "host_device_copy_seconds": "copies between host and device"}


class _Found(NamedTuple):
    """A finding; `query` is a filter of jq, and `seconds` are those of an iteration that it is about."""

    code: str
    text: str
    query: str
    seconds: float = 0.0


def findings_of(record: ProfileRecord) -> tuple[Finding, ...]:
    """The findings of a profile, those with most time first."""
    found = [*_phases(record), *_groups(record), *_kernels(record), *_roofline(record), *_machine(record)]
    whole = _iteration(record)
    return tuple(
        Finding(
            code=one.code,
            text=one.text,
            seconds=one.seconds,
            share=one.seconds / whole if whole else 0.0,
            query=f"jq '{one.query}' record.json",
        )
        for one in sorted(found, key=lambda one: -one.seconds)
    )


def _iteration(record: ProfileRecord) -> float:
    return record.figures.get("iteration_seconds", 0.0)


def _milli(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms"


def _phases(record: ProfileRecord) -> Iterator[_Found]:
    whole = _iteration(record)
    for one in record.phases:
        share, query = one.share or 0.0, f'.phases[] | select(.name=="{one.name}")'
        if one.name in ("tokenise", "postprocess") and share >= _TOKENISING:
            what = "Tokenisation" if one.name == "tokenise" else "Work after the model"
            text = f"{what} takes {_milli(one.median)} of {_milli(whole)} ({share:.0%})"
            yield _Found(one.name.upper(), text, query, one.median)
        elif one.share is not None and one.high > _SPREAD * one.median and share >= _TOKENISING:
            text = (
                f"{one.name} varies: {_milli(one.median)} in the median, but one in twenty takes {_milli(one.high)} or "
                "more; rows of different length, or a busy machine"
            )
            yield _Found("SPREAD", text, query, _RARE * (one.high - one.median))
        if one.name == "decode" and whole:
            text = f"Decoding takes {_milli(one.median)} ({share:.0%})"
            if record.workload.get("kind") != "prompted":  # Such a model writes as many tokens as its answers have.
                tokens = int(record.workload.get("output_tokens", 0)) - 1
                per_token = one.median / max(1, tokens * int(record.workload.get("batch_size", 1)))
                text += f", {_milli(per_token)} per token"
            yield _Found("DECODE", text, query, one.median)


def _groups(record: ProfileRecord) -> Iterator[_Found]:
    """The groups of operators with most time; their shares of the trace are put on the unprofiled time."""
    inside = sum(one.median for one in record.phases if one.name in ("forward", "prefill", "decode"))
    outside, whole = record.figures.get("outside_operators_share", 0.0), _iteration(record)
    if not whole:
        return
    for one in record.groups[:_GROUPS]:
        share, copies = (one.share or 0.0) * (1 - outside), one.name == "copy"
        if share < _COPIES:
            continue
        tail = ": copies compute nothing; look for casts, permutations and tensors that go back and forth"
        names = [op.name for op in record.operators if op.group == one.name][:3]
        text = (
            f"{one.name}: about {_milli(share * inside)} ({share * inside / whole:.0%}), mostly {', '.join(names)}"
            f"{tail if copies else ''}"
        )
        query = f'.operators[] | select(.group=="{one.name}")'
        yield _Found("COPIES" if copies else "GROUP", text, query, share * inside)
    if outside >= _OUTSIDE:
        text = (
            f"About {_milli(outside * inside)} of the model's {_milli(inside)} ({outside:.0%}, by the trace) pass "
            "outside of operators, in Python and between calls: larger batches, compiling or an exported variant help"
        )
        yield _Found("HOST", text, ".figures.outside_operators_share", outside * inside)


def _kernels(record: ProfileRecord) -> Iterator[_Found]:
    whole = _iteration(record)
    for one in record.kernels[:_GROUPS]:
        counters = f"; its counters say that it is bound by {one.bound}" if one.bound else ""
        text = (
            f"{one.name[:80]}: {_milli(one.seconds)} in {one.calls:g} calls, {one.share:.0%} of all kernels{counters}"
        )
        yield _Found("KERNEL", text, ".kernels[0:3]", one.seconds)
    for name, what in _WAITS.items():
        seconds = record.figures.get(name, 0.0)
        if whole and seconds >= _COPIES * whole:
            text = f"{_milli(seconds)} ({seconds / whole:.0%}) are {what}"
            yield _Found("GAPS" if "gap" in name else "TRANSFERS", text, f".figures.{name}", seconds)


def _roofline(record: ProfileRecord) -> Iterator[_Found]:
    peaks = record.roofline
    if peaks is None or not _iteration(record):
        return
    for one in peaks.points[:_POINTS]:
        roof = min(peaks.flops_per_second, one.intensity * peaks.bytes_per_second)
        own, reached = next(op for op in record.operators if op.name == one.name), one.flops_per_second / roof
        if reached < _FAR and own.share >= _TOKENISING:
            text = (
                f"{one.name} does {one.flops_per_second / 1e9:.3g} billion operations per second, {reached:.0%} of "
                f"what its {one.intensity:.3g} operations per byte allow here ({one.bound}-bound); batches of "
                f"{record.workload.get('batch_size', 1)} may be too small"
            )
            query = f'.roofline.points[] | select(.name=="{one.name}")'
            yield _Found("BELOW_ROOF", text, query, own.self_seconds * (1 - reached))


def _machine(record: ProfileRecord) -> Iterator[_Found]:
    busy, threads = record.figures.get("busy_cores"), int(record.workload.get("threads", 1))
    if busy is not None and threads > 1 and busy < _IDLE * threads and record.workload.get("device") == "cpu":
        text = (
            f"{busy:.1f} of {threads} cores are busy: batches of {record.workload.get('batch_size', 1)} do not fill "
            "them; fewer threads cost nothing, larger batches use them"
        )
        yield _Found("IDLE_CORES", text, ".figures.busy_cores")
    for one in record.observers:
        if one.large:
            text = (
                f"{one.tool} slows an iteration by {one.slowdown.value - 1:.0%} ({one.slowdown.low - 1:.0%} to "
                f"{one.slowdown.high - 1:.0%}): shares of its figures are to be trusted more than their seconds"
            )
            yield _Found("OBSERVER", text, f'.observers[] | select(.tool=="{one.tool}")')
