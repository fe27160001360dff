"""The server's process: ``python -m memhp.serving ADDRESS FOLDER UEVENTS HANDLE LASTING``.

It is started by ``mounted.py`` and tells over the socket ``HANDLE``, in one line
of JSON, that the mount answers or why it does not. Unless it is to last, it ends
when the other end of that socket is closed: with whoever started it.
"""

import json
import os
import socket
import sys
import threading
from pathlib import Path

from memhp.core.errors import MemhpError
from memhp.serving.errors_json import error_to_json
from memhp.serving.serve import Order, serve


def main(words: list[str]) -> int:
    """Serve until the end; returns the exit code."""
    address, folder, uevents, handle, lasting = words
    starter = socket.socket(fileno=int(handle))
    order = Order(address=address, folder=Path(folder), uevents=Path(uevents) if uevents else None)

    def tell(said: object) -> None:
        try:
            starter.sendall(json.dumps(said).encode() + b"\n")
        except OSError:
            return

    def until() -> None:
        if lasting == "lasting":
            threading.Event().wait()
        while starter.recv(1):
            pass

    try:
        serve(order, lambda nonce: tell({"pid": os.getpid(), "nonce": nonce}), until)
    except MemhpError as err:
        tell(error_to_json(err))
        print(f"memhp: {err}", file=sys.stderr)
        return err.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
