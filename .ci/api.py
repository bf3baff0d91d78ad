#!/usr/bin/env python3
"""Holds the public API of the libraries against docs/api: every change of it is a change of a file, for review to see.

    python3 .ci/api.py            compares, and shows what differs
    python3 .ci/api.py --update   writes the files anew

rustdoc says what is public (its JSON, which only a nightly writes unless RUSTC_BOOTSTRAP is set; no other compiler is
needed for that). Items with #[doc(hidden)] are not public. Send and Sync of each type are listed, other auto traits not.
"""

import difflib
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SNAPSHOTS = ROOT / "docs" / "api"
CRATES = ["gannet", "gannet-client", "gannet-proto", "gannet-http", "gannet-tls", "gannet-redis", "gannet-load", "gannet-channels", "gannet-gateway"]
# All but those of which nothing is stable.
FEATURES = [
    "gannet/futures", "gannet/hyper", "gannet/testing", "gannet/tokio", "gannet-proto/testing", "gannet-proto/deflate",
    "gannet-proto/centrifuge", "gannet-http/sessions", "gannet-http/testing", "gannet-http/deflate",
    "gannet-tls/self-signed",
]
# The format of rustdoc's JSON that is read here: that of Rust 1.95. Other compilers may write another one.
FORMAT = 57
# Traits that say something to a user of a type. Of auto traits, these two.
AUTO = {"Send", "Sync"}
SILENT = {"StructuralPartialEq"}


def document():
    """Has rustdoc write what is public; says where."""
    command = ["cargo", "doc", "--quiet", "--no-deps", "--lib", "--target-dir", ROOT / "target"]
    for crate in CRATES:
        command += ["-p", crate]
    command += ["--features", ",".join(FEATURES)]
    # The wrapper lets rustdoc alone write JSON: crates that look for a nightly compiler must not find one.
    environment = {**os.environ, "RUSTDOC": str(ROOT / ".ci" / "rustdoc-json")}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    return ROOT / "target" / "doc"


