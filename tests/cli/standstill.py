"""Command lines that stand still at a file, so that a test kills them at a known place however fast the machine is."""

import os
import signal
import subprocess
import sys
import time

HOOK = """
import os, signal, sys

def stand_still(event, arguments):
    if event == "open" and os.environ["STAND_STILL_AT"] in str(arguments[0]):
        signal.pause()

sys.addaudithook(stand_still)
"""


def kill_at(place, *arguments, folder, reached):
    """Run `alps`, all of whose processes stand still before they open a file with `place` in its path, and kill it.

    It is killed once `reached()` holds, and ended with its workers when this returns; `folder` is for its log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(HOOK)
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "STAND_STILL_AT": place}
    with open(folder / "killed.log", "w+") as log:
        command = [sys.executable, "-m", "alps_exp", *arguments]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log)
        while not reached():
            log.seek(0)
            assert process.poll() is None, log.read()
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()  # the end of what its workers hold as well
