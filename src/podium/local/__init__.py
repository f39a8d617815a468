"""Running the pipeline on this machine: `kfp.local`, with a run directory, progress and real errors."""
