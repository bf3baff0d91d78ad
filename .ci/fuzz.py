"""Builds the fuzz targets and runs each for a while, two at a time; a failing input is kept and named.

Needs Rust and a C++ compiler, on Linux: no nightly toolchain, no cargo-fuzz. Prints one line a target and ends with
`N passed, N failed`. Without names it runs all targets: `.ci/fuzz.py --seconds 600 multipart ws` runs two of them longer.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
FUZZ = ROOT / "fuzz"

# What cargo-fuzz gives rustc, without the sanitizer that only nightly has: the pass that counts edges, and comparisons.
COVERAGE = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
]

# A single input that takes longer than this is a fault: the largest ones have a few kilobytes.
SLOWEST_INPUT_S = 10

MEMORY_MB = 2048

# How long a target may take to read its corpus and to end, beside the time it runs.
OVERHEAD_S = 120

RUNS_AT_ONCE = 2

# Folders of inputs to begin with, beside what earlier runs have kept.
SEEDS = {"configuration": [ROOT / "deploy" / "examples"]}


def host():
    version = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    return re.search(r"^host: (\S+)$", version, re.MULTILINE).group(1)


def build():
    """Where the programs are. With a target named, build scripts and macros stay without counters."""
    target, folder = host(), ROOT / "target" / "fuzz"
    command = ["cargo", "build", "--release", "--quiet", "--bins", "--target", target, "--target-dir", str(folder)]
    # The separator is cargo's own.
    flags = {"CARGO_ENCODED_RUSTFLAGS": "\x1f".join(COVERAGE)}
    subprocess.run(command, cwd=FUZZ, env=os.environ | flags, check=True)
    return folder / target / "release"


def run(name, programs, seconds):
    """What is wrong with a target, if anything, and what it said of its work."""
    corpus, artifacts = FUZZ / "corpus" / name, FUZZ / "artifacts" / name
    for folder in (corpus, artifacts):
        folder.mkdir(parents=True, exist_ok=True)
    program = programs / name
    if not program.exists():
        return f"fuzz/Cargo.toml has no [[bin]] for fuzz/fuzz_targets/{name}.rs", ""
    dictionary = FUZZ / f"{name}.dict"
    seeds = [str(folder) for folder in SEEDS.get(name, [])]
    command = [str(program), str(corpus), *seeds, f"-artifact_prefix={artifacts}/", f"-max_total_time={seconds}"]
    command += [f"-timeout={SLOWEST_INPUT_S}", f"-rss_limit_mb={MEMORY_MB}", "-print_final_stats=1"]
    command += [f"-dict={dictionary}"] if dictionary.exists() else []
    try:
        limit = seconds + OVERHEAD_S
        done = subprocess.run(command, cwd=FUZZ, capture_output=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return f"it had not ended after {limit} s", ""
    said = done.stderr.decode(errors="replace")
    if done.returncode != 0:
        kept = re.findall(r"Test unit written to (\S+)", said)
        kept = [os.path.relpath(path, ROOT) for path in kept] or ["no input: it failed before the first"]
        again = f"{program.relative_to(ROOT)} {kept[-1]}"
        return f"input kept in {kept[-1]}; once more: {again}\n{said[-3000:]}", ""
    if "inline 8-bit counters" not in said:
        return f"it was built without coverage, and tries inputs blindly\n{said[:1000]}", ""
    runs = re.search(r"number_of_executed_units: (\d+)", said)
    return None, f"{runs.group(1)} inputs, {sum(1 for _ in corpus.iterdir())} kept"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", help="all of fuzz/fuzz_targets where none is named")
    parser.add_argument("--seconds", type=int, default=20, help="how long each runs [default: 20]")
    arguments = parser.parse_args()
    names = arguments.targets or sorted(path.stem for path in (FUZZ / "fuzz_targets").glob("*.rs"))

    began = time.monotonic()
    programs = build()
    print(f"built in {time.monotonic() - began:.0f} s", flush=True)

    failed = 0
    with concurrent.futures.ThreadPoolExecutor(RUNS_AT_ONCE) as pool:
        runs = {pool.submit(run, name, programs, arguments.seconds): name for name in names}
        for finished in concurrent.futures.as_completed(runs):
            fault, said = finished.result()
            failed += fault is not None
            print(f"{'ok' if fault is None else 'FAILED'}  {runs[finished]}  {fault or said}", flush=True)
    print(f"{len(names) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
