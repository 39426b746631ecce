"""Hypothesis strategies for documents, as PyMongo's programs have them."""
from __future__ import annotations

import datetime
from typing import Any

from bson import Binary, Code, Decimal128, MaxKey, MinKey, ObjectId, Regex, Timestamp
from hypothesis import strategies as st
from row_values import BYTES, FLOATS, INTERVALS, INTS, TEXTS

NUMBERS = st.one_of(
    INTS, FLOATS, st.integers(-3, 3), st.decimals(-1000, 1000, places=1).map(Decimal128),
    st.sampled_from([0.1, 0.5, Decimal128("0.1"), Decimal128("0.5"), 2**60, float(2**60), Decimal128("NaN"),
                     Decimal128("Infinity"), Decimal128("1E+6000"), float("inf"), Decimal128("-1E+6000"),
                     float("-inf"), -0.0, Decimal128("-0"), float("nan"),
                     Decimal128("0.1000000000000000055511151231257827")]))
MOMENTS = st.datetimes(datetime.datetime(2, 1, 1), datetime.datetime(9998, 1, 1)).map(
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000))
ONLY_IN_DOCUMENTS = st.one_of(
    st.binary(min_size=12, max_size=12).map(ObjectId), st.builds(Regex, st.text("ab.", max_size=3),
                                                                st.sampled_from(["", "i", "im"])),
    st.builds(MinKey), st.builds(MaxKey), st.builds(Timestamp, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
    st.builds(Binary, BYTES, st.integers(1, 3) | st.integers(5, 255)), st.builds(Code, st.text("ab{}", max_size=4)))
BSON_LEAVES: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), NUMBERS, TEXTS, ONLY_IN_DOCUMENTS, MOMENTS, BYTES, st.uuids())
LEAVES = BSON_LEAVES | st.dates() | st.times() | INTERVALS
NAMES = st.sampled_from(["a", "b", "c", "0", "1"])


def documents(leaves: st.SearchStrategy[Any], leaf_count_max: int = 8) -> st.SearchStrategy[Any]:
    return st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
                        max_leaves=leaf_count_max)
