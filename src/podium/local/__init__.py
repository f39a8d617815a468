"""Running the graph, benchmarks and Katib files on this machine, with progress and a run directory."""
