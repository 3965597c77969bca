"""A Generation, a Trace or a Comparison -> terminal, JSON, CSV, NPZ."""
