"""Fixtures: the ferrum binary, the demo model, and a server that runs for the whole session."""

import os
import re
import subprocess
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("TEST_BINARY", ROOT / "build" / "ferrum"))
MODEL = Path(os.environ.get("TEST_MODEL", ROOT / "models" / "ferrum-demo.gguf"))


class Server:
    """`ferrum serve` on a free port; standard error is collected."""

    def __init__(self, *arguments, environment=None):
        self.process = subprocess.Popen(
            [BINARY, "serve", MODEL, "--port", "0", *arguments],
            stderr=subprocess.PIPE, text=True, env={**clean_environment(), **(environment or {})})
        self.lines = []
        self.url = None
        ready = threading.Event()

        def read():
            for line in self.process.stderr:
                self.lines.append(line)
                found = re.search(r"listening on (http://\S+)", line)
                if found:
                    self.url = found.group(1)
                    ready.set()
            ready.set()

        self.reader = threading.Thread(target=read, daemon=True)
        self.reader.start()
        assert ready.wait(120) and self.url, "".join(self.lines)

    def stop(self, timeout=60):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self.reader.join(5)


def clean_environment():
    return {name: value for name, value in os.environ.items() if not name.startswith("FERRUM_")}


@pytest.fixture(scope="session")
def binary():
    if not BINARY.exists():
        pytest.skip(f"{BINARY} is not built")
    return BINARY


@pytest.fixture(scope="session")
def model():
    if not MODEL.exists():
        pytest.skip(f"{MODEL} is absent")
    return MODEL


@pytest.fixture(scope="session")
def server(binary, model):
    running = Server("--served-model-name", "demo", "--served-model-name", "alias")
    yield running
    assert running.stop() == 0, "".join(running.lines)


@pytest.fixture(scope="session")
def client(server):
    import openai

    return openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0, timeout=120)


@pytest.fixture
def ferrum(binary):
    def run(*arguments, stdin="", environment=None, timeout=120):
        return subprocess.run([binary, *map(str, arguments)], input=stdin, capture_output=True, text=True,
                              timeout=timeout, env={**clean_environment(), **(environment or {})})

    return run
