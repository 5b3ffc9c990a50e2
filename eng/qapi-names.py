#!/usr/bin/env python3
"""qapi-names.py SCHEMA NEWEST OTHER... - finds what the introspection of QEMU hides, in QEMU's own QAPI files.

SCHEMA is the stored reply (src/Pengx.Qmp/Schema/qemu-schema.json); NEWEST is a folder with the qapi/*.json of the same QEMU,
OTHER are the same folders of older and newer ones. Prints facts.json: the names of types (by a path that leads to each),
the module and the version that brought each definition, members that are unsigned 64-bit numbers, commands that take
further arguments, and members that are mandatory in NEWEST but not in every OTHER. Needed only when the schema is refreshed.
"""
import json
import pathlib
import re
import sys

TOKEN = re.compile(r"\s*(?:#[^\n]*\n|([{}\[\]:,])|'([^']*)'|\"([^\"]*)\"|(true|false))")


def parse(text):
    """The top-level expressions of a QAPI file."""
    tokens = []
    position = 0
    while match := TOKEN.match(text, position):
        position = match.end()
        if match[1]:
            tokens.append(match[1])
        elif match[4]:
            tokens.append(match[4] == "true")
        elif match[2] is not None or match[3] is not None:
            tokens.append(("s", match[2] if match[2] is not None else match[3]))
    assert not text[position:].strip(), text[position:position + 80]
    index = 0

    def value():
        nonlocal index
        token = tokens[index]
        index += 1
        if token == "{":
            result = {}
            while tokens[index] != "}":
                key = tokens[index][1]
                index += 2
                result[key] = value()
                if tokens[index] == ",":
                    index += 1
            index += 1
            return result
        if token == "[":
            result = []
            while tokens[index] != "]":
                result.append(value())
                if tokens[index] == ",":
                    index += 1
            index += 1
            return result
        return token if isinstance(token, bool) else token[1]

    while index < len(tokens):
        yield value()


class Qapi:
    """The definitions of one QEMU."""

    def __init__(self, folder):
        self.types, self.commands, self.events, self.module, self.since = {}, {}, {}, {}, {}
        for file in sorted((pathlib.Path(folder) / "qapi").glob("*.json")):
            text = file.read_text(encoding="utf-8")
            for block in re.findall(r"^##\n((?:#[^\n]*\n)*?)##\n", text, re.M):
                name = re.match(r"#\s*\n?# @([\w.-]+):|# @([\w.-]+):", block)
                since = re.search(r"^# Since:? ([\d.]*\d)", block, re.M)
                if name and since:
                    self.since[name[1] or name[2]] = since[1]
            for expression in parse(text):
                for kind in ("command", "event", "struct", "union", "enum", "alternate"):
                    if kind in expression:
                        name = expression[kind]
                        self.module[name] = file.stem
                        table = self.commands if kind == "command" else self.events if kind == "event" else self.types
                        table[name] = expression

    def members(self, data):
        """Name to (type, optional) of a struct, the common part of a union, or an anonymous object."""
        if isinstance(data, str):
            definition = self.types.get(data)
            if definition is None:
                return {}
            result = dict(self.members(definition["base"])) if "base" in definition else {}
            if "union" in definition and "discriminator" not in definition:
                result["type"] = ("str", False)
            if "struct" in definition:
                result.update(self.members(definition["data"]))
            return result
        result = {}
        for name, kind in (data or {}).items():
            kind = kind["type"] if isinstance(kind, dict) else kind
            result[name.lstrip("*")] = (kind, name.startswith("*"))
        return result


