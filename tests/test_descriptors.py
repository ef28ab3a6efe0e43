"""How many connections a limit on open files has room for."""

import resource

import pytest

from gateway import descriptors


@pytest.fixture
def limits(monkeypatch):
    """The system's limits, soft and hard, as a list that may be changed."""
    found = [1024, 4096]
    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(found))
    monkeypatch.setattr(resource, "setrlimit", lambda _, changed: found.__setitem__(slice(None), changed))
    return found


@pytest.mark.parametrize(
    ("soft", "found"),
    [
        (64, 10),
        (184, 10),
        (186, 11),
        (256, 46),
        (1024, 430),
        (2163, 999),
        (2164, 1000),
        (4096, 1000),
        (resource.RLIM_INFINITY, 1000),
    ],
)
def test_each_call_takes_two_of_what_is_not_set_aside(limits, soft, found):
    limits[0] = soft
    assert found == descriptors.most_connections(1000)


@pytest.mark.parametrize(
    ("soft", "hard", "raised"),
    [
        (1024, 4096, 2164),
        (1024, 2000, 2000),
        (1024, resource.RLIM_INFINITY, 2164),
        (4096, 4096, 4096),
        (256, 256, 256),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, resource.RLIM_INFINITY),
    ],
)
def test_the_limit_is_raised_as_far_as_needed_and_allowed(limits, soft, hard, raised):
    limits[:] = soft, hard
    descriptors.make_room(1000)
    assert [raised, hard] == limits
