"""How texts lie in entities, and that no entity of anybody else's raises or grows."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.table_rows import INFLATED_LIMIT, TEXT_LIMIT, pack, unpack


@pytest.mark.parametrize(
    "text", ["", "a", "a" * TEXT_LIMIT, "a" * (TEXT_LIMIT + 1), "ab" * (INFLATED_LIMIT // 2)]
)
def test_what_is_packed_is_unpacked(text):
    assert text == unpack(pack(text))


@pytest.mark.parametrize("size", [INFLATED_LIMIT + 1, 60 << 20])
def test_a_compressed_text_beyond_the_limit_is_none_and_is_not_inflated(size):
    compressor = zlib.compressobj(9)
    data = b"".join([*(compressor.compress(b"a" * (1 << 20)) for _ in range(size >> 20)), compressor.flush()])
    if size <= INFLATED_LIMIT + 1:
        data = zlib.compress(b"a" * size)
    pieces = [data[start : start + 65_536] for start in range(0, len(data), 65_536)]
    assert unpack(dict(zip(("z0", "z1", "z2", "z3"), pieces, strict=False))) is None


@pytest.mark.parametrize(
    "entity",
    [
        {},
        {"text": 5},
        {"text": b"a"},
        {"z0": b"no zlib"},
        {"z0": zlib.compress(b"\xff\xfe")},
        {"z0": zlib.compress(b"a")[:-2]},
        {"z0": zlib.compress(b"a") + b"more"},
        {"z0": 5},
        {"z0": "no base64!"},
        {"z0": "\u00e9"},
        {"z1": zlib.compress(b"a")[3:]},
    ],
)
def test_an_entity_without_a_text_is_none(entity):
    assert unpack(entity) is None


@given(
    st.dictionaries(
        st.sampled_from(["text", "z0", "z1", "z2", "z3"]),
        st.one_of(st.none(), st.binary(), st.text(), st.integers()),
    )
)
def test_no_entity_raises(entity):
    found = unpack(entity)
    assert found is None or isinstance(found, str)
