"""What to look at first: findings of a profile, ranked by the time that they are about."""

from __future__ import annotations

from collections.abc import Iterator

from podium.records import Finding, ProfileRecord

_TOKENISING, _OUTSIDE, _COPIES, _SPREAD, _FAR, _IDLE = 0.1, 0.15, 0.05, 1.5, 0.3, 0.5
"""From which shares, ratios and distances on something is worth a line."""
_RARE = 0.05
"""Share of the iterations that take at least as long as the upper bound of a phase."""
_GROUPS, _POINTS = 3, 2
_WAITS = {"kernel_gap_seconds": "gaps between kernels", "host_device_copy_seconds": "copies between host and device"}


def findings_of(record: ProfileRecord) -> tuple[Finding, ...]:
    """The findings of a profile, those with most time first."""
    found = [*_phases(record), *_groups(record), *_kernels(record), *_roofline(record), *_machine(record)]
    return tuple(sorted(found, key=lambda one: -one.seconds))


def _iteration(record: ProfileRecord) -> float:
    return record.figures.get("iteration_seconds", 0.0)


def _milli(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms"


def _model_seconds(record: ProfileRecord) -> float:
    """Seconds of an iteration in the model itself."""
    return sum(one.median for one in record.phases if one.name in ("forward", "prefill", "decode"))


def _phases(record: ProfileRecord) -> Iterator[Finding]:
    whole = _iteration(record)
    for one in record.phases:
        share = one.share or 0.0
        if one.name in ("tokenise", "postprocess") and share >= _TOKENISING:
            what = "Tokenisation" if one.name == "tokenise" else "Work after the model"
            yield Finding(
                code=one.name.upper(),
                text=f"{what} takes {_milli(one.median)} of {_milli(whole)} ({share:.0%})",
                seconds=one.median,
                share=share,
                query=f"jq '.phases[] | select(.name==\"{one.name}\")' record.json",
            )
        elif one.share is not None and one.high > _SPREAD * one.median and share >= _TOKENISING:
            yield Finding(
                code="SPREAD",
                text=f"{one.name} varies: {_milli(one.median)} in the median, but one in twenty takes "
                f"{_milli(one.high)} or more; rows of different length, or a busy machine",
                seconds=_RARE * (one.high - one.median),
                share=_RARE * (one.high - one.median) / whole,
                query=f"jq '.phases[] | select(.name==\"{one.name}\")' record.json",
            )
    if len(record.phases) > 1 and whole and (decode := next((o for o in record.phases if o.name == "decode"), None)):
        tokens = int(record.workload.get("output_tokens", 0)) - 1
        per_token = decode.median / max(1, tokens * int(record.workload.get("batch_size", 1)))
        yield Finding(
            code="DECODE",
            text=f"Decoding takes {_milli(decode.median)} ({decode.share or 0:.0%}), {_milli(per_token)} per token",
            seconds=decode.median,
            share=decode.share or 0.0,
            query="jq '.phases[] | select(.name==\"decode\")' record.json",
        )


def _groups(record: ProfileRecord) -> Iterator[Finding]:
    """The groups of operators with most time; their shares of the trace are put on the unprofiled time."""
    inside, whole = _model_seconds(record), _iteration(record)
    outside = record.figures.get("outside_operators_share", 0.0)
    for one in record.groups[:_GROUPS]:
        share = (one.share or 0.0) * (1 - outside)
        copies = one.name == "copy"
        if share < _COPIES or not whole:
            continue
        tail = ": copies compute nothing; look for casts, permutations and tensors that go back and forth"
        names = [op.name for op in record.operators if op.group == one.name][:3]
        yield Finding(
            code="COPIES" if copies else "GROUP",
            text=f"{one.name}: about {_milli(share * inside)} ({share * inside / whole:.0%}), mostly "
            f"{', '.join(names)}{tail if copies else ''}",
            seconds=share * inside,
            share=share * inside / whole,
            query=f"jq '.operators[] | select(.group==\"{one.name}\")' record.json",
        )
    if outside >= _OUTSIDE and whole:
        yield Finding(
            code="HOST",
            text=f"About {_milli(outside * inside)} of the model's {_milli(inside)} ({outside:.0%}, by the trace) pass "
            "outside of operators, in Python and between calls: larger batches, compiling or an exported variant help",
            seconds=outside * inside,
            share=outside * inside / whole,
            query="jq '.figures.outside_operators_share' record.json",
        )


def _kernels(record: ProfileRecord) -> Iterator[Finding]:
    whole = _iteration(record)
    for one in record.kernels[:_GROUPS]:
        counters = f"; its counters say that it is bound by {one.bound}" if one.bound else ""
        yield Finding(
            code="KERNEL",
            text=f"{one.name[:80]}: {_milli(one.seconds)} in {one.calls:g} calls, {one.share:.0%} of all "
            f"kernels{counters}",
            seconds=one.seconds,
            share=one.seconds / whole if whole else 0.0,
            query="jq '.kernels[0:3]' record.json",
        )
    for name, what in _WAITS.items():
        seconds = record.figures.get(name, 0.0)
        if whole and seconds >= _COPIES * whole:
            yield Finding(
                code="GAPS" if "gap" in name else "TRANSFERS",
                text=f"{_milli(seconds)} ({seconds / whole:.0%}) are {what}",
                seconds=seconds,
                share=seconds / whole,
                query=f"jq '.figures.{name}' record.json",
            )


def _roofline(record: ProfileRecord) -> Iterator[Finding]:
    peaks, whole = record.roofline, _iteration(record)
    if peaks is None or not whole:
        return
    for one in peaks.points[:_POINTS]:
        roof = min(peaks.flops_per_second, one.intensity * peaks.bytes_per_second)
        own = next(op for op in record.operators if op.name == one.name)
        if one.flops_per_second < _FAR * roof and own.share >= _TOKENISING:
            yield Finding(
                code="BELOW_ROOF",
                text=f"{one.name} does {one.flops_per_second / 1e9:.3g} billion operations per second, "
                f"{one.flops_per_second / roof:.0%} of what its {one.intensity:.3g} operations per byte allow here "
                f"({one.bound}-bound); batches of {record.workload.get('batch_size', 1)} may be too small",
                seconds=own.self_seconds * (1 - one.flops_per_second / roof),
                share=own.self_seconds * (1 - one.flops_per_second / roof) / whole,
                query=f"jq '.roofline.points[] | select(.name==\"{one.name}\")' record.json",
            )


def _machine(record: ProfileRecord) -> Iterator[Finding]:
    busy, threads = record.figures.get("busy_cores"), int(record.workload.get("threads", 1))
    if busy is not None and threads > 1 and busy < _IDLE * threads and record.workload.get("device") == "cpu":
        yield Finding(
            code="IDLE_CORES",
            text=f"{busy:.1f} of {threads} cores are busy: batches of {record.workload.get('batch_size', 1)} do not "
            "fill them; fewer threads cost nothing, larger batches use them",
            seconds=0.0,
            share=0.0,
            query="jq '.figures.busy_cores' record.json",
        )
    for one in record.observers:
        if one.large:
            yield Finding(
                code="OBSERVER",
                text=f"{one.tool} slows an iteration by {one.slowdown.value - 1:.0%} "
                f"({one.slowdown.low - 1:.0%} to {one.slowdown.high - 1:.0%}): shares of its figures are to be trusted "
                "more than their seconds",
                seconds=0.0,
                share=0.0,
                query=f"jq '.observers[] | select(.tool==\"{one.tool}\")' record.json",
            )
