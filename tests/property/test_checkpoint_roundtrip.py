"""Whatever a snapshot holds comes back bit for bit, and the order in which it was put together leaves no trace."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from stream_bp.persistence.snapshot import DTYPES, Snapshot, decode, encode

TEXT = st.text(max_size=8)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))
ARRAYS = st.sampled_from(DTYPES).flatmap(
    lambda dtype: npst.arrays(dtype, npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)
NAMES = st.text(st.characters(codec="utf-8"), max_size=8).filter(lambda name: name != "__metadata__")
SNAPSHOTS = st.builds(
    Snapshot,
    st.integers(0, 2**63 - 1),
    st.dictionaries(NAMES, ARRAYS, max_size=4),
    st.dictionaries(TEXT, JSON, max_size=4),
)


def exact(array: NDArray[Any]) -> tuple[str, tuple[int, ...], bytes]:
    """Return what two arrays of the same bits have in common, NaN and the sign of zero included."""
    return array.dtype.str, array.shape, array.tobytes()


@settings(max_examples=200, deadline=None)
@given(SNAPSHOTS)
def test_what_is_encoded_is_decoded(snapshot: Snapshot) -> None:
    """Step, state and the bits of every tensor survive."""
    decoded = decode(encode(snapshot), "memory")
    assert decoded.step == snapshot.step
    assert decoded.state == snapshot.state
    assert {name: exact(array) for name, array in decoded.tensors.items()} == {
        name: exact(array) for name, array in snapshot.tensors.items()
    }


@settings(max_examples=100, deadline=None)
@given(SNAPSHOTS)
def test_the_order_of_dicts_leaves_no_trace(snapshot: Snapshot) -> None:
    """The same content put together in another order is the same bytes."""
    reordered = Snapshot(
        snapshot.step,
        dict(reversed(snapshot.tensors.items())),
        dict(reversed(snapshot.state.items())),
    )
    assert encode(reordered) == encode(snapshot)


@settings(max_examples=100, deadline=None)
@given(SNAPSHOTS)
def test_a_decoded_snapshot_encodes_to_the_same_bytes(snapshot: Snapshot) -> None:
    """Reading and saving again changes no bit, so a resumed job's files are those of one never stopped."""
    data = encode(snapshot)
    assert encode(decode(data, "memory")) == data
