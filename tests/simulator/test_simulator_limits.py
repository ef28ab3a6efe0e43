"""Rate limits: windows, charges, 429s, headers, provisioned throughput, spillover."""

import itertools
from email.utils import parsedate_to_datetime

import pytest

from simulator.clock import ManualClock
from simulator.limits import NEVER, Bucket, Window, charge, request_window_limit
from simulator.platform import go_duration

START = ManualClock().seconds


@pytest.fixture
def clock():
    return ManualClock()


@pytest.mark.parametrize(("phase", "now", "wait"), [(0, 59, 1), (0, 1, 59), (20, 59, 21), (20, 19, 1)])
def test_a_tumbling_window_frees_at_its_end_which_the_phase_moves(phase, now, wait):
    window = Window(10, 60, phase)
    window.add(now, 10)

    assert wait == window.wait(now, 1)
    assert window.wait(now + wait - 0.01, 1) > 0
    assert 0 == window.wait(now + wait, 1)


def test_a_sliding_window_frees_what_was_used_a_window_ago():
    window = Window(10, 60, style="sliding")
    window.add(0, 6)
    window.add(30, 4)

    assert 20 == window.wait(40, 6)
    assert 50 == window.wait(40, 7)
    assert 0 == window.wait(60, 6)
    assert 6 == window.remaining(60)


def test_a_leaky_window_frees_evenly():
    window = Window(10, 60, style="leaky")
    window.add(100, 10)

    assert 6 == pytest.approx(window.wait(100, 1))
    assert 60 == pytest.approx(window.wait(100, 10))
    assert (0, 5) == (window.wait(130, 5), window.remaining(130))
    assert 10 == window.remaining(1000)


@pytest.mark.parametrize("style", ["tumbling", "sliding", "leaky"])
def test_what_alone_is_above_the_limit_never_fits(style):
    assert NEVER == Window(10, 60, style=style).wait(0, 11)


def test_a_bucket_refuses_above_100_per_cent_until_it_has_leaked():
    bucket = Bucket(6000)
    bucket.add(0, 6032)

    assert 0.32 == pytest.approx(bucket.wait(0))
    assert 0 == bucket.wait(0.33)
    assert 50 == pytest.approx(bucket.utilization(30.32))


@pytest.mark.parametrize(
    ("rpm", "window", "limit"), [(120, 60, 120), (120, 10, 20), (120, 1, 2), (5, 10, 1), (61, 60, 61)]
)
def test_a_minutes_requests_are_shared_out_to_its_windows(rpm, window, limit):
    assert limit == request_window_limit(rpm, window)


@pytest.mark.parametrize(
    ("arguments", "tokens"),
    [
        ((34, None, 1, 0), 9),
        ((23, None, 1, 16), 22),
        ((0, None, 1, 16), 16),
        ((40, 100, 3, 16), 310),
        ((4, 0, 1, 16), 1),
    ],
)
def test_the_charge_is_a_quarter_of_the_characters_and_the_longest_answer(arguments, tokens):
    assert tokens == charge(*arguments)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.12, "120ms"), (51.189, "51.189s"), (62, "1m2s"), (2, "2s"), (120, "2m0s")]
)
def test_the_platforms_durations_are_written_as_go_writes_them(seconds, text):
    assert text == go_duration(seconds)


@pytest.mark.parametrize(("window", "rpm"), [(60, 2), (10, 12), (1, 120)])
def test_requests_above_the_limit_are_refused_until_their_window_ends(simulate, clock, window, rpm):
    client = simulate({"limits": {"rpm": rpm, "rpm_window_s": window}}, clock=clock)
    first = [client.chat().status_code for _ in range(3)]
    refused = client.chat()
    clock.advance(window)

    assert [200, 200, 429] == first
    assert str(window) == refused.headers["retry-after"]
    assert str(window * 1000) == refused.headers["retry-after-ms"]
    assert 200 == client.chat().status_code


