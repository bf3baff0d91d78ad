"""Compares `examples/proxy.rs` with HAProxy in TCP mode: CPU time of the proxy for each KiB that it hands on.

    cargo build --release --example proxy && python3 bench/proxy.py

Needs haproxy, nginx and wrk. Each proxy has one thread, pinned to the first processor; nginx and wrk have the second. All
subjects run in turn in each round, in another order each time. A ratio is the median over pairs of the same round, with
the smallest and the largest. `--baseline PATH` adds another build of the example.
"""

import argparse
import os
import pathlib
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log warn; worker_rlimit_nofile 8192;
events {{ worker_connections 8000; }}
http {{
  access_log off; sendfile on; keepalive_requests 100000000; keepalive_timeout 600s; default_type text/plain;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port} backlog=4096; root {folder}/files; }}
}}
"""

HAPROXY = """
global
  nbthread 1
  maxconn 4000
defaults
  mode tcp
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  {option}
listen proxy
  bind 127.0.0.1:{port}
  server upstream 127.0.0.1:{to}
"""

# wrk's own summary rounds; this gives the bytes and the errors.
SUMMARY = """
function done(summary, _, _)
  local e = summary.errors
  io.write(string.format("SUMMARY %d %d %d\\n", summary.bytes, summary.requests, e.connect + e.read + e.write + e.status + e.timeout))
end
"""

PROXY_CPU, OTHER_CPU = "0", "1"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(cpu, *command):
    command = ["taskset", "-c", cpu, *map(str, command)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for(port, process):
    for _ in range(400):
        if process.poll() is not None:
            sys.exit(f"{process.args} ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.05)
    sys.exit(f"{process.args} does not listen on {port}")


def cpu_ns(pid):
    """CPU time of all threads, by the scheduler."""
    tasks = pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks)


def measure(folder, port, pid, connections, seconds, size):
    """CPU nanoseconds for each KiB, and how many KiB came a second."""
    before = cpu_ns(pid)
    command = ["taskset", "-c", OTHER_CPU, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s"]
    command += ["-s", folder / "summary.lua", f"http://127.0.0.1:{port}/{size}"]
    output = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout
    spent = cpu_ns(pid) - before
    bytes_read, _, errors = map(int, output.split("SUMMARY ")[1].split())
    if errors or bytes_read == 0:
        sys.exit(f"{errors} errors, {bytes_read} bytes: {output}")
    kib = bytes_read / 1024
    return spent / kib, kib / seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connections", type=int, nargs="+", default=[10, 1_000])
    parser.add_argument("--sizes", type=int, nargs="+", default=[16 << 10, 1 << 20])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=1)
    parser.add_argument("--baseline", help="another build of the example")
    options = parser.parse_args()
    os.chdir(pathlib.Path(__file__).parent.parent)
    resource.setrlimit(resource.RLIMIT_NOFILE, (9_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="gannet-bench-proxy-"))
    folder.chmod(0o755)
    (folder / "files").mkdir()
    for size in options.sizes:
        (folder / "files" / str(size)).write_bytes(os.urandom(size))
    (folder / "summary.lua").write_text(SUMMARY)
    upstream = free_port()
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=upstream))
    processes = [start(OTHER_CPU, "nginx", "-c", folder / "nginx.conf")]
    subjects = {}
    try:
        wait_for(upstream, processes[0])
        binaries = {"gannet": "target/release/examples/proxy"}
        if options.baseline:
            binaries["baseline"] = options.baseline
        for name, binary in binaries.items():
            for driver in ["uring", "poll"]:
                port = free_port()
                addresses = [f"tcp://127.0.0.1:{port}", f"tcp://127.0.0.1:{upstream}"]
                subjects[f"{name}-{driver}"] = port, start(PROXY_CPU, binary, *addresses, 300, driver)
        # `splice-auto` decides by itself, and hardly ever splices here; the other two options always try.
        always = "option splice-request\n  option splice-response"
        for name, option in [("haproxy", ""), ("haproxy-auto", "option splice-auto"), ("haproxy-splice", always)]:
            port = free_port()
            (folder / f"{name}.cfg").write_text(HAPROXY.format(port=port, to=upstream, option=option))
            subjects[name] = port, start(PROXY_CPU, "haproxy", "-db", "-f", folder / f"{name}.cfg")
        for port, process in subjects.values():
            processes.append(process)
            wait_for(port, process)
        names = list(subjects)
        for size in options.sizes:
            for connections in options.connections:
                results = {name: [] for name in names}
                for turn in range(options.rounds):
                    shift = turn % len(names)
                    for name in names[shift:] + names[:shift]:
                        port, process = subjects[name]
                        results[name].append(measure(folder, port, process.pid, connections, options.seconds, size))
                print(f"\n**{size:,} bytes, {connections:,} connections**\n")
                print("| proxy | MiB/s | CPU ns a KiB | against haproxy | against haproxy-splice |")
                print("|---|---|---|---|---|")
                for name in names:
                    cost = statistics.median(cost for cost, _ in results[name])
                    speed = statistics.median(speed for _, speed in results[name]) / 1024
                    cells = []
                    for peer in ["haproxy", "haproxy-splice"]:
                        ratios = [own[0] / other[0] for own, other in zip(results[name], results[peer])]
                        spread = f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
                        cells.append("–" if name == peer else spread)
                    print(f"| {name} | {speed:.0f} | {cost:.1f} | {cells[0]} | {cells[1]} |", flush=True)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
