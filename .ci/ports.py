"""Ports on loopback for the servers that tests start, and whether somebody listens on them."""

import itertools
import os
import socket
import time

LOWEST = 10_000
DEADLINE_S = 60


def first_of_kernel():
    """The first port that the kernel gives to whoever asks for any."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as given:
        return max(int(given.read().split()[0]), LOWEST + 1_000)


# From none of these does the kernel choose, so nobody gets one by chance before its server listens. Scripts that run at
# the same time begin at different places, and none gives a port twice before it gave all.
CANDIDATES = itertools.cycle(range(LOWEST, first_of_kernel()))
for _ in range(os.getpid() * 61 % (first_of_kernel() - LOWEST)):
    next(CANDIDATES)


def free_port():
    """A port that nobody has, and that was not given before."""
    for port in CANDIDATES:
        with socket.socket() as probe:
            # As servers do: connections that were closed a while ago are in nobody's way.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def listens(port):
    """Whether a port lets somebody in. One that closes may refuse, and may reset whom it has not taken up yet."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(what, is_so, pause_s=0.02):
    """Waits until something is so."""
    end = time.monotonic() + DEADLINE_S
    while not is_so():
        if time.monotonic() > end:
            raise AssertionError(f"waited {DEADLINE_S} s for {what}")
        time.sleep(pause_s)


def wait_until_it_listens(port, process):
    """Waits until a port lets somebody in; an error if the process that should listen there ends."""

    def does():
        assert process.poll() is None, f"what should listen on {port} ended with {process.returncode}"
        return listens(port)

    wait_until(f"somebody to listen on {port}", does)


def wait_until_closed(port):
    """Waits until a port lets nobody in any more."""
    wait_until(f"{port} to be closed", lambda: not listens(port))
