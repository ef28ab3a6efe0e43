"""What all operations have in common, and what a reply must have to be an answer of one."""

import pytest

from gateway.protocol.endpoints import ENDPOINTS
from gateway.protocol.operations import CHAT, COMPLETIONS, EMBEDDINGS, MODERATIONS, OPERATIONS


def test_names_paths_and_modes_are_taken_once():
    for taken in (
        [each.name for each in (*OPERATIONS, *ENDPOINTS)],
        [each.path for each in OPERATIONS],
        [mode for each in OPERATIONS for mode in each.modes],
    ):
        assert len(taken) == len(set(taken))


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
def test_what_is_counted_are_fields_of_the_body(operation):
    counted = [
        *(name for name, _ in operation.prompt_fields),
        *operation.completion_fields,
        *operation.choices_fields,
    ]

    assert [] == [name for name in counted if name not in operation.body_fields]


@pytest.mark.parametrize(
    ("operation", "body", "expected"),
    [
        (CHAT, b'{"choices":[{}]}', True),
        (CHAT, b'{"choices" : [ ]}', False),
        (COMPLETIONS, b'{"choices":[]}', False),
        (EMBEDDINGS, b'{"data":[]}', True),
        (MODERATIONS, b'{"id":"x","results" : [{}]}', True),
        (MODERATIONS, b'{"id":"x"}', False),
        (MODERATIONS, b'{"id":"\\"results\\":["}', False),
    ],
)
def test_an_answer_has_what_its_operation_is_asked_for(operation, body, expected):
    assert expected is operation.is_answer(body)


@pytest.mark.parametrize(
    "operation", [CHAT, COMPLETIONS, EMBEDDINGS, MODERATIONS], ids=lambda each: each.name
)
@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"a":1', b'{ "error" : {"message":"x"}}'])
def test_what_is_no_object_or_an_error_answers_nothing(operation, body):
    assert not operation.is_answer(body)
