"""What ends a guest whose starter was killed before the guest was up.

A guest is to outlive the command that boots it, so nothing ties it to that
process. Until it is up, a shell waits for a word from the starter; when the
pipe closes without it, whatever is there of the guest is ended and taken away.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SCRIPT = """read word; [ "$word" = up ] && exit
# QEMU may not have written its process id yet.
for i in 1 2 3 4 5 6 7 8 9 10; do
  for pid in $(cat "$1/pid" 2>/dev/null); do
    grep -qF -- "$1" "/proc/$pid/cmdline" 2>/dev/null && kill -9 "$pid"
  done
  sleep 0.1
done
rm -rf -- "$1"
"""


@contextmanager
def ends_with_starter(folder: Path) -> Iterator[None]:
    """Within it, a guest that lives in ``folder`` does not outlive this process, however it ends.

    Left in the ordinary way or by an exception, nothing is ended: the caller
    knows what to take away.
    """
    waiting = subprocess.Popen(
        ["sh", "-c", _SCRIPT, "sh", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # Ctrl-C is for the command line alone.
        start_new_session=True,
    )
    try:
        yield
    finally:
        waiting.communicate(b"up\n")
