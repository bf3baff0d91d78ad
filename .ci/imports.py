"""Checks which module imports which, against the layers of docs/internals/layers.md.

A module may import those of its own layer and of the layers below. A cycle of imports is a fault, except between the
modules that the page lets import each other. `--show FOLDER` prints what the modules of a folder import today.
"""

import argparse
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LAYERS = ROOT / "docs" / "internals" / "layers.md"

STRING = r'b?"(?:[^"\\]|\\.)*"|b?\'(?:[^\'\\]|\\.)\''
COMMENT = r"//[^\n]*|/\*.*?\*/"
TEST_ONLY = re.compile(r"#\[cfg\((?:all\()?test\b[^\]]*\]\s*(?:#\[[^\]]*\]\s*)*(?:pub(?:\([a-z ]+\))?\s+)?")
PATH = re.compile(r"(?:\$?\bcrate|\bself|\bsuper)(?:::[A-Za-z_]\w*)+")


def code(text):
    """The text of a file without strings, comments and what is compiled for its own tests only."""
    blank = lambda found: " " if found.group().startswith("/") else '""'
    text = re.sub(f"{STRING}|{COMMENT}", blank, text, flags=re.DOTALL)
    kept, at = [], 0
    while found := TEST_ONLY.search(text, at):
        kept.append(text[at:found.start()])
        at = end_of_item(text, found.end())
    return "".join(kept) + text[at:]


def end_of_item(text, at):
    """Where an item ends: at its semicolon, or at the brace that closes it."""
    depth = 0
    for index in range(at, len(text)):
        if text[index] == ";" and depth == 0:
            return index + 1
        depth += (text[index] in "{([") - (text[index] in "})]")
        if text[index] == "}" and depth == 0:
            return index + 1
    return len(text)


def leaves(tree):
    """The paths of a `use`, each a list of segments with the name that it has here at its end."""
    tree = tree.strip()
    if "{" not in tree:
        path, _, name = tree.partition(" as ")
        segments = [segment.strip() for segment in path.split("::")]
        return [(segments, name.strip() or segments[-1])]
    before, inside = tree.split("{", 1)
    prefix = [segment.strip() for segment in before.split("::") if segment.strip()]
    parts, part, depth = [], "", 0
    for sign in inside[:inside.rindex("}")]:
        depth += (sign == "{") - (sign == "}")
        if sign == "," and depth == 0:
            parts.append(part)
            part = ""
        else:
            part += sign
    found = [leaf for part in [*parts, part] if part.strip() for leaf in leaves(part)]
    return [(prefix + path, name if path != ["self"] else prefix[-1]) for path, name in found]


class Crate:
    """The modules of a crate: a module is a tuple of names, the crate's root the empty one."""

    def __init__(self, source):
        self.source = source
        self.texts, self.uses = {}, {}
        self.add((), next(path for path in (source / "lib.rs", source / "main.rs") if path.exists()))
        for module, text in self.texts.items():
            found = re.findall(r"\b(pub(?:\([a-z: ]+\))?\s+)?use\s+([^;]+);", text)
            self.uses[module] = [(path, name) for _, tree in found for path, name in leaves(tree)]

    def add(self, module, path):
        self.texts[module] = text = code(path.read_text())
        folder = path.parent if path.name in ("lib.rs", "main.rs", "mod.rs") else path.with_suffix("")
        for name in re.findall(r"\bmod\s+(\w+)\s*;", text):
            child = next(child for child in (folder / f"{name}.rs", folder / name / "mod.rs") if child.exists())
            self.add((*module, name), child)

    def resolve(self, module, path, seen=()):
        """The module that holds what a path names in a module: re-exports are followed to where they lead."""
        first, *rest = path
        if first in ("crate", "$crate"):
            at = ()
        elif first == "self":
            at = module
        elif first == "super":
            at = module[:-1]
        elif (*module, first) in self.texts:
            at, rest = module, path
        else:
            return None
        while rest and rest[0] == "super":
            at, rest = at[:-1], rest[1:]
        while rest and (*at, rest[0]) in self.texts:
            at, rest = (*at, rest[0]), rest[1:]
        if rest and (at, rest[0]) not in seen:
            for target, name in self.uses[at]:
                if name == rest[0] and (found := self.resolve(at, target, (*seen, (at, name)))) is not None:
                    return found
        return at

    def imports(self):
        """Pairs of modules: one that imports, and one that it imports from."""
        for module, text in self.texts.items():
            paths = [path for path, _ in self.uses[module]]
            paths += [path.split("::") for path in PATH.findall(re.sub(r"\buse\s+[^;]+;", "", text))]
            for path in paths:
                target = self.resolve(module, path)
                if target is not None and target != module:
                    yield module, target


