"""Few-shot learners: tensors in, tensors out; they know no store."""
