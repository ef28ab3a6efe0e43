"""`make run`: the gateway, and behind it a simulated Azure OpenAI unless GATEWAY_CONFIG is set."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "simulator" / "gateway.yaml"
#: Seconds in which either process must be up.
PATIENCE = 30.0

SNIPPETS = """
The gateway is ready at {url} (Ctrl-C stops it). With curl:

curl {url}/v1/chat/completions -H "Authorization: Bearer sk-demo" -H "Content-Type: application/json" \\
  -d '{{"model": "gpt-5.4-mini", "messages": [{{"role": "user", "content": "Hello"}}]}}'

In Python ({python} has the client):

from openai import OpenAI
client = OpenAI(base_url="{url}/v1", api_key="sk-demo")
messages = [{{"role": "user", "content": "Hello"}}]
for chunk in client.chat.completions.create(model="gpt-5.4-mini", messages=messages, stream=True):
    print(chunk.choices[0].delta.content or "" if chunk.choices else "", end="", flush=True)

"""


def main() -> int:
    """Run until Ctrl-C; returns the gateway's exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=7071)
    port = parser.parse_args().port
    environment = dict(os.environ)
    simulator = None
    if not environment.get("GATEWAY_CONFIG"):
        environment["GATEWAY_CONFIG"] = str(DEMO)
        simulator, url = start_simulator()
        environment |= {"SIMULATOR_URL": url, "SIMULATOR_OPENAI_URL": f"{url}/v1"}
    try:
        python, url = os.path.relpath(sys.executable), f"http://127.0.0.1:{port}"
        demo = "" if simulator is None else SNIPPETS.format(url=url, python=python)
        return run_gateway(environment, port, demo)
    finally:
        if simulator is not None:
            simulator.terminate()
            simulator.wait()


def start_simulator() -> tuple[subprocess.Popen[str], str]:
    """Start the simulator on a free port, out of reach of Ctrl-C: the gateway's last requests need it."""
    command = [sys.executable, "-m", "simulator", "--config", str(DEMO.with_name("demo.yaml")), "--port", "0"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    line = process.stdout.readline() if process.stdout else ""
    if "http://" not in line:
        sys.exit("The simulator did not start.")
    return process, line.split()[-1]


def run_gateway(environment: dict[str, str], port: int, snippets: str) -> int:
    """Serve, and print `snippets`, if there are any, once it answers."""
    command = [sys.executable, "-m", "gateway", "serve", "--port", str(port)]
    # Ctrl-C reaches the gateway by itself, which then takes its time; a SIGTERM to this process is passed on.
    signal.signal(signal.SIGINT, lambda *_: None)
    gateway = subprocess.Popen(command, cwd=ROOT, env=environment)
    signal.signal(signal.SIGTERM, lambda *_: gateway.terminate())
    if snippets and wait_until_ready(f"http://127.0.0.1:{port}", gateway):
        print(snippets, flush=True)
    return gateway.wait()


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> bool:
    """Whether `url` answers before `process` ends."""
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=1):  # noqa: S310  our own loopback address
                return process.poll() is None
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    return False


if __name__ == "__main__":
    sys.exit(main())
