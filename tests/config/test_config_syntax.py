import json
import textwrap

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from support.documents import KEY, document, entry

from gateway.config import yaml_events
from gateway.config.load import ConfigError, check, load
from gateway.config.problems import MAX_VALUES, Problems
from gateway.config.sources import read_text
from gateway.config.syntax import MAX_BYTES, parse


def tree(text):
    found = Problems()
    value = parse(textwrap.dedent(text), found)
    assert [] == found.sentences()
    return value


def found_in(text):
    found = Problems()
    try:
        parse(textwrap.dedent(text), found)
    except ConfigError as error:
        return error.problems
    return found.sentences()


def test_yaml_and_json_give_the_same_tree():
    expected = {"a": [1, 2.5, True, None, "x"], "b": {"c": ""}}

    assert expected == tree("a: [1, 2.5, true, null, x]\nb:\n  c: ''\n")
    assert expected == tree('{"a": [1, 2.5, true, null, "x"], "b": {"c": ""}}')


def test_a_byte_order_mark_is_ignored():
    assert {"a": 1} == tree("\ufeffa: 1")
    assert {"a": 1} == tree('\ufeff{"a": 1}')


def test_a_yaml_flow_mapping_that_is_no_json_is_read_as_yaml():
    assert {"a": "b"} == tree("{a: b}")


def test_an_unquoted_date_stays_text():
    assert {"api_version": "2023-05-15"} == tree("api_version: 2023-05-15")


def test_aliases_and_merge_keys_work_and_own_keys_win():
    text = """
    one: &one {a: 1, b: 2}
    two:
      <<: *one
      b: 3
    three:
      <<: [{a: 5}, *one]
    four: *one
    """

    assert {
        "one": {"a": 1, "b": 2},
        "two": {"a": 1, "b": 3},
        "three": {"a": 5, "b": 2},
        "four": {"a": 1, "b": 2},
    } == tree(text)


def test_a_yaml_key_given_twice_is_refused_with_path_and_line():
    assert ["a[0].b: is given twice (line 4); keep one"] == found_in("a:\n- b: 1\n  c: 2\n  b: 3\n")


def test_a_json_key_given_twice_is_refused_with_its_path():
    assert ["a[0].b: is given twice in one object; keep one"] == found_in('{"a": [{"b": 1, "b": 1}]}')


@pytest.mark.parametrize("tag", ["!!str", "!!python/object/apply:os.system", "!secret", "!!binary", "!"])
def test_a_yaml_tag_is_refused(tag):
    assert ["a: has a YAML tag (!...) at line 1, column 4; remove the tag"] == found_in(f"a: {tag} x")


def test_a_tag_on_a_collection_is_refused():
    assert ["a: has a YAML tag (!...) at line 1, column 4; remove the tag"] == found_in("a: !!set {x}")


def test_an_alias_bomb_is_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]

    assert ["document: holds more than 100000 values with its aliases written out"] == found_in(
        "\n".join(lines)
    )


def test_an_alias_to_what_holds_it_is_refused():
    assert ["document: an alias without an anchor before it at line 1, column 8"] == found_in("a: &a [*a]")


def test_an_unknown_alias_is_refused():
    assert ["document: an alias without an anchor before it at line 1, column 4"] == found_in("a: *nowhere")


def test_a_key_that_is_not_text_is_refused():
    assert ["a: has a key that is not text (line 1); put the key in quotes"] == found_in("a: {1: x}")


def test_merging_something_else_than_a_mapping_is_refused():
    assert ["document: merges something that is not a mapping (line 1); merge mappings only"] == found_in(
        "<<: 3"
    )


@pytest.mark.parametrize("text", ["", " \n", "# only a comment\n"])
def test_an_empty_document_is_refused(text):
    assert ["document: is empty; it needs at least a model_list"] == found_in(text)


def test_several_yaml_documents_are_refused():
    assert ["document: holds several YAML documents; keep one, without a second ---"] == found_in(
        "a: 1\n---\nb: 1\n"
    )


def test_broken_yaml_is_refused_with_its_place_and_without_its_text():
    (problem,) = found_in("a: 'sk-secret\n")

    assert problem.startswith("document: is not valid YAML at line 2, column 1")
    assert "sk-secret" not in problem