class Api:
    """The public items of one crate, as lines."""

    def __init__(self, krate):
        self.index, self.paths, self.lines, self.seen = krate["index"], krate["paths"], set(), set()
        self.traits = {}
        root = self.item(krate["root"])
        self.module(root, root["name"])
        for (of, generics, where), traits in self.traits.items():
            self.add(of, f"impl{generics} {', '.join(sorted(traits))} for {of}{where}", 9)

    def add(self, of, line, rank=5):
        """Adds a line about an item: those of one item stand together, by rank and then by name."""
        self.lines.add((of, rank, line))

    def text(self):
        return "".join(f"{line}\n" for _, _, line in sorted(self.lines))

    def item(self, id):
        return self.index.get(str(id))

    def module(self, module, path):
        for id in module["inner"]["module"]["items"]:
            self.walk(self.item(id), path)

    def walk(self, item, path):
        if item is None or (path, item["id"]) in self.seen:
            return
        self.seen.add((path, item["id"]))
        kind, inner = next(iter(item["inner"].items()))
        if kind == "use":
            return self.used(inner, path)
        name = f"{path}::{item['name']}"
        if kind == "module":
            self.add(name, f"pub mod {name}", 0)
            self.module(item, name)
        elif kind == "function":
            self.add(name, f"pub {self.function(item, name)}")
        elif kind == "struct":
            self.struct(item, inner, name)
        elif kind == "enum":
            self.enum(item, inner, name)
        elif kind == "trait":
            self.trait(item, inner, name)
        elif kind == "type_alias":
            self.add(name, f"pub type {name}{self.generics(inner['generics'])} = {self.type(inner['type'])}")
        elif kind == "constant":
            self.add(name, f"pub const {name}: {self.type(inner['type'])}")
        elif kind == "static":
            self.add(name, f"pub static {name}: {self.type(inner['type'])}")
        elif kind in ("macro", "proc_macro"):
            self.add(name, f"pub macro {name}!")
        else:
            raise SystemExit(f"{name} is a {kind}, which this program does not know")

    def used(self, use, path):
        target = self.item(use["id"]) if use["id"] is not None else None
        if target is None:
            star = "::*" if use["is_glob"] else f" as {use['name']}"
            self.add(f"{path}::{use['name']}", f"pub use {use['source']}{star} in {path}")
        elif use["is_glob"]:
            self.module(target, path)
        else:
            self.walk({**target, "name": use["name"]}, path)

    def struct(self, item, struct, name):
        marks = self.marks(item)
        kind, generics = struct["kind"], self.generics(struct["generics"])
        if kind == "unit":
            self.add(name, f"{marks}pub struct {name}{generics};", 0)
        elif "tuple" in kind:
            shown = [self.type(self.item(field)["inner"]["struct_field"]) if field is not None else "_"
                     for field in kind["tuple"]]
            self.add(name, f"{marks}pub struct {name}{generics}({', '.join(shown)})", 0)
        else:
            private = ", private fields" if kind["plain"]["has_stripped_fields"] else ""
            self.add(name, f"{marks}pub struct {name}{generics} {{ .. }}{private}", 0)
            for field in map(self.item, kind["plain"]["fields"]):
                self.add(name, f"pub {name}::{field['name']}: {self.type(field['inner']['struct_field'])}", 1)
        self.impls(struct["impls"], name, item["id"])

    def enum(self, item, enum, name):
        self.add(name, f"{self.marks(item)}pub enum {name}{self.generics(enum['generics'])}", 0)
        for variant in map(self.item, enum["variants"]):
            kind, shown = variant["inner"]["variant"]["kind"], ""
            if "tuple" in kind:
                fields = [self.type(self.item(field)["inner"]["struct_field"]) if field is not None else "_"
                          for field in kind["tuple"]]
                shown = f"({', '.join(fields)})"
            elif "struct" in kind:
                fields = [f"{field['name']}: {self.type(field['inner']['struct_field'])}"
                          for field in map(self.item, kind["struct"]["fields"])]
                shown = f" {{ {', '.join(fields)} }}"
            self.add(name, f"{self.marks(variant)}{name}::{variant['name']}{shown}", 1)
        self.impls(enum["impls"], name, item["id"])

    def trait(self, item, trait, name):
        bounds = self.bounds(trait["bounds"])
        self.add(name, f"pub trait {name}{self.generics(trait['generics'])}{': ' + bounds if bounds else ''}", 0)
        for part in map(self.item, trait["items"]):
            if part is not None:
                self.associated(part, name, "")
        for id in trait["implementations"]:
            impl = self.item(id)
            # Blanket implementations are nowhere else.
            if impl and "generic" in impl["inner"]["impl"]["for"] and not impl["inner"]["impl"]["is_synthetic"]:
                self.implementation(impl["inner"]["impl"], name, item["id"])

    def impls(self, ids, name, id):
        for each in ids:
            impl = self.item(each)
            if impl is None:
                continue
            impl = impl["inner"]["impl"]
            if impl["trait"] is None:
                for part in map(self.item, impl["items"]):
                    if part is not None:
                        self.associated(part, name, "pub ")
            elif impl["blanket_impl"] is None and (not impl["is_synthetic"] or self.path(impl["trait"]) in AUTO):
                self.implementation(impl, name, id)

    def implementation(self, impl, name, id):
        trait = f"{'!' if impl['is_negative'] else ''}{self.path(impl['trait'])}"
        if trait in SILENT:
            return
        of, path = self.type(impl["for"]), impl["for"].get("resolved_path")
        if path is not None and path["id"] == id:
            # By its path, so that all that is said of a type stands together.
            of = f"{name}{self.arguments(path['args'])}"
        elif path is not None and self.item(path["id"]) is not None:
            # It is about another type of this crate, and stands there.
            return
        key = (of, self.generics(impl["generics"]), self.where(impl["generics"]))
        self.traits.setdefault(key, set()).add(trait)
        for part in map(self.item, impl["items"]):
            if part is not None and "assoc_type" in part["inner"] and part["inner"]["assoc_type"]["type"] is not None:
                self.add(of, f"<{of} as {trait}>::{part['name']} = {self.type(part['inner']['assoc_type']['type'])}", 9)

    def associated(self, item, owner, visibility):
        kind, inner = next(iter(item["inner"].items()))
        name = f"{owner}::{item['name']}"
        if kind == "function":
            default = " { .. }" if not visibility and inner["has_body"] else ""
            self.add(owner, f"{visibility}{self.function(item, name)}{default}")
        elif kind == "assoc_const":
            value = " = _" if not visibility and inner["value"] is not None else ""
            self.add(owner, f"{visibility}const {name}: {self.type(inner['type'])}{value}", 2)
        elif kind == "assoc_type":
            bounds = self.bounds(inner["bounds"])
            generics = self.generics(inner["generics"])
            default = f" = {self.type(inner['type'])}" if inner["type"] is not None else ""
            self.add(owner, f"{visibility}type {name}{generics}{': ' + bounds if bounds else ''}{default}", 2)
        else:
            raise SystemExit(f"{name} is a {kind}, which this program does not know")

    def function(self, item, name):
        function = item["inner"]["function"]
        header, sig = function["header"], function["sig"]
        words = [word for word in ("const", "async", "unsafe") if header[f"is_{word}"]] + ["fn"]
        inputs = ", ".join(self.input(*each) for each in sig["inputs"])
        output = f" -> {self.type(sig['output'])}" if sig["output"] is not None else ""
        return (f"{self.marks(item)}{' '.join(words)} {name}{self.generics(function['generics'])}({inputs}){output}"
                f"{self.where(function['generics'])}")

    def input(self, name, type):
        if name != "self":
            return f"{name}: {self.type(type)}"
        shown = self.type(type)
        return {"Self": "self", "&Self": "&self", "&mut Self": "&mut self"}.get(shown, f"self: {shown}")

    @staticmethod
    def marks(item):
        known = {"non_exhaustive": "#[non_exhaustive] "}
        text = ""
        for attribute in item["attrs"]:
            if isinstance(attribute, str) and attribute in known:
                text += known[attribute]
            elif isinstance(attribute, dict) and "must_use" in attribute:
                text += "#[must_use] "
        return text

    def generics(self, generics):
        shown = []
        for param in generics["params"]:
            kind, inner = next(iter(param["kind"].items()))
            if kind == "lifetime":
                outlives = " + ".join(inner["outlives"])
                shown.append(param["name"] + (f": {outlives}" if outlives else ""))
            elif kind == "const":
                shown.append(f"const {param['name']}: {self.type(inner['type'])}")
            elif not inner["is_synthetic"]:
                bounds = self.bounds(inner["bounds"])
                shown.append(param["name"] + (f": {bounds}" if bounds else ""))
        return f"<{', '.join(shown)}>" if shown else ""

    def where(self, generics):
        shown = []
        for predicate in generics["where_predicates"]:
            kind, inner = next(iter(predicate.items()))
            if kind == "bound_predicate":
                shown.append(f"{self.type(inner['type'])}: {self.bounds(inner['bounds'])}")
            elif kind == "lifetime_predicate":
                shown.append(f"{inner['lifetime']}: {' + '.join(inner['outlives'])}")
            else:
                shown.append(f"{self.type(inner['lhs'])} = {self.term(inner['rhs'])}")
        return f" where {', '.join(shown)}" if shown else ""

    def bounds(self, bounds):
        shown = []
        for bound in bounds:
            kind, inner = next(iter(bound.items()))
            if kind == "trait_bound":
                maybe = "?" if inner["modifier"] == "maybe" else ""
                shown.append(f"{maybe}{self.path(inner['trait'])}")
            elif kind == "outlives":
                shown.append(inner)
            else:
                shown.append("use<..>")
        return " + ".join(shown)

    def path(self, path):
        own = self.paths.get(str(path["id"]))
        # Items of this crate by their names alone, however they are imported.
        is_own = own and own["crate_id"] == 0 or path["path"].startswith("$crate")
        name = path["path"].rsplit("::", 1)[-1] if is_own else path["path"]
        return name + self.arguments(path["args"])

    def arguments(self, arguments):
        if not arguments:
            return ""
        if arguments == "return_type_notation":
            return "(..)"
        kind, inner = next(iter(arguments.items()))
        if kind == "parenthesized":
            output = f" -> {self.type(inner['output'])}" if inner["output"] is not None else ""
            return f"({', '.join(map(self.type, inner['inputs']))}){output}"
        shown = []
        for argument in inner["args"]:
            if argument == "infer":
                shown.append("_")
                continue
            kind, value = next(iter(argument.items()))
            shown.append({"lifetime": lambda: value, "type": lambda: self.type(value),
                          "const": lambda: value["expr"]}[kind]())
        for constraint in inner["constraints"]:
            kind, value = next(iter(constraint["binding"].items()))
            bound = f" = {self.term(value)}" if kind == "equality" else f": {self.bounds(value)}"
            shown.append(f"{constraint['name']}{self.arguments(constraint['args'])}{bound}")
        return f"<{', '.join(shown)}>" if shown else ""

    def term(self, term):
        kind, inner = next(iter(term.items()))
        return self.type(inner) if kind == "type" else inner["expr"]

    def type(self, type):
        if type == "infer":
            return "_"
        kind, inner = next(iter(type.items()))
        if kind == "resolved_path":
            return self.path(inner)
        if kind in ("generic", "primitive"):
            return "!" if inner == "never" else inner
        if kind == "tuple":
            return f"({', '.join(map(self.type, inner))}{',' if len(inner) == 1 else ''})"
        if kind == "slice":
            return f"[{self.type(inner)}]"
        if kind == "array":
            return f"[{self.type(inner['type'])}; {inner['len']}]"
        if kind == "borrowed_ref":
            lifetime = f"{inner['lifetime']} " if inner["lifetime"] else ""
            to = self.type(inner["type"])
            to = f"({to})" if to.startswith(("dyn ", "impl ")) and " + " in to else to
            return f"&{lifetime}{'mut ' if inner['is_mutable'] else ''}{to}"
        if kind == "raw_pointer":
            return f"*{'mut' if inner['is_mutable'] else 'const'} {self.type(inner['type'])}"
        if kind == "impl_trait":
            return f"impl {self.bounds(inner)}"
        if kind == "dyn_trait":
            shown = [self.path(each["trait"]) for each in inner["traits"]]
            return f"dyn {' + '.join(shown + ([inner['lifetime']] if inner['lifetime'] else []))}"
        if kind == "function_pointer":
            inputs = ", ".join(self.type(each) for _, each in inner["sig"]["inputs"])
            output = inner["sig"]["output"]
            return f"fn({inputs}){' -> ' + self.type(output) if output is not None else ''}"
        if kind == "qualified_path":
            if inner["trait"] is None or not inner["trait"]["path"]:
                return f"{self.type(inner['self_type'])}::{inner['name']}{self.arguments(inner['args'])}"
            return (f"<{self.type(inner['self_type'])} as {self.path(inner['trait'])}>::{inner['name']}"
                    f"{self.arguments(inner['args'])}")
        raise SystemExit(f"a type is a {kind}, which this program does not know")


