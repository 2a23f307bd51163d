"""Field tables as functions. Reading a table row by row costs more than all the rest of delivering an event; written
out as straight code, a row that is absent costs next to nothing. `source_of` shows the code of a table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from gateway.plugin import convert

if TYPE_CHECKING:
    from gateway.plugin.mapping import Field

#: `(event or entry, item)`: fills the item; returns (reason, field) of the first required row that could not be had.
Mapped: TypeAlias = Callable[[Any, dict[str, Any]], tuple[str, str] | None]

#: Tables remembered. They are constants of plugins; the bound is for those who build them on the way.
REMEMBERED = 500

#: Converters that give a value of this type back as it is.
_UNCHANGED: Mapping[Any, str] = {convert.text: "str", convert.number: "int", convert.whole: "int"}

_compiled: dict[tuple[int, bool], tuple[Sequence[Any], Mapped]] = {}


def compiled(fields: Sequence[Field], *, of_entry: bool = False) -> Mapped:
    """The function of a table."""
    key = (id(fields), of_entry)
    known = _compiled.get(key)
    if known is not None:
        return known[1]  # the table is kept beside it, so that its identity is not given to another one
    if len(_compiled) >= REMEMBERED:
        _compiled.clear()
    lines, names = _lines(fields, of_entry)
    exec("\n".join(lines), names)  # noqa: S102  # the code is ours, made from a table in a plugin's source
    made: Mapped = names["mapped"]
    _compiled[key] = (fields, made)
    return made


def source_of(fields: Sequence[Field], *, of_entry: bool = False) -> str:
    """The code that a table becomes, for the curious."""
    return "\n".join(_lines(fields, of_entry)[0])


def _lines(fields: Sequence[Field], of_entry: bool) -> tuple[list[str], dict[str, Any]]:
    names: dict[str, Any] = {"first": first, "dig": dig}
    roots = {row.source.split(".")[0] for row in fields if isinstance(row.source, str) and "." in row.source}
    parents = dict.fromkeys(row.to.rpartition(".")[0] for row in fields)
    parents.pop("", None)
    locals_ = {parent: f"p{at}" for at, parent in enumerate(parents)}
    lines = ["def mapped(of, item):"]
    if not of_entry:
        lines += [f"    r_{root} = of.{root}" for root in sorted(roots)]
    lines += [f"    {local} = None" for local in locals_.values()]
    for index, row in enumerate(fields):
        lines.append(f"    v = {_reading(row, index, names, of_entry)}")
        lines.append("    if v or v is False or v == 0:")
        lines += [f"        {line}" for line in _converting(row, index, names, locals_)]
        if row.required:
            lines += ["    else:", f"        return ('missing_field', {_name(row)!r})"]
    lines.append("    return None")
    return lines, names


def _reading(row: Field, index: int, names: dict[str, Any], of_entry: bool) -> str:
    if not isinstance(row.source, str):
        names[f"s{index}"] = row.source
        return f"s{index}(of)"
    root, *steps = row.source.split(".")
    if of_entry:
        return f"dig(of, {(root, *steps)!r})" if steps else f"of.get({root!r})"
    if not root.isidentifier():
        raise ValueError(f"{row.source!r} is no path of an event")
    if not steps:
        return f"of.{root}"
    if root == "consent":  # the one part that is not a mapping
        return f"getattr(r_consent, {'.'.join(steps)!r}, None)"
    if len(steps) > 1:
        return f"dig(r_{root}, {tuple(steps)!r})"
    return f"r_{root}.get({steps[0]!r})"


def _converting(row: Field, index: int, names: dict[str, Any], locals_: Mapping[str, str]) -> list[str]:
    """The lines that make a present `v` into the platform's value, or `None`, and put it where it goes."""
    names[f"c{index}"] = row.as_ if row.as_ is not None and not row.many else _converter(row)
    one = "if type(v) is list or type(v) is tuple: v = first(v)"
    if row.each is not None:
        lines = [f"v = c{index}(v)"]
    elif row.many:
        lines = [f"v = [*v] if type(v) is tuple else c{index}(v)" if row.as_ is None else f"v = c{index}(v)"]
    elif row.as_ is None:
        lines = [one]
    else:
        unchanged = _UNCHANGED.get(row.as_)
        lines = [
            one,
            f"if {f'type(v) is not {unchanged}' if unchanged else 'v is not None'}:",
            f"    try: v = c{index}(v)",
            "    except (ValueError, TypeError, OverflowError): v = None",
        ]
    lines += ["if v is not None and v != '':", *(f"    {line}" for line in _putting(row, locals_))]
    if row.required:
        lines += ["else:", f"    return ('invalid_field', {_name(row)!r})"]
    return lines


def _putting(row: Field, locals_: Mapping[str, str]) -> list[str]:
    parent, _, last = row.to.rpartition(".")
    if not parent:
        return [f"item[{last!r}] = v"]
    local = locals_[parent]
    above = "".join(f".setdefault({step!r}, {{}})" for step in parent.split("."))
    return [f"if {local} is None: {local} = item{above}", f"{local}[{last!r}] = v"]


def _converter(row: Field) -> Callable[[Any], Any]:
    """What makes a list into the platform's, or `None`."""
    as_, each = row.as_, row.each
    if each is not None:
        return lambda value: _entries(each, value)
    return lambda value: _several(as_, value)


def _entries(each: Sequence[Field], value: Any) -> list[dict[str, Any]] | None:
    entries = value if isinstance(value, list | tuple) else [value]
    function, found = compiled(each, of_entry=True), []
    for entry in entries:
        mapped: dict[str, Any] = {}
        if isinstance(entry, Mapping) and function(entry, mapped) is None and mapped:
            found.append(mapped)
    return found or None


def _several(as_: Callable[[Any], Any] | None, value: Any) -> list[Any] | None:
    given = value if isinstance(value, list | tuple) else (value,)
    values = [one for one in given if one is not None and one != ""]
    if as_ is not None:
        values = [made for one in values if (made := _converted(as_, one)) is not None]
    try:
        return list(dict.fromkeys(values)) or None
    except TypeError:  # lists or objects among them, from an open part of the event
        return values


def _converted(as_: Callable[[Any], Any], value: Any) -> Any:
    try:
        made = as_(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return None if made == "" else made


def first(value: Any) -> Any:
    """A value, or the first of several; `None` if that one is empty."""
    if not isinstance(value, list | tuple):
        return value
    return None if value[0] == "" else value[0]


def dig(value: Any, steps: tuple[str, ...]) -> Any:
    """The value at a path of several steps; `None` when there is none."""
    for step in steps:
        if not isinstance(value, dict):
            return None
        value = value.get(step)
    return value


def _name(row: Field) -> str:
    return row.source if isinstance(row.source, str) else row.source.__name__
