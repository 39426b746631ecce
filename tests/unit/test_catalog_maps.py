"""The persistent map is a dict, and a copy leaves the map before as it was."""
from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from phantomdb.core.catalog.maps import BUCKET_COUNT, PersistentMap

# Few buckets, so that they have several keys, and whole ones come and go.
keys = st.integers(0, 3).map(lambda place: place * 7) | st.integers(0, 9).map(lambda turn: turn * BUCKET_COUNT)


@settings(deadline=None)
@given(st.dictionaries(keys, st.integers()), st.lists(st.tuples(st.sets(keys), st.dictionaries(keys, st.integers()))))
def test_against_a_dict(first: dict[int, int], changes: list[tuple[set[int], dict[int, int]]]) -> None:
    model, made = dict(first), PersistentMap(first.items())
    for removed, added in changes:
        before, old = made, dict(model)
        gone = removed & set(model)
        model = {key: value for key, value in model.items() if key not in gone} | added
        made = before.changed(gone, added.items())
        assert made == model and len(made) == len(model)
        assert before == old
        expected = {key for key in model.keys() | old.keys() if model.get(key) is not old.get(key)}
        assert set(made.differences(before)) == expected
    for key in range(-1, 30):
        assert made.get(key) == model.get(key) and made.get(key, "none") == model.get(key, "none")
        assert (key in made) is (key in model)


def test_a_copy_shares() -> None:
    before = PersistentMap((number, object()) for number in range(10_000))
    after = before.changed((), ((5, object()),))
    assert sum(ours is not theirs for ours, theirs in zip(before._buckets, after._buckets, strict=True)) == 1
    assert list(after.differences(before)) == [5]
