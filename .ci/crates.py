#!/usr/bin/env python3
"""Prints the packages of the workspace, each after those it depends on, as `cargo metadata` gives them."""

import graphlib
import json
import subprocess

metadata = json.loads(subprocess.check_output(["cargo", "metadata", "--format-version=1", "--no-deps"]))
names = {package["name"] for package in metadata["packages"]}
# Tests of a crate may use a crate that depends on it, which its pages do not.
order = graphlib.TopologicalSorter(
    {
        package["name"]: {d["name"] for d in package["dependencies"] if d["name"] in names and d["kind"] != "dev"}
        for package in metadata["packages"]
    }
)
print(*order.static_order(), sep="\n")
