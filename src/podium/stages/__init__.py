"""The steps of the graph.

`steps.py` is the table of steps. `step.py` has the one function that decides whether a result is reused or computed,
and each other module named after a step has its `compute`: typed records in, a record out.
"""
