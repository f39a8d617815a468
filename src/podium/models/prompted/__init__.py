"""Prompted language models, run with torch, transformers and Jinja alone.

The modules here import nothing of Podium, and each other relatively, since the folder is deployed with the model.
"""

ABOUT = "prompt.json"
"""The file that tells a package of a prompted model."""
