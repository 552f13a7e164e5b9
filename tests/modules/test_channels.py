import pytest
from hypothesis import given
from hypothesis import strategies as st

from triscale.modules.channels import (
    Group,
    MisalignedError,
    Part,
    cut,
    fixed,
    freeze,
    fresh,
    is_fixed,
    measure,
    repeat,
    resolve,
    size_of,
    unify,
)


def concatenated(*dims):
    return resolve(part for dim in dims for part in dim)


def test_a_sum_makes_two_widths_one():
    one, other = fresh(16), fresh(16)
    unify(one, other)
    (part,) = resolve(one)
    assert resolve(other) == (part,)
    assert measure(resolve(other), {part.group: 24}) == 24


def test_a_concatenation_keeps_its_parts_apart():
    first, second, whole = fresh(16), fresh(32), fresh(48)
    unify(whole, concatenated(first, second))
    assert measure(resolve(whole), {resolve(first)[0].group: 24}) == 24 + 32


def test_sums_of_concatenations_cut_at_all_ends():
    left, right = [fresh(16), fresh(32)], [fresh(32), fresh(16)]
    unify(concatenated(*left), concatenated(*right))
    assert [size_of((part,)) for part in resolve(concatenated(*left))] == [16, 16, 16]
    assert resolve(concatenated(*left)) == resolve(concatenated(*right))


def test_a_flattened_map_follows_its_channels():
    channels = fresh(64)
    flat = repeat(channels, 49)
    rows = fresh(64 * 49)
    unify(rows, flat)
    assert measure(resolve(rows), {resolve(channels)[0].group: 80}) == 80 * 49


def test_groups_of_two_widths_share_their_least_common_multiple():
    channels, eights, twelves = fresh(48), fresh(6), fresh(4)
    unify(channels, repeat(eights, 8))
    unify(channels, repeat(twelves, 12))
    ((group, times),) = resolve(channels)
    assert (group.size, times) == (2, 24)
    assert measure(resolve(eights), {group: 3}) == 9  # three times 24 channels are nine groups of 8


def test_what_meets_a_fixed_number_is_fixed():
    channels = fresh(16)
    unify(channels, fixed(16))
    assert is_fixed(channels)
    padded = concatenated(fixed(4), fresh(16), fixed(4))
    read = fresh(24)
    unify(read, padded)
    assert measure(resolve(read), {resolve(padded)[1].group: 20}) == 28


def test_a_cut_inside_a_channel_is_no_width():
    with pytest.raises(MisalignedError):
        cut(repeat(fresh(4), 8), [12, 20])
    with pytest.raises(MisalignedError):
        unify(fresh(4), fresh(5))


def test_a_cut_inside_a_group_makes_two():
    channels = fresh(16)
    first, second = cut(channels, [4, 12])
    assert [size_of(first), size_of(second)] == [4, 12]
    assert concatenated(first, second) == resolve(channels)


@st.composite
def dimensions(draw, total):
    """A dimension of `total` elements from groups with one or more elements a channel, and fixed parts."""
    parts, left = [], total
    while left:
        size = draw(st.integers(1, left))
        times = draw(st.sampled_from([t for t in (1, 2, 3, 4) if size % t == 0]))
        parts.append(Part(None, size) if draw(st.booleans()) and size < 4 else Part(Group(size // times), times))
        left -= size
    return resolve(parts)


@given(st.data(), st.integers(2, 24))
def test_unified_dimensions_are_equal_at_every_width(data, total):
    first, second = data.draw(dimensions(total)), data.draw(dimensions(total))
    unify(first, second)
    one, other = resolve(first), resolve(second)
    assert one == other
    assert size_of(one) == total
    groups = {part.group for part in one if part.group is not None}
    widths = {group: data.draw(st.integers(1, 9)) for group in groups}
    assert measure(one, widths) == measure(other, widths)


@given(st.data(), st.integers(2, 24))
def test_a_frozen_dimension_measures_the_same_at_every_width(data, total):
    dim = data.draw(dimensions(total))
    groups = {part.group: 7 for part in dim if part.group is not None}
    freeze(dim)
    assert measure(resolve(dim), groups) == total
