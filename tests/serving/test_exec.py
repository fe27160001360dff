"""A command on a model: what it sees, what it cannot reach, and how it ends."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from model_exec import memhp, on_model, require_exec

MEMORY = "/sys/devices/system/memory"
STATE = f"{MEMORY}/memory33/state"
QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "text": True}


@pytest.fixture(autouse=True)
def _can_run() -> None:
    require_exec()


def sh(script: str, machine: str = "server", cwd: str = "/") -> str:
    """What a shell on a model prints; it has to end well."""
    done = on_model(machine, "sh", "-c", script, cwd=cwd)
    assert done.returncode == 0, done.stdout
    return done.stdout


def host(path: str) -> str:
    """A file of this host, as it is."""
    return Path(path).read_text(errors="replace") if Path(path).exists() else ""


def test_it_sees_the_model_and_this_host_stays_as_it_is() -> None:
    before = host(f"{MEMORY}/block_size_bytes"), host("/proc/cmdline")
    script = f"cat {MEMORY}/block_size_bytes {STATE}; echo offline > {STATE}; cat {STATE}"
    assert sh(script) == "80000000\nonline\noffline\n"
    assert sh("cat /proc/cmdline") == "movable_node\n"
    assert (host(f"{MEMORY}/block_size_bytes"), host("/proc/cmdline")) == before


def test_the_errno_reaches_the_writer() -> None:
    script = f"echo bogus > {STATE}; echo online > {STATE}; echo 1 > {MEMORY}/block_size_bytes"
    assert re.findall(r": ([A-Z][a-z ]+)\n", on_model("server", "bash", "-c", script).stdout) == [
        "Invalid argument",
        "Invalid argument",
        "Permission denied",
    ]


def test_every_command_gets_a_machine_of_its_own() -> None:
    first = subprocess.Popen(
        memhp("model", "exec", "server", "--", "sh", "-c", f"echo offline > {STATE}; read x"),
        stdin=subprocess.PIPE,
    )
    try:
        assert sh(f"cat {STATE}") == "online\n"
    finally:
        first.communicate(b"\n")
    assert first.returncode == 0


def test_what_is_done_to_a_state_file_lasts(tmp_path: Path) -> None:
    file = str(tmp_path / "m.machine")
    subprocess.run(memhp("model", "new", "server", file), check=True, capture_output=True)
    sh(f"echo offline > {STATE}", machine=file)
    assert sh(f"cat {STATE}", machine=file) == "offline\n"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/sys/power/state", "x"),
        ("/proc/sys/vm/drop_caches", "0"),
        ("/proc/sys/vm/overcommit_memory", "0"),
        ("/sys/kernel/mm/transparent_hugepage/enabled", "x"),
        ("/sys/kernel/mm/ksm/run", "x"),
        ("/proc/sysrq-trigger", "x"),
    ],
)
def test_what_is_left_of_this_host_cannot_be_written(path: str, text: str) -> None:
    if not Path(path).exists():
        pytest.skip(f"this host has no {path}")
    done = on_model("server", "sh", "-c", f"echo {text} > {path}")
    assert "Read-only file system" in done.stdout


def test_it_has_lost_what_could_reach_past_the_model() -> None:
    """CAP_SYS_MODULE, CAP_SYS_RAWIO, CAP_SYS_ADMIN and CAP_SYS_BOOT, in every set."""
    lost = 1 << 16 | 1 << 17 | 1 << 21 | 1 << 22
    sets = dict(re.findall(r"Cap(\w+):\t(\w+)", sh("cat /proc/self/status")))
    assert set(sets) == {"Inh", "Prm", "Eff", "Bnd", "Amb"}
    assert [name for name, mask in sets.items() if int(mask, 16) & lost] == []
    refused = on_model(
        "server", "sh", "-c", "umount /sys/devices/system/memory; mount -t sysfs x /mnt"
    )
    assert refused.returncode != 0
    assert f"cat {STATE}" not in refused.stdout


def test_other_processes_of_this_host_are_out_of_sight() -> None:
    script = "for p in /proc/[0-9]*; do cat $p/comm; done"
    assert str(os.getpid()) not in sh("ls /proc").split()
    assert set(sh(script).split()) <= {
        "python",
        "python3",
        "python3.11",
        "memhp",
        "sh",
        "cat",
        "fusermount3",
    } | {name for name in sh(script).split() if name.startswith("python")}


def test_modules_of_this_host_are_out_of_reach() -> None:
    script = "for p in modprobe insmod rmmod; do /sbin/$p -q memory-notifier-error-inject; done"
    assert sh(f"test -x /sbin/modprobe || exit 0; {script}") == ""


def test_debugfs_shows_the_models_and_nothing_else() -> None:
    shown = sh("ls /sys/kernel/debug; mount -t debugfs | head -n 1").splitlines()
    assert shown[0] == "notifier-error-inject"
    if os.geteuid() == 0 and len(shown) > 1:
        assert shown[1].startswith("debugfs on /sys/kernel/debug type debugfs (ro")


def test_it_starts_in_the_same_folder_even_where_the_model_now_is(tmp_path: Path) -> None:
    assert sh("pwd", cwd=str(tmp_path)) == f"{tmp_path}\n"
    if Path(MEMORY).is_dir():
        assert sh("cat block_size_bytes", cwd=MEMORY) == "80000000\n"


@pytest.mark.skipif(not Path(MEMORY).is_dir(), reason="this host has no memory hotplug in sysfs")
def test_a_file_of_this_host_that_is_open_already_is_refused() -> None:
    """As in ``memhp model exec server -- cat < /sys/...``: the shell opened it before."""
    with Path(MEMORY, "block_size_bytes").open("rb") as opened:
        done = subprocess.run(
            memhp("model", "exec", "server", "--", "cat"),
            stdin=opened,
            capture_output=True,
            text=True,
        )
    assert (done.returncode, done.stdout) == (1, "")
    assert "which is open already as this host's" in done.stderr


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (["sh", "-c", "exit 7"], 7, ""),
        (["sh", "-c", "kill -9 $$"], 137, ""),
        (["sh", "-c", "kill -INT $$"], 130, ""),
        (["no-such-program"], 127, "memhp: 'no-such-program' cannot be run: No such file"),
        (["/etc/passwd"], 126, "memhp: '/etc/passwd' cannot be run: Permission denied"),
        ([], 2, "memhp: 'exec' needs a command"),
        ([""], 2, "memhp: 'exec' needs a command"),
    ],
    ids=["its own", "killed", "interrupted", "not there", "not a program", "none", "empty"],
)
def test_exit_codes(command: list[str], code: int, said: str) -> None:
    done = on_model("server", *command)
    assert done.returncode == code
    assert done.stdout.startswith(said)
    assert done.stdout.count("\n") == (1 if said else 0)


def test_a_folder_that_is_lost_does_not_keep_it_from_running(tmp_path: Path) -> None:
    """Its machine was unmounted while somebody stood in there."""
    script = (
        'memhp() { %s -P -m memhp "$@"; }; memhp model mount laptop . && cd "$PWD/sys" && '
        "memhp model umount ..; memhp model exec laptop -- pwd"
    )
    done = subprocess.run(
        ["sh", "-c", script % sys.executable], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "/\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP, signal.SIGINT])
def test_signals_are_passed_on(number: signal.Signals) -> None:
    name = number.name.removeprefix("SIG")
    script = f"trap 'echo caught; exit 5' {name}; echo ready; while :; do sleep 0.1; done"
    running = subprocess.Popen(
        memhp("model", "exec", "server", "--", "sh", "-c", script),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "ready\n"
    running.send_signal(number)
    out, _ = running.communicate()
    assert (out, running.returncode) == ("caught\n", 5)


def own_mounts() -> list[str]:
    """This host's mounts in the places in which a model stands in."""
    lines = host("/proc/self/mountinfo").splitlines()
    return [line for line in lines if line.split()[4].startswith(("/proc", "/sys", "/usr"))]


