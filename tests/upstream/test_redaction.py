"""What would tell of the operator's topology is cut out, and not one byte besides."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.samples import DEFAULT_BASE, deployment

from gateway.upstream.redaction import redacted

HOST = DEFAULT_BASE.removeprefix("https://")
MEMBER = deployment()


def cut(body, *, member=MEMBER, model="gpt"):
    return redacted(body, member, model)


TELLING = ("callstack", "dep-a", HOST)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(
    lambda text: not any(word in text.lower() for word in TELLING)
)
CLEAN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def leaking(draw):
    """A value with secrets in some texts and call stacks in some objects, and the same one without them."""

    def build(depth):
        kind = draw(st.sampled_from(["text", "number", "list", "object"] if depth else ["text", "number"]))
        if kind == "number":
            return (1.5, 1.5)
        if kind == "text":
            return draw(
                st.sampled_from(
                    [
                        ("plain", "plain"),
                        ('"q": \\ ', '"q": \\ '),
                        (f'at {DEFAULT_BASE}/x "é"', 'at upstream/x "é"'),
                        (HOST.upper(), "upstream"),
                        ("no dep-a here", "no gpt here"),
                        ("dep-a.", "gpt."),
                        ("dep-a2 my-dep-a", "dep-a2 my-dep-a"),
                        ("callstack", "callstack"),
                    ]
                )
            )
        if kind == "list":
            items = [build(depth - 1) for _ in range(draw(st.integers(0, 3)))]
            return ([before for before, _ in items], [after for _, after in items])
        before, after = {}, {}
        keys = draw(
            st.lists(st.sampled_from(["a", "dep-a", HOST, "callstack", "b"]), unique=True, max_size=5)
        )
        for key in keys:
            old, new = build(depth - 1)
            before[key] = old
            if key != "callstack":
                after[key] = new
        return (before, after)

    old, new = build(4)
    return ({"error": old}, {"error": new})


@given(st.dictionaries(TEXT, CLEAN, max_size=4), st.booleans(), st.sampled_from([None, 1]))
def test_a_body_that_tells_nothing_keeps_its_bytes(value, ascii_only, indent):
    body = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    assert body == cut(body)


@given(leaking(), st.sampled_from([None, 0, 2]), st.sampled_from([(",", ":"), (" , ", " :  ")]))
def test_what_must_go_goes_at_any_depth_and_the_rest_stays(values, indent, separators):
    before, after = values
    result = cut(json.dumps(before, indent=indent, separators=separators, ensure_ascii=False).encode())
    assert after == json.loads(result)


@given(leaking())
def test_redacting_twice_is_redacting_once(values):
    once = cut(json.dumps(values[0]).encode())
    assert once == cut(once)


def test_only_the_values_characters_change():
    body = (
        b'{ "error" : {"message":"'
        + DEFAULT_BASE.encode()
        + b' \xc3\xa9", "n":1.0,"big":12345678901234567890 }\n}'
    )
    assert b'{ "error" : {"message":"upstream \xc3\xa9", "n":1.0,"big":12345678901234567890 }\n}' == cut(body)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"callstack":"x"}', b"{}"),
        (b'{"callstack":"x","a":1}', b'{"a":1}'),
        (b'{"a":1,"callstack":"x"}', b'{"a":1}'),
        (b'{"a":1, "callstack":"x", "b":2}', b'{"a":1, "b":2}'),
        (b'{"callstack":"x","callstack":"y","callstack":"z"}', b"{}"),
        (b'{"callstack":"x","callstack":"y","a":1}', b'{"a":1}'),
        (b'{"a":1,"callstack":"x","callstack":"y"}', b'{"a":1}'),
        (b'{"a":1,"callstack":["}",{"callstack":1}],"b":{"callstack":null}}', b'{"a":1,"b":{}}'),
        (b'{"a":[{"callstack":"x"},{"b":2,"callstack":"x"}]}', b'{"a":[{},{"b":2}]}'),
        (b'{"call\\u0073tack":"x","callstack":"y"}', b"{}"),
        (b'{"message":"see callstack"}', b'{"message":"see callstack"}'),
        (b'{"message":"\\"callstack\\": 1"}', b'{"message":"\\"callstack\\": 1"}'),
    ],
)
def test_call_stacks_go_with_their_comma(body, expected):
    assert expected == cut(body)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{DEFAULT_BASE}/openai/deployments/dep-a/x", "upstream/openai/deployments/gpt/x"),
        (f"http://{HOST}", "upstream"),
        (HOST.upper(), "upstream"),
        ("The deployment dep-a, not dep-a-2 or xdep-a.", "The deployment gpt, not dep-a-2 or xdep-a."),
        ("dep-a.v2 is another name", "dep-a.v2 is another name"),
    ],
)
def test_hosts_and_the_deployment_are_renamed(text, expected):
    assert {"error": {"message": expected}} == json.loads(
        cut(json.dumps({"error": {"message": text}}).encode())
    )


def test_keys_are_the_protocols_own_and_stay():
    member = deployment(name="error")
    assert b'{"error":{"error":"gpt"}}' == cut(b'{"error":{"error":"error"}}', member=member)


def test_a_deployment_named_as_the_client_knows_it_stays():
    body = b'{"message":"The model dep-a"}'
    assert body == cut(body, model="dep-a")


def test_a_models_name_with_a_backslash_is_no_template():
    assert {"m": r"\1 \g<0>"} == json.loads(cut(b'{"m":"dep-a"}', model=r"\1 \g<0>"))


@pytest.mark.parametrize(
    "body", [b"<html>dep-a</html>", b'{"a":"dep-a"', b'{"a":"dep-a \xff"}', b'{"a":"dep-a \\ud800"}']
)
def test_what_cannot_be_redacted_is_dropped(body):
    assert b"" == cut(body)


def test_a_page_that_tells_nothing_stays():
    assert b"<html>Bad gateway</html>" == cut(b"<html>Bad gateway</html>")
