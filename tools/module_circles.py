#!/usr/bin/env python3
"""Finds modules of the workspace's crates that import each other in a circle.

Every crate is read by itself. The modules of one folder, and those of the crate root, are compared with each other:
a module stands for all that lies below it, and depends on the modules in which the items that it names are defined.
Re-exports are followed to the item, so that `crate::Name` counts as the module that defines `Name`. Tests do not
count, nor does what a folder's own file says of the modules in it; with `--parents` that file counts as one of them.

    tools/module_circles.py [--parents] [FOLDER OF THE WORKSPACE]

Prints each circle with the imports that make it, and fails if there is one.
"""

import re
import sys
import tomllib
from pathlib import Path


class Module:
    """A module: its path in the crate, what it contains, and what it brings into scope."""

    def __init__(self, path, text, children):
        self.path, self.children = path, children
        self.uses = list(uses(text))
        self.names = [tuple(name.split("::")) for name in re.findall(r"(?<![\w:])(?:\w+::)+\w+", drop_uses(text))]
        self.macros = re.findall(r"#\[macro_export\]\s*(?:#\[[^\]]*\]\s*)*macro_rules!\s*(\w+)", text)


def without_comments(text):
    """The code without comments, and with nothing in its texts."""
    token = re.compile(
        r"//[^\n]*|/\*.*?\*/|\bb?r(#*)\".*?\"\1|b?\"(?:\\.|[^\"\\])*\"|b?'(?:\\.[^']*|[^'\\])'", re.DOTALL
    )
    return token.sub(lambda found: "" if found[0].startswith("/") else '""', text)


def block_end(text, start):
    """The place behind the brace that closes the one at `start`."""
    depth = 0
    for at in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return at + 1
    return len(text)


def without_tests(text):
    """The code without what only tests compile."""
    while found := re.search(r"#\[cfg\(test\)\]\s*(?:#\[[^\]]*\]\s*)*", text):
        rest = re.compile(r"[{;]").search(text, found.end())
        end = len(text) if rest is None else rest.end() if rest[0] == ";" else block_end(text, rest.start())
        text = text[: found.start()] + text[end:]
    return text


USE = re.compile(r"(?<!\w)(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);")


def drop_uses(text):
    return USE.sub("", text)


def uses(text):
    """Each imported name: whether others see it, its path, and what it is called here."""
    for public, tree in USE.findall(text):
        for path in expanded(re.sub(r"\s+", " ", tree).strip()):
            path, _, name = path.partition(" as ")
            parts = tuple(part.strip() for part in path.split("::") if part.strip())
            if parts[-1:] == ("self",) and len(parts) > 1:
                parts = parts[:-1]
            yield bool(public), parts, name.strip() or parts[-1]


def expanded(tree):
    """The paths of a tree such as `a::{b, c::{d, e}}`."""
    if "{" not in tree:
        return [tree]
    before, inner = tree[: tree.index("{")], tree[tree.index("{") + 1 : tree.rindex("}")]
    items, depth, item = [], 0, ""
    for letter in inner + ",":
        if letter == "," and depth == 0:
            items.append(item.strip())
            item = ""
        else:
            depth += {"{": 1, "}": -1}.get(letter, 0)
            item += letter
    return [before + path for item in items if item for path in expanded(item)]


def read(file, path, folder, modules):
    """Reads the module in `file`, whose own modules lie in `folder`, and all below it."""
    split(without_tests(without_comments(file.read_text())), path, folder, modules)


def split(text, path, folder, modules):
    """Takes a module apart into itself and the modules in it, whether they are files or blocks."""
    children = set()
    while found := re.search(r"(?<!\w)mod\s+(\w+)\s*\{", text):
        end = block_end(text, found.end() - 1)
        children.add(found[1])
        split(text[found.end() : end - 1], path + (found[1],), folder / found[1], modules)
        text = text[: found.start()] + text[end:]
    for name in re.findall(r"(?<!\w)mod\s+(\w+)\s*;", text):
        for file in (folder / f"{name}.rs", folder / name / "mod.rs"):
            if file.is_file():
                children.add(name)
                read(file, path + (name,), folder / name, modules)
    modules[path] = Module(path, text, children)


