"""Globs on names of models: what regular expressions would find, in time that no name makes long."""

import random
import re

import pytest
from support.documents import problems

from gateway.config.patterns import matches, stars


def expression(pattern, least):
    wild = "(.*)" if least == 0 else "(.+)"
    return re.compile(wild.join(map(re.escape, pattern.split("*"))), re.DOTALL)


@pytest.mark.parametrize("least", [0, 1])
def test_globs_find_what_regular_expressions_find(least):
    dice = random.Random(7)
    found = 0
    for _ in range(1_000):
        pattern = "".join(dice.choices("ab-*", k=dice.randint(0, 6)))
        compiled = expression(pattern, least)
        for _ in range(20):
            text = "".join(dice.choices("ab-\n", k=dice.randint(0, 8)))
            match = compiled.fullmatch(text)
            expected = match and match.groups()
            found += expected is not None
            assert expected == stars(pattern, text, least=least), (pattern, text)
    assert found > 500


@pytest.mark.parametrize("pattern", ["*a" * 40 + "*b", "*a" * 128, "a*" * 120 + "b"])
def test_no_name_makes_a_glob_slow(pattern):
    """With regular expressions this takes longer than anybody waits."""
    assert not matches(pattern, "a" * 255 + "c")
    assert stars(pattern, "a" * 100 + "c", least=1) is None


@pytest.mark.parametrize("star", ["", "*", "*a" * 40])
def test_a_models_name_has_at_most_256_characters(star):
    def found(length):
        return problems(name=star + "m" * (length - len(star)))

    assert [] == found(256)
    assert ["model_list[0].model_name: must be a name of at most 256 characters"] == found(257)
    assert ["model_list[0].model_name: must be a name of at most 256 characters"] == found(900_000)
