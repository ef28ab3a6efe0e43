"""The setting as a source: a document stays, a file is read as often as asked."""

import asyncio
import itertools

import pytest

from gateway.config import sources
from gateway.config.problems import ConfigError
from gateway.config.sources import SettingSource

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
