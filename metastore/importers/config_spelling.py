"""Telling in SQL whether a config's text is spelled as `canonical_json` spells it.

Most tables were written by a program that sorts its keys and prints shortest floats already. What
is told apart here is kept as it is, but for spaces after commas and colons; the rest has to be
parsed. The patterns that nearly all texts match go first: they repeat one hyperparameter, and so
take a third of the time of one that spells out all of them; which these are, `json_keys` tells.
"""

from __future__ import annotations

import re
from typing import Any

import duckdb

from metastore.types import MAX_CONFIG_BYTES

# A value as `canonical_json` spells it; strings with a comma, a colon or an escape are left out.
_VALUE = (
    r'(?:"[^"\\,:]*"|true|false|null|-?[1-9][0-9]*|0'
    r"|-?(?:0|[1-9][0-9]*)\.(?:0|[0-9]*[1-9])"
    r"|-?[1-9](?:\.[0-9]*[1-9])?e-(?:0[5-9]|[1-9][0-9]))"
)
# Numbers that match but have more than 17 digits, or are too small or too large to be written
# without an exponent. Those of 17 digits are taken as they are written: nearly every program
# that writes as many writes the shortest that is exact.
_UNUSUAL = r"[:,\[] ?-?(?:0\.0*[1-9][0-9]{17}|[1-9][0-9.]{18}|0\.0000|0\.0[,}]|[0-9]{17})"

# The same in one pattern: at most 17 digits, however many of them before the point.
_NUMBER = "|".join(
    [
        "-?[1-9][0-9]{0,15}",
        r"-?0\.0{0,3}(?:[1-9][0-9]{0,15})?[1-9]",
        *(rf"-?[1-9][0-9]{{{k}}}\.(?:0|[0-9]{{0,{15 - k}}}[1-9])" for k in range(16)),
        r"-?[1-9](?:\.[0-9]{0,15}[1-9])?e-(?:0[5-9]|[1-9][0-9])",
    ]
)
_PLAIN = r'[^"\\,: \x00-\x1f]*'
"""Text in which no space can be taken for one between hyperparameters."""

_SPACED = rf'"{_PLAIN}": (?:"{_PLAIN}"|true|false|null|0|0\.0|{_NUMBER})'
_CLOSE = _SPACED.replace('": ', '":')
_KINDS = 20


def canonical_sql(text: str) -> str:
    """Return the SQL of the canonical text of a config, NULL where it has to be parsed.

    Args:
        text: the column that holds it.
    """
    return f"""
CASE WHEN length({text}) > {MAX_CONFIG_BYTES} THEN NULL
WHEN list_contains($kinds::VARCHAR[][],
                   CASE WHEN regexp_full_match({text}, $spaced) THEN json_keys({text}) END)
THEN replace({text}, ' ', '')
WHEN list_contains($kinds::VARCHAR[][],
                   CASE WHEN regexp_full_match({text}, $close) THEN json_keys({text}) END)
THEN {text}
WHEN regexp_full_match({text}, $usual) AND NOT regexp_matches({text}, $unusual)
THEN replace(replace({text}, '": ', '":'), ', "', ',"') END
"""


def spellings(con: duckdb.DuckDBPyConnection, sample: str) -> dict[str, Any]:
    """Return the parameters of `canonical_sql`, for the commonest sets of hyperparameters.

    Args:
        con: a connection.
        sample: SQL of a few rows with a column `raw`.
    """
    found = con.execute(
        f"SELECT keys FROM (SELECT json_keys(raw) AS keys FROM {sample} "
        "WHERE json_valid(raw) AND raw[1] = '{') "
        f"GROUP BY keys ORDER BY count(*) DESC, keys LIMIT {_KINDS}"
    ).fetchall()
    kinds = [
        keys
        for (keys,) in found
        if keys == sorted(set(keys)) and not any(re.search(r'["\\,:\x00-\x1f]', k) for k in keys)
    ]
    usual = [", ?".join(f'"{re.escape(key)}": ?{_VALUE}' for key in keys) for keys in kinds]
    return {
        "kinds": kinds or [[]],
        "spaced": rf"\{{(?:{_SPACED}, )*{_SPACED}\}}",
        "close": rf"\{{(?:{_CLOSE},)*{_CLOSE}\}}",
        "usual": rf"\{{(?:{'|'.join(usual)})\}}",
        "unusual": _UNUSUAL,
    }