def main():
    update = sys.argv[1:] == ["--update"]
    if sys.argv[1:] and not update:
        sys.exit(__doc__)
    folder = document()
    differ = []
    for crate in CRATES:
        krate = json.loads((folder / f"{crate.replace('-', '_')}.json").read_text())
        if krate["format_version"] != FORMAT:
            print(f"SKIPPED: this rustdoc writes JSON of format {krate['format_version']}, and .ci/api.py reads "
                  f"{FORMAT}: use Rust 1.95, or teach it the new one")
            return
        now = Api(krate).text()
        snapshot = SNAPSHOTS / f"{crate}.txt"
        if update:
            SNAPSHOTS.mkdir(parents=True, exist_ok=True)
            snapshot.write_text(now)
            continue
        before = snapshot.read_text() if snapshot.exists() else ""
        if before != now:
            differ.append(crate)
            sys.stdout.writelines(difflib.unified_diff(
                before.splitlines(True), now.splitlines(True), f"docs/api/{crate}.txt", "what is public now", n=0))
    if differ:
        sys.exit(f"the public API of {', '.join(differ)} is not the one in docs/api. If that is wanted, run "
                 "'python3 .ci/api.py --update', commit the files, and tell users in CHANGELOG.md.")
    if not update:
        print(f"{len(CRATES)} crates have the public API that docs/api says")


main()