def main():
    schema = {entry["name"]: entry for entry in json.load(open(sys.argv[1], encoding="utf-8"))["schema"]}
    qapi = Qapi(sys.argv[2])
    others = [Qapi(folder) for folder in sys.argv[3:]]
    names, unsigned, seen, used = {}, {}, set(), set()
    queue = []
    for name, entry in sorted(schema.items()):
        if entry["meta-type"] == "command":
            definition = qapi.commands[name]
            queue.append((f"{name}/arg-type", entry["arg-type"], definition.get("data")))
            queue.append((f"{name}/ret-type", entry["ret-type"], definition.get("returns")))
            used.add(name)
    for name, entry in sorted(schema.items()):
        if entry["meta-type"] == "event":
            queue.append((f"{name}/arg-type", entry["arg-type"], qapi.events[name].get("data")))
            used.add(name)

    while queue:
        path, number, kind = queue.pop(0)
        entry = schema[number]
        if isinstance(kind, list):
            assert entry["meta-type"] == "array", path
            queue.append((path, entry["element-type"], kind[0]))
            continue
        if entry["meta-type"] == "builtin" or number in seen or kind is None:
            continue
        if entry["meta-type"] == "array":
            raise AssertionError(path)
        seen.add(number)
        owner = path
        if isinstance(kind, str):
            names[path] = owner = kind
            used.add(kind)
        if entry["meta-type"] == "object":
            members = qapi.members(kind)
            for member in entry["members"]:
                target = members[member["name"]][0]
                if target in ("uint64", ["uint64"]):
                    unsigned.setdefault(owner, []).append(member["name"])
                queue.append((f"{path}/{member['name']}", member["type"], target))
            cases = qapi.types[kind]["data"] if entry.get("variants") else {}
            for variant in entry.get("variants", []):
                case = cases.get(variant["case"])
                if case is not None:
                    queue.append((f"{path}/+{variant['case']}", variant["type"], case["type"] if isinstance(case, dict) else case))
        elif entry["meta-type"] == "alternate":
            alternatives = [v["type"] if isinstance(v, dict) else v for v in qapi.types[kind]["data"].values()]
            for index, member in enumerate(entry["members"]):
                if alternatives[index] in ("uint64", ["uint64"]):
                    unsigned.setdefault(owner, []).append(f"|{index}")
                queue.append((f"{path}/|{index}", member["type"], alternatives[index]))

    # QEMU lists a type or two that nothing in the reply leads to; they are known by their members.
    for number, entry in schema.items():
        if entry["meta-type"] in ("object", "enum") and number not in seen and number != schema["stop"]["arg-type"]:
            members = [member["name"] for member in entry["members"]]
            for name, definition in sorted(qapi.types.items()):
                data = definition.get("data")
                theirs = [v["name"] if isinstance(v, dict) else v for v in data] if "enum" in definition else list(qapi.members(name))
                if theirs == members and name not in names.values():
                    names["?" + ",".join(members)] = name
                    used.add(name)

    varying = {}
    for name in sorted(used):
        definition = qapi.types.get(name) or qapi.events.get(name)
        if definition is None or "enum" in definition or "alternate" in definition:
            continue
        data = (lambda q: name) if name in qapi.types else (lambda q: q.events[name].get("data"))
        for other in others:
            if name not in (other.types if name in qapi.types else other.events):
                continue
            theirs = other.members(data(other))
            for member, (_, optional) in qapi.members(data(qapi)).items():
                if not optional and (member not in theirs or theirs[member][1]):
                    key = name if name in qapi.types else f"{name}/arg-type"
                    varying.setdefault(key, set()).add(member)

    modules = {}
    for name in sorted(used):
        modules.setdefault(qapi.module[name], []).append(name)
    json.dump(
        {
            "about": "Facts of QEMU's QAPI files that query-qmp-schema does not tell; made by eng/qapi-names.py.",
            "types": dict(sorted(names.items())),
            "modules": modules,
            "since": {name: qapi.since[name] for name in sorted(used) if name in qapi.since},
            "unsigned": dict(sorted(unsigned.items())),
            "varying": {name: sorted(members) for name, members in sorted(varying.items())},
            "open": sorted(name for name, definition in qapi.commands.items() if definition.get("gen") is False and name in schema),
        },
        sys.stdout,
        indent=1,
    )
    print()


main()
