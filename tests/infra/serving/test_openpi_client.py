"""PyPI's openpi-client, unmodified, in an environment of its own (it wants an older NumPy)."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from dualvla_core.models import DualVLA
from dualvla_core.models.inference import InferenceConfig
from infra.serving.policy_server import PolicyServer

CLIENT = """
import json, sys
import numpy as np
from openpi_client.websocket_client_policy import WebsocketClientPolicy
policy = WebsocketClientPolicy("127.0.0.1", int(sys.argv[1]), api_key="secret")
images = {camera: np.full((40, 40, 3), 90, np.uint8) for camera in ("front", "wrist")}
answer = policy.infer({"images": images, "prompt": "Open the drawer.", "state": np.full(7, 0.5), "reset": 1})
try:
    policy.infer({"prompt": "x"})
    refused = ""
except RuntimeError as error:
    refused = str(error)
actions = answer["actions"]
print(json.dumps({"metadata": policy.get_server_metadata(), "shape": actions.shape, "dtype": str(actions.dtype),
                  "numpy": np.__version__, "refused": refused}))
"""


@pytest.mark.slow
def test_the_published_client_talks_to_the_server(policy: DualVLA, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    needed = ["openpi-client", "typing_extensions"]  # the second it imports without declaring it
    install = [python, "-m", "pip", "install", "-q", *needed]
    installed = subprocess.run(install, check=False, capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"openpi-client cannot be installed here: {installed.stderr[-200:]}")

    async def run() -> str:
        listening = await PolicyServer(policy, InferenceConfig(), token="secret").start("127.0.0.1", 0)
        async with listening:
            port = listening.sockets[0].getsockname()[1]
            client = await asyncio.create_subprocess_exec(
                python, "-c", CLIENT, str(port), stdout=subprocess.PIPE, stderr=sys.stderr
            )
            output, _ = await client.communicate()
            return output.decode()

    told = json.loads(asyncio.run(run()))
    assert told["numpy"].startswith("1.")
    assert (told["shape"], told["dtype"]) == ([5, 4], "float32")
    assert told["metadata"]["embodiment"] == "robot"
    assert "no images" in told["refused"]