def processes_with(mark: str) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in entry.read_bytes():
                found.append(entry.parent.name)
        except OSError:
            continue
    return found


def test_nothing_is_left_behind_when_it_is_killed(tmp_path: Path) -> None:
    mark = f"MEMHP_TEST_MARK={tmp_path}"
    mounts = own_mounts()
    (tmp_path / "temporary").mkdir()
    running = subprocess.Popen(
        memhp("model", "exec", "server", "--", "sh", "-c", "sleep 1000 & echo ready; sleep 1000"),
        stdout=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "MEMHP_TEST_MARK": str(tmp_path),
            "TMPDIR": str(tmp_path / "temporary"),
        },
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "ready\n"
    # The command and its child, the first process, the server and its unmounter, memhp itself.
    assert len(processes_with(mark)) >= 5
    running.kill()
    running.communicate()
    end = time.monotonic() + 10
    while processes_with(mark) and time.monotonic() < end:
        pass
    assert processes_with(mark) == []
    assert own_mounts() == mounts
    assert list((tmp_path / "temporary").iterdir()) == []


def test_what_the_command_left_running_ends_with_it(tmp_path: Path) -> None:
    mark = f"MEMHP_TEST_MARK={tmp_path}"
    done = subprocess.run(
        memhp("model", "exec", "server", "--", "sh", "-c", "sleep 1000 >/dev/null 2>&1 & exit 3"),
        env={**os.environ, "MEMHP_TEST_MARK": str(tmp_path)},
    )
    assert done.returncode == 3
    assert processes_with(mark) == []


