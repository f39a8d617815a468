"""Imported last by the fork server: passes for the parent's main module, and keeps its objects out of collections."""

from __future__ import annotations

import gc
import os
import sys
from importlib.machinery import ModuleSpec

from podium.execution.environment import MAIN_FILE, MAIN_NAME
from podium.execution.orphan import stop_watching


def _adopt_main() -> None:
    """Pass for the parent's main module, which `multiprocessing` would otherwise import again in every worker.

    Functions of a main module cannot be jobs; a step's main (kfp's executor, a test runner) can take seconds to import.
    """
    main = sys.modules["__main__"]
    if name := os.environ.get(MAIN_NAME):
        main.__spec__ = ModuleSpec(name, None)
    if file := os.environ.get(MAIN_FILE):
        main.__file__ = file


_adopt_main()
# Objects as old as the server are left out of the workers' garbage collections, which would copy their pages.
gc.collect()
gc.freeze()
stop_watching()
