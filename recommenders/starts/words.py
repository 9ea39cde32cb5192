"""Advice about starts in words that a person understands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import fill

from recommenders.starts.advice import StartAdvice, StartEvidence, StartsAnswer
from recommenders.starts.cross_validation import Folds, HeldOut
from recommenders.starts.support_set import SupportSet

UNEVEN = 3
"""A class with so many times the examples of another makes a set uneven."""
_FAR, _NEAR = 2.0, 1.3


def text(answer: StartsAnswer, width: int = 100) -> str:
    """Return the whole answer, wrapped at `width`."""
    smallest, largest = min(answer.counts), max(answer.counts)
    each = f"{smallest}" if smallest == largest else f"{smallest} to {largest}"
    lines = [
        f"{answer.support}: {answer.n_way} classes, {sum(answer.counts)} examples, {each} a class"
    ]
    for number, one in enumerate(answer.ranked, 1):
        lines += ["", f"{number}. {headline(one)}"]
        lines.append(fill(one.reason, width, initial_indent="   ", subsequent_indent="   "))
        for note in one.evidence.notes:
            lines.append(fill(note, width, initial_indent="   - ", subsequent_indent="     "))
    closing = [*answer.notes]
    if answer.tied:
        closing.append(
            f"Not told apart from {answer.best.choice} by so few examples: "
            f"{_listed(answer.tied)}. The differences are within the noise."
        )
    for name, reason in answer.refused:
        closing.append(f"Not usable here: {name}, because {reason}")
    if closing:
        lines.append("")
    lines += [fill(line, width) for line in closing]
    return "\n".join(lines)


def headline(one: StartAdvice) -> str:
    """Return name, expected accuracy with its interval, and cost."""
    low, high = one.interval
    cost = f", about {seconds(one.seconds)} to adapt" if math.isfinite(one.seconds) else ""
    return (
        f"{one.label}: expected accuracy {one.accuracy:.0%} "
        f"(80% between {low:.0%} and {high:.0%}){cost}"
    )


def reason(evidence: StartEvidence, *, is_start: bool) -> str:
    """Return what speaks for a candidate, in a sentence or three."""
    said = [_held(evidence)]
    if math.isfinite(evidence.validation):
        said.append(
            f"its validation says {evidence.validation:.0%} for so many classes and examples"
        )
    elif is_start:
        said.append("nothing is known of its validation")
    if math.isfinite(evidence.novelty):
        said.append(_likeness(evidence.novelty))
    if evidence.past_tasks:
        tasks = "task" if evidence.past_tasks == 1 else "tasks"
        said.append(f"the store remembers it on {evidence.past_tasks} earlier {tasks}")
    joined = "; ".join(part for part in said if part)
    return f"{joined[:1].upper()}{joined[1:]}." if joined else ""


def set_notes(
    support: SupportSet, folds: Folds, with_starts: bool, *, alike: bool = False
) -> tuple[str, ...]:
    """Return what a person should know of the set as a whole; `alike`: no column of it varies."""
    notes = []
    if alike:
        notes.append(
            "No column varies, so nothing tells the classes apart: new rows are expected to be "
            "right as often as the class that is answered comes."
        )
    if not len(folds):
        notes.append(
            "Each class has one example, so nothing can be held out: the ranking rests on "
            "validation, on likeness to the tasks that starts were trained on, and on earlier "
            "tasks. A second example a class would tell more."
        )
    elif folds.lone:
        names = _listed([support.classes[c] for c in folds.lone])
        notes.append(
            f"One example alone, which cannot be held out: {names}. How well it is told apart "
            "is not measured."
        )
    if not with_starts:
        notes.append("The store has no start that takes this set; `headstart learn` trains one.")
    return tuple(notes)


def uneven(counts: Sequence[int]) -> bool:
    """Whether some classes have so many more examples that accuracy is that of the large ones.

    >>> uneven([40, 7, 12]), uneven([5, 6])
    (True, False)
    """
    return max(counts) >= UNEVEN * min(counts)


def uneven_note(support: SupportSet, choice: str, held: HeldOut | None) -> tuple[str, ...]:
    """Return what a person should know where some classes have many more examples than others.

    Args:
        support: the set.
        choice: what is recommended.
        held: its held-out answers; None where there are none.
    """
    counts = support.counts.tolist()
    if held is None or not uneven(counts):
        return ()
    return (
        f"Classes have {min(counts)} to {max(counts)} examples. Accuracies are of new examples "
        f"in these shares; with classes counted alike, {held.balanced:.0%} of what {choice} "
        "answered for held-out examples was right.",
    )


def seconds(value: float) -> str:
    """Return a duration for a person.

    >>> seconds(0.034), seconds(4.2), seconds(150)
    ('0.03 s', '4.2 s', '2.5 min')
    """
    if value >= 100:
        return f"{value / 60:.1f} min"
    return f"{value:.1f} s" if value >= 1 else f"{value:.2f} s"


def _held(evidence: StartEvidence) -> str:
    if not evidence.n_held:
        return ""
    low, high = evidence.held_out_interval
    return (
        f"{evidence.held_out:.0%} of {evidence.n_held} held-out examples right "
        f"({low:.0%} to {high:.0%} by these alone, log-loss {evidence.log_loss:.2f})"
    )


def _likeness(novelty: float) -> str:
    if novelty > _FAR:
        return (
            f"the task is unlike those it was trained on ({novelty:.1f} times as far away as "
            "they are from each other)"
        )
    where = "close to" if novelty < _NEAR else "at the edge of"
    return f"the task is {where} those it was trained on (distance {novelty:.1f})"


def _listed(names: Sequence[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
