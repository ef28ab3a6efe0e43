from __future__ import annotations

import random

from gateway.limits.tokens.answer_lengths import AnswerLengths


def test_nothing_is_known_at_first():
    assert (1024, 1024) == (AnswerLengths().p75, AnswerLengths().p90)


def test_eight_short_answers_teach_what_is_usual_and_a_long_one_counts_at_once():
    lengths = AnswerLengths()
    found = []
    for tokens in (5, 5, 900, 5, 5, 5, 5, 5):
        lengths.observe(tokens)
        found.append(lengths.p75)

    assert [512, 256, 900, 450, 225, 112, 56, 28] == found
    # What calls are charged with does not jump.
    assert 980 < lengths.p90 < 1024


def test_in_the_long_run_three_of_four_and_nine_of_ten_stay_below():
    rng, lengths = random.Random(1), AnswerLengths()
    below_usual = below_most = 0
    for number in range(6000):
        tokens = round(rng.lognormvariate(5, 1))
        if number >= 1000:
            below_usual += tokens <= lengths.p75
            below_most += tokens <= lengths.p90
        lengths.observe(tokens)

    assert 0.73 < below_usual / 5000 < 0.77
    assert 0.88 < below_most / 5000 < 0.92
