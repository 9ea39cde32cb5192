"""Few-shot learning on the published benchmarks."""
