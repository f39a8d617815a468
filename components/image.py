"""The image that every Podium component runs in."""

from podium import __version__

IMAGE = f"docker.io/podium/podium-python:{__version__}"
"""Built from `images/podium-python`; a pipeline can be compiled for another registry by replacing this name."""
