"""A small learner of waves, and settings under which it trains in no time."""

from __future__ import annotations

from learners.maml import maml
from learners.networks import MLP
from learners.sinusoid import SinusoidSampler
from learners.training import Training

LEARNER = maml(MLP((1, 8, 1)), rate=0.01, regression=True)
SAMPLER = SinusoidSampler()
QUICK = Training(meta_batch=4, validate_every=5, checkpoint_every=5, progress=False)
