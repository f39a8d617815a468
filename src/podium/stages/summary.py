"""The answer in a few lines: what `podium run` prints at its end."""

from __future__ import annotations

from typing import Any

from podium.records import Interval, Measurement
from podium.report import ReportInputs


def summarise(inputs: ReportInputs) -> dict[str, Any]:
    """The winner, its score, its latency and the verdict: figures for machines, and `lines` for people."""
    decision, selection = inputs.decision, inputs.selection
    entry, test, measured = inputs.winner, inputs.winner_test, inputs.winner_measurement
    form = f" as {decision.winner_variant}" if decision.winner_variant not in (None, "eager") else ""
    lines = {
        "Winner": f"{decision.winner}{form} (trial {entry.trial} of its study)" if entry else "none",
        "Verdict": "\n".join([decision.verdict, *(f"- {reason.text}" for reason in decision.reasons)]),
    }
    if test:
        rows = inputs.data.rows["test"]
        lines["Score"] = f"{selection.metric} {interval_text(test)} on {rows:,} held-out rows"
    if measured:
        lines["Latency"] = latency_text(measured)
    return {
        "winner": decision.winner,
        "verdict": decision.verdict,
        "metric": selection.metric,
        "score": test.model_dump() if test else None,
        "latency_ms": {str(item.q): item.value_ms for item in measured.latency} if measured else {},
        "registered": decision.registered,
        "lines": {name: lines[name] for name in ("Winner", "Score", "Latency", "Verdict") if name in lines},
    }


def interval_text(interval: Interval) -> str:
    """A figure with its interval: `0.962 [0.944, 0.979] (95 %)`."""
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}] ({interval.confidence:.0%})"


def latency_text(measured: Measurement) -> str:
    """Latency quantiles and throughput on one line."""
    quantiles = ", ".join(f"p{item.q * 100:g} {item.value_ms:.1f} ms" for item in measured.latency)
    rate = measured.throughput_per_second
    return f"{quantiles} at batch 1; {rate.value:.0f} rows/s at batch {measured.batch_size} ({measured.variant})" + (
        "; unstable: see the report" if measured.unstable else ""
    )
