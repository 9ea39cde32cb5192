"""Few-shot learners: tensors in, tensors out; they know no store.

Nothing is imported here, so that `learners.catalogue` can be listed without torch.
"""
