"""Model FLOPs utilisation: the share of a device's dense peak that a model's own arithmetic makes up.

The definition is that of Chowdhery et al., 2022, "PaLM", appendix B. Every input token costs two operations per weight
that it is multiplied with (Kaplan et al., 2020, section 2.1). The products within attention are not counted, nor is
padding, so the utilisation of long or uneven rows is in fact higher than the figure.
"""

from __future__ import annotations

from podium.devices.peaks import Precision, gpu_peak


def utilisation(
    weights: int | None, tokens_per_second: float, gpu: str, precision: Precision
) -> tuple[float | None, str]:
    """Utilisation, and how it is counted; or None, and why.

    Args:
        weights: weights that every input token is multiplied with; None where they cannot be counted.
        gpu: its name; empty on a CPU.
        precision: `fp32` or `bf16`.
    """
    if not gpu:
        return (
            None,
            "no dense peak is known of a CPU: it depends on clock speeds that change with load and instructions",
        )
    known = gpu_peak(gpu)
    peak = known.flops(precision) if known else None
    if peak is None:
        return None, f"no dense peak of {gpu} in {precision} is in Podium's table"
    if weights is None:
        return None, "the weights of an exported graph are not counted"
    return 2 * weights * tokens_per_second / peak, f"of {peak / 1e12:g}e12 operations per second, dense {precision}"
