"""The process that thaws a frozen file system whatever happens to the one that froze it.

Run as a script by sbtk.quiesce.freeze (``python -I -S watchdog.py FD SECONDS``) before the freeze,
in a session of its own, with the file system's root open as FD and a pipe to its parent as
standard input and output. It knows nothing of sbtk, imports nothing later and touches no file:
once the file system is frozen, whatever writes to it hangs and cannot be killed.

Protocol: it prints ``A`` when it is armed. Standard input then brings ``D`` (done: the parent has
thawed) or its end (the parent is dead). On its end, or when the time is over, it thaws.
Exit status: 0 the parent thawed, 3 this process did, 4 there was nothing to thaw.
"""

import contextlib
import errno
import fcntl
import os
import select
import signal
import sys
import time

FITHAW = 0xC0045878  # include/uapi/linux/fs.h: _IOWR('X', 120, int)
NEVER_FROZEN = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTTY, errno.EPERM}
RETRY_S = 0.05
DONE, THAWED, NOTHING = 0, 3, 4


def thaw(descriptor: int) -> bool:
    """Thaw, however often it takes; False where the file system is not frozen."""
    while True:
        try:
            fcntl.ioctl(descriptor, FITHAW, 0)
        except OSError as error:
            if error.errno in NEVER_FROZEN:
                return False
            time.sleep(RETRY_S)  # the file system could not: it is still frozen
        else:
            return True


def watch(descriptor: int, deadline_s: float) -> int:
    """Wait for the parent's word, its end, or the deadline; thaw on the last two."""
    while True:
        left_s = deadline_s - time.monotonic()
        late = left_s <= 0
        readable, _, _ = select.select([0], [], [], RETRY_S if late else left_s)
        if readable:
            if os.read(0, 1) == b"D":
                return DONE
            # The parent is dead: if it was still freezing, that has ended with it.
            return THAWED if thaw(descriptor) else NOTHING
        # Late: the freeze itself may still be writing dirty data out, so this is tried until
        # there is something to thaw or the parent speaks.
        if late and thaw(descriptor):
            return THAWED


def main() -> int:
    """Arm: nothing but SIGKILL ends this process, and memory pressure does not either."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    # Without the right to it, the ordinary score has to do.
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("-1000")
    os.chdir("/proc")
    deadline_s = time.monotonic() + float(sys.argv[2])
    descriptor = int(sys.argv[1])
    os.write(1, b"A")
    return watch(descriptor, deadline_s)


if __name__ == "__main__":
    sys.exit(main())
