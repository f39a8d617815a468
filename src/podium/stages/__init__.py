"""The steps of the graph: `steps` is their table, and `step` decides whether a result is reused or computed."""
