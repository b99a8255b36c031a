"""The soak's providers: the built-in one, and an OpenAI-compatible server that misbehaves on request."""

from __future__ import annotations

from pathlib import Path

from tests.services.llm_server import LlmServer, Scenario

# Scenarios of tests/services/llm_server.py that a soak plays; a message "reset #ref" plays the first of them.
SCENARIOS = (
    "reset",
    "reset at once",
    "500",
    "hang before headers",
    "hang midstream",
    "clean end",
    "bad json",
    "empty",
    "length",
)
FAULT_COMMANDS = ("unavailable", "timeout", "midstream", "crash")

HTTP_MODEL = "http"
TOML = """
[[provider]]
id = "demo"
type = "demo"

[[provider]]
id = "http"
type = "openai"
base_url = "{url}"
model = "m"
first_token_s = 2
next_token_s = 2
total_s = 10
order = 1
"""


class SoakLlm(LlmServer):
    """Takes the scenario from before the `#` of the last message: contents of a soak are unique."""

    def _scenario(self, name: str) -> Scenario:
        return super()._scenario(name.partition(" #")[0])


def providers_file(folder: Path, url: str) -> Path:
    """Write the providers' file of a deployment."""
    path = folder / "providers.toml"
    path.write_text(TOML.format(url=url))
    return path
