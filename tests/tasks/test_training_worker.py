from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.training_worker import EVENT, _tell

AUTOGROUP = Path("/proc/self/autogroup")


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this system weighs no sessions")
def test_a_worker_that_stands_back_takes_its_session_along() -> None:
    program = (
        "import os; from pathlib import Path; from tasks.training_worker import _stand_back; _stand_back(19); "
        f"print(os.nice(0), Path({str(AUTOGROUP)!r}).read_text().split()[-1])"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=False, capture_output=True, text=True, start_new_session=True)
    assert done.stdout.split() == ["19", "19"], done.stderr


def test_an_event_has_a_line_of_its_own_whatever_was_written_before(capsys: pytest.CaptureFixture[str]) -> None:
    sys.stdout.write("Loading weights: 50 %")
    _tell({"done": 1})
    sys.stdout.write("100 %")
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in lines if EVENT in line] == [{EVENT: {"done": 1}}]
