"""`python -m gateway keys`."""

import hashlib
import subprocess
import sys
from pathlib import Path

import yaml

from gateway.auth.keys import is_mistyped
from gateway.config.load import load

ROOT = Path(__file__).parents[2]


def keys(*arguments, given=""):
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "keys", *arguments],
        cwd=ROOT,
        input=given,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_new_key_is_printed_once_with_what_to_paste():
    code, output, errors = keys("new", "--client", "team a")
    key, _, rest = output.partition("\n")
    pasted = yaml.safe_load(rest[rest.index("clients:") :])

    assert (0, "", False, True) == (code, errors, is_mistyped(key), key.startswith("gwk_"))
    assert 1 == output.count(key)
    digest = hashlib.sha256(key.encode()).hexdigest()
    assert {"clients": [{"name": "team a", "keys": [f"sha256:{digest}"]}]} == pasted
    azure = {"model": "azure/d", "api_base": "https://r.openai.azure.com", "api_key": "k"}
    document = {"model_list": [{"model_name": "m", "litellm_params": azure}]} | pasted
    assert bytes.fromhex(digest) == load(yaml.safe_dump(document), {}).clients[0].keys[0].digest


def test_no_two_keys_are_alike():
    assert keys("new", "--client", "a")[1].split()[0] != keys("new", "--client", "a")[1].split()[0]


def test_a_key_is_hashed_from_standard_input():
    expected = "sha256:" + hashlib.sha256(b"sk-of-mine").hexdigest() + "\n"
    assert (0, expected, "") == keys("hash", given="sk-of-mine\n")


def test_what_is_no_key_is_not_hashed_and_not_repeated():
    for given in ("", "two words", "gwk_mistyped"):
        code, output, errors = keys("hash", given=given)
        assert (1, "") == (code, output)
        assert errors.startswith("keys hash: ")
        assert "mistyped" not in errors
        assert "Traceback" not in errors