def graph(crate, prefix):
    """What the modules directly in a folder import of each other; its own file is called `mod`."""
    edges = {}
    depth = len(prefix)
    for module, target in crate.imports():
        if module[:depth] != prefix or target[:depth] != prefix:
            continue
        one, other = (name[depth] if len(name) > depth else "mod" for name in (module, target))
        # The root of a crate only declares its modules and re-exports what is public.
        if one != other and not (one == "mod" and depth == 0):
            edges.setdefault(one, {}).setdefault(other, set()).add(".".join(module))
    names = {module[depth] for module in crate.texts if len(module) > depth and module[:depth] == prefix}
    return names, edges


def cycles(names, edges):
    """Sets of modules that reach each other (Tarjan's algorithm would be faster; there are few modules)."""
    def reached(start):
        found, open_ = set(), [start]
        while open_:
            for target in edges.get(open_.pop(), {}):
                if target not in found:
                    found.add(target)
                    open_.append(target)
        return found

    reach = {name: reached(name) for name in names | {"mod"}}
    rings = {frozenset(other for other in reach[name] if name in reach[other]) for name in reach if name in reach[name]}
    return sorted(rings, key=sorted)


def sections():
    """Of each folder of the page: its layers from the top down, and the sets that may import each other."""
    folder, found = None, {}
    for line in LAYERS.read_text().splitlines():
        if heading := re.match(r"## `(\S+)`", line):
            folder = heading.group(1)
            found[folder] = ([], [])
        elif folder and (row := re.match(r"\| *([^|]+?) *\| *([^|]+?) *\|", line)):
            if names := re.findall(r"`(\w+)`", row.group(2)):
                found[folder][0].append((row.group(1), names))
        elif folder and line.startswith("May import each other:"):
            found[folder][1].append(frozenset(re.findall(r"`(\w+)`", line.partition(". ")[0])))
    return found


def open_folder(folder):
    """The crate of a folder, and the folder's own module in it."""
    path = ROOT / folder
    source = next(parent for parent in (path, *path.parents) if parent.name == "src")
    return Crate(source), path.relative_to(source).parts


def check(folder, layers, together):
    """What is wrong in a folder."""
    names, edges = graph(*open_folder(folder))
    heights = {name: (height, title) for height, (title, row) in enumerate(reversed(layers)) for name in row}
    for name in sorted(names - heights.keys()):
        yield f"{folder}: `{name}` is in no layer: add it to docs/internals/layers.md"
    for name in sorted(heights.keys() - names - {"mod"}):
        yield f"{folder}: there is no module `{name}`: remove it from docs/internals/layers.md"
    for one, targets in sorted(edges.items()):
        for other, users in sorted(targets.items()):
            if one in heights and other in heights and heights[one][0] < heights[other][0]:
                where = ", ".join(sorted(users))
                yield (f"{folder}: `{one}` ({heights[one][1]}) imports `{other}` ({heights[other][1]}), which is above "
                       f"it; see {where}")
    for ring in cycles(names, edges):
        if not any(ring <= allowed for allowed in together):
            arrows = [f"{one} -> {other}" for one in sorted(ring) for other in sorted(edges.get(one, {}).keys() & ring)]
            yield f"{folder}: these import each other: {', '.join(sorted(ring))} ({'; '.join(arrows)})"
    for allowed in together:
        if not any(ring == allowed for ring in cycles(names, edges)):
            yield f"{folder}: {', '.join(sorted(allowed))} are no cycle of imports any more: mend docs/internals/layers.md"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--show", metavar="FOLDER", help="print what the modules of a folder import")
    shown = parser.parse_args().show
    if shown:
        names, edges = graph(*open_folder(shown))
        for name in sorted(names | edges.keys()):
            print(f"{name}: {' '.join(sorted(edges.get(name, {})))}")
        for ring in cycles(names, edges):
            print(f"cycle of {len(ring)}: {' '.join(sorted(ring))}")
        return 0
    page = sections()
    missing = [path.parent for path in ROOT.glob("crates/*/src") if path.relative_to(ROOT).as_posix() not in page]
    faults = [f"{path.relative_to(ROOT)}/src has no layers in docs/internals/layers.md" for path in missing]
    faults += [fault for folder, (layers, together) in page.items() for fault in check(folder, layers, together)]
    print("\n".join(faults) or f"{len(page)} folders: every import goes down, and none in a cycle")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
