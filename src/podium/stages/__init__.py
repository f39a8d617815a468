"""One function per step of the graph: typed inputs in, a record out.

A step computes its key, returns the stored result when there is one, and otherwise computes, stores and
tracks it. `run_step` in `step.py` is the only place that decides.
"""
