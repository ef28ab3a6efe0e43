"""The setting as a source: a document stays, a file is read as often as asked."""

import asyncio
import itertools

import pytest

from gateway.config import sources
from gateway.config.problems import ConfigError, Problems
from gateway.config.sources import SettingSource, read_text
from gateway.config.syntax import parse

TEXT = "model_list: []\n"


def read(source):
    return asyncio.run(source.read())


def test_a_document_in_the_setting_is_the_document():
    source = SettingSource(TEXT)
    assert TEXT == read(source).text
    assert read(source) == source.read_now()


def test_a_file_that_is_the_same_has_the_same_version_and_a_changed_one_another(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(TEXT)
    source = SettingSource(str(path))
    first = read(source)
    path.touch()
    assert first == read(source)
    path.write_text(TEXT + "general_settings: {}\n")
    changed = read(source)
    assert (False, True) == (first.version == changed.version, changed.text.endswith("{}\n"))
    path.write_text(TEXT)
    assert first == read(source)


def test_a_version_tells_nothing_of_the_document():
    source = SettingSource("general_settings: {master_key: the-secret}")
    assert "the-secret" not in repr(read(source))


def test_a_file_that_is_still_being_written_is_waited_for(tmp_path, monkeypatch):
    path = tmp_path / "config.yaml"
    path.write_text(TEXT)
    source = SettingSource(str(path))
    source.read_now()
    pieces = iter(["model_list:\n- a\n", "- b\n", "- c\n"])
    path.write_text(next(pieces))

    async def grow(seconds):
        with path.open("a") as file:
            file.write(next(pieces, ""))

    monkeypatch.setattr(sources.asyncio, "sleep", grow)
    assert "model_list:\n- a\n- b\n- c\n" == read(source).text


def test_what_has_not_changed_is_read_once(tmp_path, monkeypatch):
    path = tmp_path / "config.yaml"
    path.write_text(TEXT)
    source = SettingSource(str(path))
    counter = itertools.count(1)
    original = sources.read_text
    monkeypatch.setattr(sources, "read_text", lambda setting: (next(counter), original(setting))[1])
    read(source)
    read(source)
    assert 3 == next(counter)


@pytest.mark.parametrize(
    ("setting", "problem"),
    [(None, "GATEWAY_CONFIG: is not set"), ("/no/such/file.yaml", "document: the file cannot be read")],
)
def test_what_is_not_there_is_a_problem_until_it_is(setting, problem):
    with pytest.raises(ConfigError) as caught:
        read(SettingSource(setting))
    assert caught.value.problems[0].startswith(problem)


def test_a_file_that_was_missing_is_found_when_it_is_there(tmp_path):
    source = SettingSource(str(tmp_path / "config.yaml"))
    with pytest.raises(ConfigError):
        read(source)
    (tmp_path / "config.yaml").write_text(TEXT)
    assert TEXT == read(source).text


def test_a_file_includes_others_by_paths_from_its_folder(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "west.yaml").write_text(
        "model_list: [{model_name: b}]\nrouter_settings: {num_retries: 1}\n"
    )
    main = tmp_path / "main.yaml"
    main.write_text(
        "include: [parts/west.yaml]\nmodel_list: [{model_name: a}]\nrouter_settings: {max_wait: 2}\n"
    )

    assert {
        "model_list": [{"model_name": "a"}, {"model_name": "b"}],
        "router_settings": {"max_wait": 2, "num_retries": 1},
    } == parse(read_text(str(main)), Problems())


@pytest.mark.parametrize(
    ("included", "problem"),
    [
        (None, "west.yaml: document: the file cannot be read"),
        ("a: b: c", "west.yaml: document: is not valid YAML"),
        ("- 1", "west.yaml: document: must be a mapping"),
        ("include: [x]", "west.yaml: include: must stand in the first file only"),
        ("router_settings: {num_retries: 2}", "router_settings"),
    ],
)
def test_what_is_wrong_with_an_included_file_is_told(tmp_path, included, problem):
    if included is not None:
        (tmp_path / "west.yaml").write_text(included)
    main = tmp_path / "main.yaml"
    main.write_text("include: [west.yaml]\nrouter_settings: {num_retries: 1}\n")
    with pytest.raises(ConfigError) as raised:
        read_text(str(main))

    assert problem in raised.value.problems[0]


@pytest.mark.parametrize("value", ["west.yaml", "[1]", "{a: b}"])
def test_what_is_included_is_a_list_of_paths(tmp_path, value):
    main = tmp_path / "main.yaml"
    main.write_text(f"include: {value}\n")
    with pytest.raises(ConfigError, match="must be a list"):
        read_text(str(main))
