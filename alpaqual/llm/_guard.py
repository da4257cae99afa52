"""Runs a program until standard input is closed: python -m alpaqual.llm._guard PROGRAM ARGUMENTS

The parent holds the other end of standard input, so that the program ends when the parent is killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading

_END_SECONDS = 20
"""Time for the program to end by itself."""


def main(command: list[str]) -> None:
    """Start the program; exit with its code when it ends."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)

    def follow() -> None:
        os._exit(process.wait() & 0xFF)

    threading.Thread(target=follow, daemon=True).start()
    sys.stdin.buffer.read()
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_SECONDS)
        return
    # Also the processes that it started: they are in its session.
    os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
