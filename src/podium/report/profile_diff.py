"""The difference of two profiles for a terminal."""

from __future__ import annotations

from podium.profiling.diff import Change, ProfilesDiff

_NAMED = 28


def as_text(found: ProfilesDiff) -> str:
    """Lines for every range and group, then notes and checks."""
    lines = [f"{found.before} → {found.after}, per iteration", ""]
    lines += [_line(one) for one in found.changes if one.kind == "range"]
    groups = [one for one in found.changes if one.kind == "group" and max(one.before, one.after) > 0]
    if groups:
        lines += ["", "groups of operators, one trace each, not judged:", *map(_line, groups)]
    lines += ["", *(f"note: {one}" for one in found.notes)] if found.notes else []
    for one in found.checks:
        lines.append(f"{one.verdict}: {one.check}{f' ({one.reason})' if one.reason else ''}")
    return "\n".join(lines) + "\n"


def _line(one: Change) -> str:
    figures = f"{one.name:<{_NAMED}} {one.before * 1e3:>10.3f} ms {one.after * 1e3:>10.3f} ms"
    if one.ratio is None:
        return f"{figures}  {one.after / one.before:>6.2f}×" if one.before else f"{figures}     new"
    word = "within noise" if not one.real else "slower" if one.ratio.value > 1 else "faster"
    return f"{figures}  {one.ratio.value:>6.2f}× ({one.ratio.low:.2f} to {one.ratio.high:.2f})  {word}"