def test_uevents_come_out_at_the_socket_and_it_is_gone_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "uevents"
    script = f"test -S {path}"
    done = subprocess.run(
        memhp("model", "exec", "server", "--uevents", str(path), "--", "sh", "-c", script)
    )
    assert done.returncode == 0
    assert not path.exists()


def test_memhp_itself_takes_the_model_for_its_host() -> None:
    """With the guard set, that forbids to write to a live host."""
    ours = " ".join(memhp())
    script = f"{ours} offline 33 -M linux: && cat {STATE} && {ours} undo -M linux: && cat {STATE}"
    assert os.environ["MEMHP_NO_LIVE_WRITES"]
    shown = sh(script).splitlines()
    assert [line for line in shown if line in {"online", "offline"}] == ["offline", "online"]
    assert "offline memory33: done" in shown


def test_an_older_kernel_has_no_files_of_this_host_either(tmp_path: Path) -> None:
    """A model without module parameters hides those of the host."""
    file = tmp_path / "old.toml"
    file.write_text('kernel = "3.9"\n[[node]]\nmemory = "1G"\ncpus = 1\n')
    assert sh("ls /sys/module/memory_hotplug 2>/dev/null; true", machine=str(file)) == ""


def test_where_this_host_has_no_place_for_a_file_there_is_one(tmp_path: Path) -> None:
    """The folder of this host is shown anew, the rest of it as it was."""
    file = tmp_path / "proposed.toml"
    file.write_text('[[node]]\nmemory = "4G"\n[proposals]\nhotadd_memory_treat_as_movable = true\n')
    name = "/proc/sys/vm/hotadd_memory_treat_as_movable"
    script = f"cat {name}; echo 1 > {name}; cat {name} /proc/sys/vm/overcommit_memory"
    others = host("/proc/sys/vm/overcommit_memory")
    assert sh(script, machine=str(file)) == f"0\n1\n{others}"


def test_it_needs_no_root() -> None:
    """In a user namespace, where debugfs cannot be mounted."""
    namespace = ["unshare", "--user", "--map-root-user"]
    fresh = [*namespace, "--mount", "--pid", "--fork", "mount", "-t", "proc", "proc", "/proc"]
    if subprocess.run(fresh, capture_output=True).returncode:
        pytest.skip("no user namespace, or none that may mount procfs (parts of it are covered)")
    script = f"cat {STATE}; echo offline > {STATE}; cat {STATE}; ls /sys/kernel/debug"
    done = subprocess.run(
        [*namespace, *memhp("model", "exec", "server", "--", "sh", "-c", script)],
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("online\noffline\nnotifier-error-inject\n", "")
