"""What came of a fine-tuning, and what a model predicts: in words, as rows, as JSON values."""

from __future__ import annotations

import math
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np

from metastore.rendering import Form, render, render_one
from recommenders.starts.finetuned import FineTuned
from recommenders.starts.finetuning import Outcome
from recommenders.starts.fitted import Probabilities
from recommenders.starts.support_set import SupportSet, class_name
from recommenders.starts.words import uneven

_SHOWN = 20
_COLUMNS = 6


def shown(outcome: Outcome, form: Form, kept: Path | None, width: int = 100) -> str:
    """Return what came of a fine-tuning as the command prints it.

    Args:
        outcome: what came of it.
        form: JSON, the predictions as CSV, or else words.
        kept: the folder that the model is in; None where it was not kept.
        width: of lines of words.
    """
    if form is Form.JSON:
        return render_one(outcome_dict(outcome) | {"model": None if kept is None else str(kept)})
    if form is Form.CSV and outcome.query is not None and outcome.probabilities is not None:
        return render(prediction_rows(outcome.model, outcome.query, outcome.probabilities), form)
    text = outcome_text(outcome, width)
    return text if kept is None else f"{text}\n{kept}: the model; headstart predict {kept} QUERY"


def outcome_text(outcome: Outcome, width: int = 100) -> str:
    """Return what came of a fine-tuning in words, with the first predictions."""
    fitted, about = outcome.model.fitted, outcome.model.about
    counts = about["rows_of_each_class"]
    shots = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    lines = [
        f"{about['support'] or 'the support set'}: {sum(counts)} rows of {len(counts)} classes, "
        f"{shots} of each",
        f"start: {fitted.name} ({outcome.reason})",
    ]
    if fitted.tuning is not None:
        lines.append(f"tuning: {_setting(fitted.tuning.config())} ({outcome.tuned})")
    lines += [f"fitted in {fitted.seconds:.1f} s: {fitted.rule}"]
    lines += [f"note: {note}" for note in fitted.notes]
    lines.append(_how_good(outcome))
    text = "\n".join(fill(line, width, subsequent_indent="  ") for line in lines)
    if outcome.query is None or outcome.probabilities is None:
        return text
    rows = prediction_rows(outcome.model, outcome.query, outcome.probabilities)
    return f"{text}\n\n{prediction_text(rows)}"


def prediction_rows(
    model: FineTuned, query: SupportSet, probabilities: Probabilities
) -> list[dict[str, Any]]:
    """Return a row for each row of a query: its name, the class, and all probabilities.

    Classes are numbers, or true and false, where the labels that were learned from are.
    """
    classes, found = model.classes, []
    values = [_plain(value) for value in model.like.values or classes]
    for i, chances in enumerate(probabilities):
        best = int(chances.argmax())
        row: dict[str, Any] = {"row": query.rows[i] if query.rows else i}
        if (query.labels >= 0).any():
            label = int(query.labels[i])
            row["label"] = values[label] if label >= 0 else None
        row |= {"predicted": values[best], "probability": float(chances[best])}
        row |= {f"p({name})": float(p) for name, p in zip(classes, chances, strict=True)}
        found.append(row)
    return found


def prediction_text(rows: list[dict[str, Any]]) -> str:
    """Return the first predictions as a table, without the columns that would not fit."""
    columns = list(rows[0])
    if len(columns) > _COLUMNS + 2:
        columns = [name for name in columns if not name.startswith("p(")]
    shown = [{name: _short(row[name]) for name in columns} for row in rows[:_SHOWN]]
    more = len(rows) - len(shown)
    rest = f"\nand {more} more: --csv and --json print all of them" if more else ""
    return render(shown, Form.TABLE) + rest


def outcome_dict(outcome: Outcome) -> dict[str, Any]:
    """Return what came of a fine-tuning as JSON values; what is not known is null."""
    fitted, held = outcome.model.fitted, outcome.held_out
    predictions = None
    if outcome.query is not None and outcome.probabilities is not None:
        predictions = prediction_rows(outcome.model, outcome.query, outcome.probabilities)
    return {
        "start": fitted.name,
        "reason": outcome.reason,
        "tuning": None if fitted.tuning is None else fitted.tuning.config(),
        "tuned": outcome.tuned,
        "rule": fitted.rule,
        "notes": list(fitted.notes),
        "classes": [_plain(value) for value in outcome.model.like.values or fitted.classes],
        "accuracy": _known(outcome.accuracy),
        "held_out": None
        if held is None
        else {
            "accuracy": held.accuracy,
            "interval": list(held.interval()),
            "log_loss": held.log_loss,
            "rows": held.n_rows,
        },
        "temperature": fitted.temperature,
        "curve": list(outcome.model.about["curve"]),
        "fit_seconds": fitted.seconds,
        "seconds": outcome.seconds,
        "run": None if outcome.run_id is None else str(outcome.run_id),
        "predictions": predictions,
    }


def _by_class(outcome: Outcome) -> str:
    """Return what classes that count alike say, where some have many more examples."""
    held, counts = outcome.held_out, outcome.model.about["rows_of_each_class"]
    return f", {held.balanced:.1%} with classes counted alike" if held and uneven(counts) else ""


def _how_good(outcome: Outcome) -> str:
    parts = []
    held = outcome.held_out
    if held is not None:
        low, high = held.interval()
        parts.append(
            f"{held.accuracy:.1%} of {held.n_rows} rows right when held out in turn (80% "
            f"interval {low:.0%} to {high:.0%})" + _by_class(outcome)
        )
    if outcome.query is not None and (outcome.query.labels >= 0).any():
        n = int((outcome.query.labels >= 0).sum())
        parts.append(f"{outcome.accuracy:.1%} of {n} labelled query rows right")
    if not parts:
        return "how good it is is not known: no class has two examples to hold one out"
    return "; ".join(parts)


def _setting(config: dict[str, Any]) -> str:
    if config["mode"] == "adapt":
        return "the learner's own rule"
    if config["mode"] == "linear":
        return "logistic regression on its embeddings"
    return ", ".join(
        f"{name} {value:.2g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in config.items()
        if name != "mode"
    )


def _short(value: Any) -> Any:
    return f"{value:.3f}" if isinstance(value, float) else value


def _plain(value: Any) -> Any:
    """Return a class's value as JSON has it; what it has no word for, as text."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, bool | int | float | str) else class_name(value)


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
