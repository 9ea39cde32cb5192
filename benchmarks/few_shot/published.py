"""What papers report on Omniglot, and what was asked of a short run on two cores, in percent.

Each method's row is its own paper's, except: the siamese row and the memory network's two columns
are as Vinyals et al. (2016, table 1) and Santoro et al. (2016, table 1) give them, the latter at a
class's second showing; first-order MAML's is from Nichol et al. (2018, table 1), whose
transductive rows stand here beside their other.
"""

from __future__ import annotations

#: Accuracies 5-way 1-shot, 5-way 5-shot, 20-way 1-shot, 20-way 5-shot; None where there is none.
PUBLISHED: dict[str, tuple[float | None, ...]] = {
    "maml, transductive": (98.7, 99.9, 95.8, 98.9),
    "fomaml, transductive": (98.3, 99.2, 89.4, 97.9),
    "meta_sgd, transductive": (99.5, 99.9, 95.9, 99.0),
    "maml++, transductive": (99.5, 99.9, 97.7, 99.3),
    "reptile, transductive": (97.7, 99.5, 89.4, 97.1),
    "protonet": (98.8, 99.7, 96.0, 98.9),
    "matching": (98.1, 98.9, 93.8, 98.5),
    "siamese": (97.3, 98.4, 88.1, 97.0),
    "relation": (99.6, 99.8, 97.6, 99.1),
    "mann": (82.8, 94.9, None, None),
    "snail": (99.1, 99.8, 97.6, 99.4),
    "cnp": (95.3, 98.5, 89.9, 96.8),
}

#: What half an hour of two cores should reach, likewise.
ASKED: dict[str, tuple[float | None, ...]] = {
    "protonet": (98.0, 99.4, 94.5, 98.3),
    "matching": (97.0, 98.5, None, None),
    "siamese": (96.0, None, None, None),
    "relation": (97.0, None, None, None),
    "mann": (82.8, None, None, None),
    "snail": (97.0, None, None, None),
    "reptile": (94.0, None, None, None),
    "fomaml": (95.0, None, None, None),
    "anil": (95.0, None, None, None),
}
