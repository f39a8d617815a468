"""Imported by the fork server of `podium.execution.workers` before it serves: loads what the workers need."""

from __future__ import annotations

import gc
import json
import os
import sys
from contextlib import suppress
from importlib import import_module
from importlib.machinery import ModuleSpec

from podium.execution.environment import FORK_SERVER
from podium.execution.parent import ending_with


def _prepare() -> None:
    wanted = json.loads(os.environ.pop(FORK_SERVER))
    # This comes before all imports that take long. Once it serves, the server notices by itself if its parent is gone.
    with ending_with(wanted["parent"]):
        for module in ("podium.execution.workers", *wanted["preload"]):
            # What cannot be imported is an error of the call that needs it.
            with suppress(ImportError):
                import_module(module)
        # `multiprocessing` imports the parent's main module in every worker unless the server seems to have it. That
        # can take seconds (kfp's executor, a test runner), and functions of a main module cannot be called anyway.
        main = sys.modules["__main__"]
        if wanted["main_name"]:
            main.__spec__ = ModuleSpec(wanted["main_name"], None)
        if wanted["main_file"]:
            main.__file__ = wanted["main_file"]
        # Garbage collections in the workers leave out what is this old, because they would copy its memory pages.
        gc.collect()
        gc.freeze()


if FORK_SERVER in os.environ:
    _prepare()
