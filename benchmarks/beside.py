"""An environment of its own for a tool that is compared with Podium: it sees the packages of this one."""

from __future__ import annotations

import site
import subprocess
import sys
from pathlib import Path


def python_beside(directory: Path, *install: str) -> str:
    """The interpreter of the environment in `directory`, made where it lacks with what `pip install` is told."""
    python = directory / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
        packages = next(directory.glob("lib/python*/site-packages"))
        lines = [f"import site; site.addsitedir({place!r})" for place in site.getsitepackages()]
        (packages / "podium-packages.pth").write_text("\n".join(lines))
        subprocess.run([str(python), "-m", "pip", "install", "-q", *install], check=True)
    return str(python)
