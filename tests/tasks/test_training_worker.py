from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

AUTOGROUP = Path("/proc/self/autogroup")


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this system weighs no sessions")
def test_a_worker_that_stands_back_takes_its_session_along() -> None:
    program = (
        "import os; from pathlib import Path; from tasks.training_worker import _stand_back; _stand_back(19); "
        f"print(os.nice(0), Path({str(AUTOGROUP)!r}).read_text().split()[-1])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, start_new_session=True)
    assert done.stdout.split() == ["19", "19"], done.stderr
