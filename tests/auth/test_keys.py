"""Keys that the gateway makes."""

import hashlib

import pytest

from gateway.auth.keys import hash_of, is_mistyped, make_key

KEY = make_key(bytes(range(32)))


def test_a_key_is_recognisable_and_has_all_its_random_bits():
    assert (True, 53) == (KEY.startswith("gwk_"), len(KEY))
    assert (53, 53) == (len(make_key(bytes(32))), len(make_key(b"\xff" * 32)))
    assert 256 == len({make_key(bytes([number]) + bytes(31)) for number in range(256)})


@pytest.mark.parametrize("place", [4, 20, 46, 47, 52])
def test_a_wrong_character_is_found(place):
    assert not is_mistyped(KEY)
    assert is_mistyped(KEY[:place] + ("A" if KEY[place] != "A" else "B") + KEY[place + 1 :])


@pytest.mark.parametrize("key", [KEY[:-1], KEY + "x", "gwk_", "gwk_ü"])
def test_a_key_of_another_length_is_mistyped(key):
    assert is_mistyped(key)


def test_keys_of_other_forms_are_not_judged():
    assert not is_mistyped("sk-anything")


def test_a_hash_is_that_of_the_keys_bytes():
    assert "sha256:" + hashlib.sha256("schlüssel".encode()).hexdigest() == hash_of("schlüssel")