def test_the_phase_of_the_windows_can_be_set(simulate, clock):
    client = simulate({"limits": {"rpm": 1, "phase_s": 7}}, clock=clock)
    client.chat()

    assert "7" == client.chat().headers["retry-after"]


def test_sliding_windows_can_be_chosen(simulate, clock):
    client = simulate({"limits": {"rpm": 1, "windows": "sliding"}}, clock=clock)
    clock.advance(50)
    client.chat()

    assert "60" == client.chat().headers["retry-after"]


def test_leaky_windows_can_be_chosen(simulate, clock):
    client = simulate({"limits": {"rpm": 4, "windows": "leaky"}}, clock=clock)
    statuses = [client.chat().status_code for _ in range(5)]

    assert [200] * 4 + [429] == statuses
    assert "15" == client.chat().headers["retry-after"]


def test_tokens_are_charged_by_the_estimate_and_not_by_use(simulate, clock):
    client = simulate({"limits": {"tpm": 1000}}, clock=clock)
    remaining = [
        int(client.chat("x" * 40, **options).headers["x-ratelimit-remaining-tokens"])
        for options in ({}, {"max_tokens": 100}, {"max_completion_tokens": 50})
    ]

    assert [1000 - 26, 974 - 110, 864 - 60] == remaining


def test_best_of_multiplies_the_charge_of_a_completion(simulate, clock):
    client = simulate({"kind": "completions", "limits": {"tpm": 1000}}, clock=clock)
    path = "/openai/deployments/gpt/completions?api-version=2024-10-21"
    reply = client.post(path, {"prompt": "x" * 40, "best_of": 3, "max_tokens": 100})

    assert "690" == reply.headers["x-ratelimit-remaining-tokens"]


def test_embeddings_are_charged_a_quarter_of_their_characters(simulate, clock):
    client = simulate({"kind": "embeddings", "limits": {"tpm": 1000}}, clock=clock)
    reply = client.post("/openai/deployments/gpt/embeddings?api-version=2024-10-21", {"input": "x" * 34})

    assert "991" == reply.headers["x-ratelimit-remaining-tokens"]


def test_failed_requests_count(simulate, clock):
    client = simulate({"limits": {"rpm": 2, "tpm": 1000}}, clock=clock)

    assert [400, 400, 429] == [client.chat(bogus=1).status_code for _ in range(3)]


def test_the_token_429_equals_the_recorded_one(simulate, clock, recordings):
    client = simulate(
        {"name": "my-dep", "model": "gpt-4.1", "limits": {"tpm": 100}}, clock=clock, region="East US 2"
    )
    clock.advance(54)
    client.chat(deployment="my-dep", max_tokens=90)
    reply = client.chat(deployment="my-dep", max_tokens=90)

    assert recordings["azure_errors"]["429_new_tokens"]["body"] == reply.json()
    assert "Tokens" == reply.headers["x-ratelimit-type"]
    assert "DeploymentRatelimit-Token" == reply.headers["policy-id"]


def test_the_old_text_can_be_chosen(simulate, clock, recordings):
    client = simulate({"limits": {"tpm": 100, "text": "old"}}, clock=clock)
    clock.advance(54)
    client.chat(max_tokens=90)
    reply = client.chat(version="2024-02-01", max_tokens=90)

    assert recordings["azure_errors"]["429_old_tokens"]["body"] == reply.json()


def test_a_request_that_is_too_big_alone_is_told_86400(simulate, clock):
    reply = simulate({"limits": {"tpm": 100}}, clock=clock).chat(max_tokens=101)

    assert "86400" == reply.headers["retry-after"]
    assert "Please retry after 86400 seconds." in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("both", {"retry-after": "6", "retry-after-ms": "5500"}),
        ("seconds", {"retry-after": "6"}),
        ("milliseconds", {"retry-after-ms": "5500"}),
        ("zero_ms", {"retry-after": "6", "retry-after-ms": "0"}),
        ("none", {}),
        ("day", {"retry-after": "86400", "retry-after-ms": "86400000"}),
    ],
)
def test_every_variant_of_the_retry_headers_can_be_chosen(simulate, clock, choice, expected):
    client = simulate({"limits": {"rpm": 1, "retry_headers": choice}}, clock=clock)
    clock.advance(54.5)
    client.chat()
    headers = client.chat().headers

    assert expected == {name: headers[name] for name in ("retry-after", "retry-after-ms") if name in headers}


