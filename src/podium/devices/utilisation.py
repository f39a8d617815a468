"""Model FLOPs utilisation: the share of a device's dense peak that a model's own arithmetic makes up.

Chowdhery et al., 2022, "PaLM", appendix B. Every input token costs two operations per weight that it is multiplied with
(Kaplan et al., 2020, section 2.1). Attention's own products are left out, as is padding, so that long or uneven rows
look worse than they are.
"""

from __future__ import annotations

TERA = 1e12

PEAKS: dict[str, dict[str, float]] = {
    "T4": {"fp32": 8.1},
    "V100": {"fp32": 15.7},
    "A10": {"fp32": 31.2, "bf16": 125.0},
    "A30": {"fp32": 10.3, "bf16": 165.0},
    "A100": {"fp32": 19.5, "bf16": 312.0},
    "L4": {"fp32": 30.3, "bf16": 121.0},
    "L40S": {"fp32": 91.6, "bf16": 362.0},
    "H100 PCIe": {"fp32": 51.0, "bf16": 756.0},
    "H100 80GB HBM3": {"fp32": 67.0, "bf16": 989.0},
}
"""Dense peaks in 10^12 operations per second, from NVIDIA's data sheets, by a part of the name that the driver gives.

fp32 is that of the CUDA cores: PyTorch does not use TF32 for matrix products unless told to.
"""


def peak_flops(gpu: str, precision: str) -> float | None:
    """The dense peak of a GPU in operations per second; None where it is not in the table."""
    words = f" {gpu.replace('-', ' ')} "
    found = [name for name in PEAKS if f" {name} " in words]
    peak = PEAKS[max(found, key=len)].get(precision) if found else None
    return peak * TERA if peak else None


def utilisation(weights: int | None, tokens_per_second: float, gpu: str, precision: str) -> tuple[float | None, str]:
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
    peak = peak_flops(gpu, precision)
    if peak is None:
        return None, f"no dense peak of {gpu} in {precision} is in Podium's table"
    if weights is None:
        return None, "the weights of an exported graph are not counted"
    return 2 * weights * tokens_per_second / peak, f"of {peak / TERA:g}e12 operations per second, dense {precision}"