def test_broken_json_is_refused_with_its_place():
    assert ["document: is not valid JSON at line 1, column 11"] == found_in('{"a": "b" "c": 1}')


def test_an_explanation_of_the_parser_that_quotes_the_document_is_left_out(monkeypatch):
    monkeypatch.setattr(yaml_events, "_Loader", yaml.SafeLoader)

    assert ["document: is not valid YAML at line 1, column 4"] == found_in("a: !sk-secret!x y")
    assert [
        "document: is not valid YAML at line 1, column 5: mapping values are not allowed here"
    ] == found_in("a: b: c")


def test_the_parser_written_in_python_reads_the_same(monkeypatch):
    text = "a: &a [1, 2023-05-15, 'x']\nb: {<<: {c: 1}, d: *a}\n"
    expected = tree(text)
    monkeypatch.setattr(yaml_events, "_Loader", yaml.SafeLoader)

    assert expected == tree(text)


def test_characters_that_yaml_forbids_are_refused():
    (problem,) = found_in("a: \x00")

    assert problem.startswith("document: ")


def test_text_that_is_not_unicode_is_refused():
    assert ["document: is not valid Unicode; save it as UTF-8"] == found_in("a: \ud800")


def test_a_document_above_the_size_limit_is_refused():
    assert [
        "document: is larger than 1000000 bytes; spread the deployments over several gateways"
    ] == found_in("a: " + "é" * (MAX_BYTES // 2))


@pytest.mark.parametrize(
    ("count", "taken"), [(MAX_VALUES - 2, True), (MAX_VALUES - 1, False), (4 * MAX_VALUES, False)]
)
def test_a_document_holds_a_hundred_thousand_values(count, taken):
    # The object and the list are two of them.
    problems = found_in('{"a": [' + ",".join(["1"] * count) + "]}")
    assert taken == (not problems)
    assert taken or [f"document: holds more than {MAX_VALUES} values"] == problems


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("depth", [60, 5000, 200_000])
def test_a_deeply_nested_document_is_refused_by_an_error_of_ours(opening, depth):
    with pytest.raises(ConfigError):
        load('{"model_list": ' + opening * depth, {})
    closing = "]" if opening == "[" else "1}"
    with pytest.raises(ConfigError):
        load('{"model_list": ' + opening * depth + closing * depth + "}", {})


def test_deep_json_is_named_as_the_problem():
    text = '{"model_list": ' + "[" * 60 + "]" * 60 + "}"

    with pytest.raises(ConfigError) as raised:
        load(text, {}, allow_anonymous=True)
    assert "model_list: is nested more than 50 levels deep; flatten it" in raised.value.problems


@pytest.mark.parametrize("opening", ["[", '{"a":'], ids=["lists", "mappings"])
@pytest.mark.parametrize("before", ['{"x": ', "x: "], ids=["json", "yaml"])
@pytest.mark.parametrize(("depth", "taken"), [(49, True), (50, False)])
def test_a_document_has_fifty_levels(before, opening, depth, taken):
    closing = "]" if opening == "[" else "}"
    text = before + opening * depth + "1" + closing * depth + ("}" if before[0] == "{" else "")

    with pytest.raises(ConfigError) as raised:
        load(text, {}, allow_anonymous=True)

    assert taken == (not any("levels deep" in problem for problem in raised.value.problems))


@pytest.mark.parametrize(("count", "last"), [(1001, None), (1002, 1001), (2000, 1001)])
def test_entries_are_read_until_more_than_a_thousand_problems_are_known(count, last):
    one = {"litellm_params": {"model": "azure/x", "api_base": "https://r.openai.azure.com", "nope": 1}}
    entries = [{"model_name": f"m{number}", **one} for number in range(count)]

    with pytest.raises(ConfigError) as raised:
        load(json.dumps({"model_list": entries}), {}, allow_anonymous=True)

    told = [] if last is None else [f"model_list: is read up to entry {last} only: too much is wrong"]
    assert told == raised.value.problems[1:]


def test_an_absurd_integer_is_refused():
    assert 1 == len(found_in('{"a": ' + "9" * 5000 + "}"))
    assert ["a: is not a number that can be read at line 1, column 4; write it plainly"] == found_in(
        "a: " + "9" * 5000
    )


def test_a_path_is_read_and_a_document_is_taken_as_it_is(tmp_path):
    text = document(entry())
    file = tmp_path / "config.yaml"
    file.write_text(text)

    assert text == read_text(str(file))
    assert text == read_text(f" {file}\n")
    assert text == read_text(text)
    assert "a: 1\nb: 2" == read_text("a: 1\nb: 2")
    assert "model_list: []" == read_text("model_list: []")


def test_an_unreadable_source_is_refused_without_repeating_it(tmp_path):
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    large = tmp_path / "large"
    large.write_bytes(b"x" * (MAX_BYTES + 1))
    sources = {
        "sk-secret-file": "document: the file cannot be read (No such file or directory); check its path",
        str(tmp_path): "document: the file cannot be read (Is a directory); check its path",
        "a\x00b": "document: is neither a document nor the path of one",
        str(binary): "document: the file is not UTF-8 text; save it as UTF-8",
        str(large): "document: is larger than 1000000 bytes; spread the deployments over several gateways",
    }
    for source, expected in sources.items():
        with pytest.raises(ConfigError) as raised:
            read_text(source)
        assert [expected] == raised.value.problems


@settings(deadline=None)  # a busy machine is no failure
@given(st.text(max_size=80))
def test_any_text_is_a_tree_or_a_config_error(text):
    assert all(isinstance(problem, str) for problem in found_in(text))


YAML_BITS = st.sampled_from(
    [
        "a",
        "b: ",
        ": ",
        "- ",
        "\n",
        "  ",
        "[",
        "]",
        "{",
        "}",
        "&x ",
        "*x",
        "!t ",
        "<<",
        "? ",
        "|",
        ">",
        "'",
        '"',
        "1",
        ".inf",
        "0b_",
        "12:30",
        "~",
        "#",
        ",",
        "%",
        "---",
        "...",
        "2020-01-01",
        "é",
        "\t",
    ]
)


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(YAML_BITS, max_size=25).map("".join))
def test_any_piece_of_yaml_is_a_tree_or_a_config_error(text):
    assert all(isinstance(problem, str) for problem in found_in(text))


@pytest.mark.system
def test_yaml_is_not_imported_for_a_json_document():
    import subprocess
    import sys

    code = (
        "import sys; from gateway.config.load import load; "
        "load(sys.argv[1], {}); assert 'yaml' not in sys.modules; load(sys.argv[2], {})"
    )
    yaml_text = f"model_list: [{{model_name: m, litellm_params: {{model: gpt-4, api_key: k}}}}]\ngeneral_settings: {{master_key: {KEY}}}"
    subprocess.run([sys.executable, "-c", code, document(entry()), yaml_text], check=True)


SHARED = """
shared: &shared {{api_base: "https://r.openai.azure.com", api_key: k-1, timeout: 010}}
model_list:
  - model_name: gpt
    litellm_params: {{<<: *shared, model: azure/d{more}}}
general_settings: {{master_key: sk-1234}}
"""


def test_an_unknown_key_whose_values_others_repeat_holds_anchors():
    config = load(SHARED.format(more=", timeout: 5"), {})

    assert "https://r.openai.azure.com" in config.models["gpt"][0].targets["chat"].url
    assert [
        "shared: is taken for a place of YAML anchors, since other values repeat what stands in it"
    ] == list(config.warnings)


def test_what_is_wrong_with_a_value_is_told_where_it_is_repeated():
    assert ["model_list[0].litellm_params.timeout: must be a number; write it without quotes"] == check(
        SHARED.format(more=""), {}
    )[0]


@pytest.mark.parametrize("key", ["sharde", "router_setings"])
def test_an_unknown_key_that_nothing_repeats_is_refused(key):
    text = SHARED.format(more=", timeout: 5") + f"{key}: &unused {{num_retries: 5}}\n"

    assert [key] == [problem.partition(":")[0] for problem in check(text, {})[0]]


def test_what_is_wrong_under_a_key_for_anchors_is_no_problem():
    text = SHARED.format(more=", timeout: 5").replace("shared:", "x-shared:")

    assert [] == list(load(text + "x-more: !!set {a}\n", {}).warnings)