def test_retry_after_can_be_a_date(simulate, clock):
    client = simulate({"limits": {"rpm": 1, "retry_headers": "date"}}, clock=clock)
    client.chat()

    assert START + 60 == parsedate_to_datetime(client.chat().headers["retry-after"]).timestamp()


def test_the_platforms_429_has_its_own_text(simulate, clock):
    client = simulate({"limits": {"rpm": 1}}, clock=clock, kind="openai")
    body = {"model": "gpt", "messages": [{"role": "user", "content": "x"}]}
    first, second = (
        client.post("/v1/chat/completions", body, key=None, headers=[("Authorization", "Bearer k")])
        for _ in range(2)
    )

    assert "1m0s" == first.headers["x-ratelimit-reset-requests"]
    assert ("requests", "rate_limit_exceeded") == (
        second.json()["error"]["type"],
        second.json()["error"]["code"],
    )
    assert second.json()["error"]["message"].endswith(
        "requests per min (RPM): Limit 1, Used 1, Requested 1. Please try again in 1m0s."
    )


# Headers


def names(reply):
    framing = {"Content-Length", "Date"}
    return [name for name, _ in ((n.decode(), v) for n, v in reply.headers.raw) if name not in framing]


@pytest.mark.parametrize(
    ("generation", "recorded", "extra"),
    [
        ("2026-ms", "azure_200_2026_03", set()),
        ("2025", "azure_200_2025", {"Content-Type"}),
        ("2024", "azure_200_2024", {"Content-Type"}),
    ],
)
def test_the_headers_of_each_generation_are_those_recorded(simulate, recordings, generation, recorded, extra):
    client = simulate({"headers": generation, "limits": {"rpm": 120, "tpm": 120_000}})
    expected = recordings["headers"][recorded]["value"]

    assert {*expected, *extra} == set(names(client.chat()))
    assert [name for name in names(client.chat()) if name in expected] == list(expected)


def test_the_reset_headers_in_milliseconds_equal_the_recorded_ones(simulate, clock, recordings):
    client = simulate(
        {
            "name": "openllmetry-testing",
            "headers": "2026-ms",
            "limits": {"rpm": 120, "tpm": 120_000, "default_max_tokens": 13},
        },
        clock=clock,
    )
    reply = client.chat("x", deployment="openllmetry-testing")
    expected = recordings["headers"]["azure_200_2026_03"]["value"]
    varying = {"apim-request-id", "x-request-id"}

    assert {name: value for name, value in expected.items() if name not in varying} == {
        name: reply.headers[name] for name in expected if name not in varying
    }


def test_the_reset_headers_in_seconds_equal_the_recorded_ones(simulate, clock):
    client = simulate({"headers": "2026-s", "limits": {"rpm": 5, "tpm": 5000}}, clock=clock)

    assert "12" == client.chat().headers["x-ratelimit-reset-requests"]


def test_ten_second_windows_show_in_the_renewal_period(simulate, clock):
    reply = simulate({"limits": {"rpm": 120, "rpm_window_s": 10}}, clock=clock).chat()

    assert ("10", "20") == (
        reply.headers["x-ratelimit-renewalperiod-requests"],
        reply.headers["x-ratelimit-limit-requests"],
    )


def test_the_marker_for_unknown_limits_is_the_recorded_one(simulate, recordings):
    reply = simulate({"headers": "unlimited", "limits": {"rpm": 5}}).chat()
    expected = recordings["headers"]["azure_unlimited_marker"]["value"]

    assert expected == {
        name: value for name, value in reply.headers.items() if name.startswith("x-ratelimit")
    }


