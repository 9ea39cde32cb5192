"""The methods of this package: where each comes from, what it needs, what it is good for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """One few-shot learning method.

    Args:
        name: what people call it.
        build: where it is, as `module.function` or `module.Class`.
        citation: authors, title, venue, year.
        needs: what it must be given.
        good_for: when to reach for it.
    """

    name: str
    build: str
    citation: str
    needs: str
    good_for: str

    @property
    def key(self) -> str:
        """The name that commands take: that of the method's module."""
        return self.build.split(".")[1]


def catalogue() -> tuple[Method, ...]:
    """Return every method, gradient-based ones first.

    >>> [method.name for method in catalogue()][:3]
    ['MAML', 'First-order MAML', 'ANIL']
    """
    return _METHODS


_METHODS = (
    Method(
        "MAML",
        "learners.maml.maml",
        "Finn, Abbeel, Levine: Model-Agnostic Meta-Learning, ICML 2017",
        "a network; memory that grows with the inner steps",
        "classification and regression when a few gradient steps must suffice",
    ),
    Method(
        "First-order MAML",
        "learners.fomaml.fomaml",
        "Finn, Abbeel, Levine, ICML 2017, section 5.2",
        "a network",
        "MAML with less time and memory a step, at some loss of accuracy with one shot",
    ),
    Method(
        "ANIL",
        "learners.anil.anil",
        "Raghu, Raghu, Bengio, Vinyals: Rapid Learning or Feature Reuse?, ICLR 2020",
        "a network whose last layer is named head",
        "fast adaptation: the last layer alone moves",
    ),
    Method(
        "Meta-SGD",
        "learners.meta_sgd.meta_sgd",
        "Li, Zhou, Chen, Li: Learning to Learn Quickly for Few-Shot Learning, 2017",
        "a network; twice the parameters",
        "one-step adaptation without tuning the inner rate",
    ),
    Method(
        "MAML++",
        "learners.maml_plus_plus.maml_plus_plus",
        "Antoniou, Edwards, Storkey: How to Train Your MAML, ICLR 2019",
        "a network; several inner steps",
        "MAML that trains more stably, with learned rates a layer and step",
    ),
    Method(
        "Reptile",
        "learners.reptile.Reptile",
        "Nichol, Achiam, Schulman: On First-Order Meta-Learning Algorithms, 2018",
        "many shots in training; Training(optimizer='sgd', schedule='linear', rate=1.0)",
        "large networks and many inner steps: no second derivatives, no query set",
    ),
    Method(
        "Prototypical networks",
        "learners.protonet.ProtoNet",
        "Snell, Swersky, Zemel: Prototypical Networks for Few-Shot Learning, NeurIPS 2017",
        "an embedding network; classification",
        "the first thing to try for classification: fast, and any number of classes",
    ),
    Method(
        "Matching networks",
        "learners.matching.Matching",
        "Vinyals et al.: Matching Networks for One Shot Learning, NeurIPS 2016",
        "an embedding network; classification",
        "probabilities that say which support example they lean on",
    ),
    Method(
        "Siamese networks",
        "learners.siamese.Siamese",
        "Koch, Zemel, Salakhutdinov: Siamese Neural Networks, ICML workshop 2015",
        "an embedding network; classification",
        "verification: are these two of one class?",
    ),
    Method(
        "Relation networks",
        "learners.relation.Relation",
        "Sung et al.: Learning to Compare: Relation Network for Few-Shot Learning, CVPR 2018",
        "a convolutional network that keeps maps; classification of images",
        "images whose likeness a fixed distance does not capture",
    ),
    Method(
        "Set encoder",
        "learners.set_encoder.SetEncoder",
        "Jomaa, Schmidt-Thieme, Grabocka: Dataset2Vec, DMKD 2021; Bertinetto et al.: "
        "Meta-learning with differentiable closed-form solvers, ICLR 2019",
        "rows of any number of columns; support sets of up to some thousand rows; classification",
        "tables: trained on many of different width, it takes a new one as it is",
    ),
    Method(
        "Deep-kernel Gaussian process",
        "learners.deep_kernel.DeepKernel",
        "Wilson et al., AISTATS 2016; Patacchini et al., NeurIPS 2020",
        "a network for features; support sets of up to some hundred rows",
        "regression with honest uncertainty, such as surrogates of a search",
    ),
    Method(
        "Memory-augmented network",
        "learners.mann.Mann",
        "Santoro et al.: Meta-Learning with Memory-Augmented Neural Networks, ICML 2016; "
        "Graves et al.: Neural Turing Machines, 2014",
        "a fixed largest number of classes; long meta-training; classification",
        "streams of examples that are seen once and must be remembered",
    ),
    Method(
        "SNAIL",
        "learners.snail.Snail",
        "Mishra et al.: A Simple Neural Attentive Meta-Learner, ICLR 2018",
        "an embedding network; a fixed largest number of classes; long meta-training",
        "much meta-training data: attention finds how to use the support set by itself",
    ),
    Method(
        "Conditional neural process",
        "learners.cnp.ConditionalNeuralProcess",
        "Garnelo et al.: Conditional Neural Processes, ICML 2018",
        "encoder and decoder networks; many episodes",
        "regression with a deviation a point, in one forward pass for any number of points",
    ),
    Method(
        "Hypernetwork",
        "learners.hypernetwork.Hypernetwork",
        "Ha, Dai, Le: HyperNetworks, ICLR 2017; Qiao et al., CVPR 2018",
        "an encoder of support sets and the sizes of a small network",
        "a small network for each episode without a gradient step",
    ),
    Method(
        "Learned optimizer",
        "learners.learned_optimizer.LearnedOptimizer",
        "Andrychowicz et al.: Learning to learn by gradient descent by gradient descent, "
        "NeurIPS 2016",
        "many similar training problems",
        "training networks of one kind again and again, in fewer steps than Adam",
    ),
    Method(
        "Meta-LSTM",
        "learners.meta_lstm.MetaLSTM",
        "Ravi, Larochelle: Optimization as a Model for Few-Shot Learning, ICLR 2017",
        "a network; no second derivatives",
        "learning start, step sizes and decay of every weight together",
    ),
)
