"""Child processes: heard, stopped, and gone with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import anyio
import pytest

from fairlead.server.supervisor import Child, ChildDied, start_child

pytestmark = pytest.mark.anyio


async def child_of(code: str, given: bytes = b"") -> Child:
    return await start_child("jakarta", [sys.executable, "-c", code], given)


async def heard(child: Child) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    await child.listen(lambda name, line: lines.append((name, line)))
    return lines


async def test_a_child_reads_what_it_is_given_and_says_when_it_is_ready() -> None:
    child = await child_of("print(input().upper(), flush=True); input()", b"config\n\n")
    assert await child.first_line() == "CONFIG"
    await heard(child)
    assert await child.wait() == 0


async def test_a_child_that_dies_early_is_told_with_its_last_words() -> None:
    child = await child_of("import sys; sys.exit('the port is taken')")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(heard, child)
        with pytest.raises(ChildDied, match=r"jakarta ended with status 1.*the port is taken"):
            await child.first_line()
    await child.wait()


async def test_a_line_too_long_is_dropped_and_the_next_is_heard() -> None:
    child = await child_of(
        "import sys; sys.stderr.write('x' * 300_000 + '\\n'); sys.stderr.write('short\\n')"
    )
    assert (await heard(child))[-1] == ("jakarta", "short")
    assert len(child.last_lines) <= 40
    await child.wait()


async def test_a_child_that_will_not_stop_is_ended() -> None:
    child = await child_of(
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('ready', flush=True)\n"
        "while True: time.sleep(9)"
    )
    await child.first_line()
    assert child.running
    await child.stop(within=0.1)
    assert not child.running
    assert await child.wait() == -signal.SIGKILL
    await heard(child)


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
async def test_a_child_ends_with_a_parent_that_was_killed() -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import anyio, sys\n"
            "from fairlead.server.supervisor import start_child\n"
            "async def main():\n"
            "    child = await start_child('c', [sys.executable, '-c',\n"
            "        'import time; print(1, flush=True); time.sleep(600)'])\n"
            "    await child.first_line()\n"
            "    print(child.pid, flush=True)\n"
            "    await anyio.sleep_forever()\n"
            "anyio.run(main)",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    with anyio.fail_after(20):
        while runs(pid):
            await anyio.sleep(0.02)


def runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
    except ProcessLookupError:
        return False


def test_our_own_process_runs() -> None:
    assert runs(os.getpid())