def test_rate_limit_headers_can_be_left_out(simulate):
    reply = simulate({"headers": "none", "limits": {"rpm": 5}}).chat()

    assert not [name for name in reply.headers if name.startswith("x-ratelimit")]


# Provisioned throughput


PTU = {"name": "ptu-dep", "ptu": True, "limits": {"tpm": 6000}}
STANDARD = {"name": "standard-dep"}


def test_provisioned_throughput_reports_its_utilisation(simulate, clock):
    reply = simulate(PTU, clock=clock).chat(deployment="ptu-dep", max_tokens=671)

    assert "11.2%" == reply.headers["azure-openai-deployment-utilization"]
    assert not [name for name in reply.headers if name.startswith("x-ratelimit")]


def test_provisioned_throughput_refuses_above_100_per_cent_and_says_for_how_many_milliseconds(
    simulate, clock
):
    client = simulate(PTU, clock=clock)
    client.running.simulator.places["a", "ptu-dep"].quota.meters.bucket.add(clock.now(), 6032)
    refused = client.chat(deployment="ptu-dep")
    clock.advance(0.32)

    assert (429, "320") == (refused.status_code, refused.headers["retry-after-ms"])
    assert "retry after 320 milliseconds" in refused.json()["error"]["message"]
    assert 200 == client.chat(deployment="ptu-dep").status_code


def test_the_charge_of_provisioned_throughput_is_corrected_at_the_end(simulate, clock):
    client = simulate(PTU, clock=clock)
    for _ in range(3):
        last = client.chat(deployment="ptu-dep", max_tokens=5900)

    used = 2 * last.json()["usage"]["total_tokens"]
    assert f"{(used + 5901) / 60:.1f}%" == last.headers["azure-openai-deployment-utilization"]


@pytest.mark.parametrize("how", ["configuration", "header"])
@pytest.mark.parametrize("fault", [{"preset": "token_limit"}, {"status": 500}, {"status": 503}])
def test_a_spillover_deployment_answers_with_the_documented_headers(simulate, recordings, how, fault):
    configured = {"spillover": "standard-dep"} if how == "configuration" else {}
    headers = [("x-ms-spillover-deployment", "standard-dep")] if how == "header" else []
    client = simulate(PTU | configured | {"faults": [fault]}, STANDARD)
    reply = client.chat(deployment="ptu-dep", headers=headers)
    expected = recordings["headers"]["spillover"]["value"]

    assert 200 == reply.status_code
    assert list(expected.items()) == [(name, reply.headers[name]) for name in expected]


def test_a_prompt_too_long_for_provisioned_throughput_spills_over(simulate):
    client = simulate(PTU | {"spillover": "standard-dep", "context_tokens": 1}, STANDARD)

    assert "true" == client.chat("long enough", deployment="ptu-dep").headers["x-ms-is-spilled-over"]


def test_other_errors_do_not_spill_over(simulate):
    client = simulate(PTU | {"spillover": "standard-dep"}, STANDARD)

    assert 400 == client.chat(deployment="ptu-dep", bogus=1).status_code


def test_a_failed_spill_gives_the_first_error_and_the_code_of_the_second(simulate):
    client = simulate(
        PTU | {"spillover": "standard-dep", "faults": [{"preset": "token_limit"}]},
        STANDARD | {"faults": [{"preset": "no_capacity"}]},
    )
    reply = client.chat(deployment="ptu-dep")

    assert "RateLimitReached" == reply.json()["error"]["code"]
    assert "NoCapacity" == reply.headers["x-ms-spillover-error"]


def test_standard_deployments_do_not_spill_over(simulate):
    client = simulate({"spillover": "standard-dep", "faults": [{"status": 500}]}, STANDARD)

    assert 500 == client.chat().status_code


def test_windows_follow_the_clock_however_often_they_are_asked():
    window = Window(3, 10)
    admitted = []
    for now in itertools.takewhile(lambda second: second < 30, itertools.count()):
        if window.wait(now, 1) == 0:
            window.add(now, 1)
            admitted.append(now)

    assert [0, 1, 2, 10, 11, 12, 20, 21, 22] == admitted