def resolve(modules, macros, start, parts, seen=()):
    """The module that defines what the path `parts` names in the module `start`; None for another crate's."""
    if (start, parts) in seen:
        return None
    seen += ((start, parts),)
    at, parts = start, list(parts)
    if parts[0] == "crate":
        at, parts = (), parts[1:]
    elif parts[0] in ("self", "super"):
        while parts and parts[0] in ("self", "super"):
            at = at[:-1] if parts.pop(0) == "super" else at
    elif parts[0] not in modules[at].children:
        return None
    while parts:
        module, name = modules[at], parts[0]
        if name in module.children:
            at, parts = at + (name,), parts[1:]
            continue
        for _, path, known in module.uses:
            if known == name or known == "*":
                path = path[:-1] + (name,) if known == "*" else path
                found = resolve(modules, macros, at, path, seen) if path != (name,) else None
                if found is not None and (known == name or found != at):
                    return found
        return macros.get(name, at) if at == () else at
    return at


def dependencies(modules):
    """Pairs of modules, the second of which defines what the first names, with that name."""
    macros = {name: module.path for module in modules.values() for name in module.macros}
    for module in modules.values():
        named = [parts for public, parts, _ in module.uses if not (public and parts_of_own(module, parts))]
        for parts in named + module.names:
            found = resolve(modules, macros, module.path, parts)
            if found is not None and found != module.path:
                yield module.path, found, "::".join(parts)


def parts_of_own(module, parts):
    """Whether a path leads into the module's own folder, as a re-export does."""
    return parts[0] in module.children or parts[0] == "self"


def components(edges):
    """The circles of a graph, each as the list of its nodes (Tarjan's algorithm, without recursion)."""
    reach = {node: set(edges.get(node, ())) for node in edges}
    changed = True
    while changed:
        changed = False
        for node, known in reach.items():
            more = set().union(*(reach.get(other, set()) for other in known)) - known
            changed |= bool(more)
            known |= more
    circles = {frozenset(b for b in reach if b in reach[a] and a in reach[b]) for a in reach}
    return sorted(sorted(circle) for circle in circles if len(circle) > 1)


def circles(modules, parents):
    """Circles among the modules of each folder, each with the imports that make it."""
    all_edges = list(dependencies(modules))
    for folder in sorted(modules):
        depth, edges, why = len(folder), {}, {}
        for start, end, name in all_edges:
            if start[:depth] != folder or end[:depth] != folder:
                continue
            a, b = (path[depth] if len(path) > depth else "(itself)" for path in (start, end))
            if a == b or (not parents and "(itself)" in (a, b)):
                continue
            edges.setdefault(a, set()).add(b)
            why.setdefault((a, b), set()).add(f"{'::'.join(start) or 'the root'}: {name}")
        for circle in components(edges):
            pairs = [(a, b) for a in circle for b in circle if b in edges.get(a, ())]
            yield folder, circle, [(a, b, sorted(why[a, b])) for a, b in pairs]


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--parents"]
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    workspace = tomllib.loads((root / "Cargo.toml").read_text())["workspace"]
    count = 0
    for member in workspace["members"]:
        package = tomllib.loads((root / member / "Cargo.toml").read_text())["package"]["name"]
        found = []
        for file in (root / member / "src" / "lib.rs", root / member / "src" / "main.rs"):
            if file.is_file():
                modules = {}
                read(file, (), file.parent, modules)
                found += circles(modules, "--parents" in sys.argv)
        print(f"{package}: {len(found)} circles" if found else f"{package}: no circle")
        for folder, circle, edges in found:
            print(f"  {'::'.join(('crate',) + folder)}: {', '.join(circle)}")
            for a, b, names in edges:
                print(f"    {a} -> {b}  ({'; '.join(names[:3])}{'; ..' if len(names) > 3 else ''})")
        count += len(found)
    sys.exit(1 if count else 0)


if __name__ == "__main__":
    main()
