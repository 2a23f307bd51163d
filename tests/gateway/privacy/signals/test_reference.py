"""Our decoders against the IAB's own, on strings that its encoders made, whole and cut short anywhere.

`npm ci --prefix tests/oracle` installs them; `pytest --long` cuts every string.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.model.event import Consent
from gateway.privacy.signals import Unreadable, read_gpp, read_tcf
from gateway.privacy.signals.heard import ALL_FLAGS, DISCLOSED_SINCE, Vendor, hear, say_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.privacy.signals.tcf import Numbers, TcString

ORACLE = Path(__file__).parents[3] / "oracle"
#: Strings, half of them of each kind, and of those how many are cut.
STRINGS, CUT = 10_000, 200
SEED = 20261127
#: When they are heard: no string is too old or from the future then.
AT = 1_795_000_000.0
#: What ours refuses although the reference reads it, and why.
STRICTER = {
    "not the subsections that it should have": "what tells of Global Privacy Control may have been cut off",
}

Made = dict[str, Any]


def node(*arguments: str, lines: Sequence[Made] = ()) -> list[Made]:
    told = "".join(json.dumps(one) + "\n" for one in lines)
    done = subprocess.run(
        ["node", "strings.mjs", *arguments], cwd=ORACLE, input=told, capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def made() -> list[Made]:
    """The strings, with what the reference reads in them."""
    if not (ORACLE / "node_modules").is_dir():
        assert not os.environ.get("CI"), "CI installs the reference packages"
        pytest.skip("needs `npm ci --prefix tests/oracle`")
    return node("make", str(SEED), str(STRINGS))


def numbers(found: Numbers | None) -> list[int] | None:
    if found is None:
        return None
    listed = {number for number, bit in enumerate(found.field, 1) if bit == "1"}
    return sorted(listed.union(*(range(first, last + 1) for first, last in found.ranges)))


def restrictions(found: Sequence[tuple[int, int, Sequence[int]]]) -> dict[tuple[int, int], set[int]]:
    merged: dict[tuple[int, int], set[int]] = {}
    for purpose, kind, vendors in found:
        merged.setdefault((purpose, kind), set()).update(vendors)
    return merged


def as_read(found: TcString) -> Made:
    """A TC string as the program tells it."""
    return {
        "created": int(found.created_at),
        "updated": int(found.updated_at),
        "cmp": found.cmp_id,
        "policy": found.policy,
        "service_specific": found.service_specific,
        "purposes": numbers(found.purposes),
        "vendors": numbers(found.vendors),
        "disclosed": numbers(found.disclosed),
        "restrictions": restrictions(
            [(one.purpose, one.kind, numbers(one.vendors) or ()) for one in found.restrictions]
        ),
    }


def test_every_tc_string_is_read_alike(made: list[Made], figure: Callable[[str], None]) -> None:
    strings = [one for one in made if one["kind"] == "tcf"]
    ranges = 0
    for one in strings:
        theirs, found = one["read"], read_tcf(one["text"])
        theirs["restrictions"] = restrictions([tuple(entry.values()) for entry in theirs["restrictions"]])
        assert as_read(found) == theirs, one["text"]
        assert not any(number in found.vendors for number in (0, 1_201, 65_535))
        ranges += bool(found.vendors.ranges)
    assert len(strings) == STRINGS / 2
    restricted = sum(bool(one["read"]["restrictions"]) for one in strings)
    assert min(ranges, len(strings) - ranges, restricted) > len(strings) / 20
    figure(f"TC strings: {len(strings):,} read as the IAB's package reads them ({ranges:,} with ranges)")


def test_every_gpp_string_is_read_alike(made: list[Made], figure: Callable[[str], None]) -> None:
    strings, refused = [one for one in made if one["kind"] == "gpp"], Counter[str]()
    sections: Counter[int] = Counter()
    for one in strings:
        theirs = {int(number): section for number, section in one["read"].items()}
        without_gpc = any(section.get("gpc") == "absent" for section in theirs.values())
        if without_gpc:
            with pytest.raises(Unreadable) as error:
                read_gpp(one["text"])
            assert str(error.value) in STRICTER
            refused[str(error.value)] += 1
        found = read_gpp(one["text"], needs_gpc=not without_gpc)
        sections.update(theirs.keys())
        tcf = theirs.pop(2, None)
        assert (found.tcf is None) == (tcf is None)
        if found.tcf is not None:
            assert {name: as_read(found.tcf)[name] for name in ("cmp", "purposes", "vendors")} == tcf
        assert found.unknown == frozenset()
        for number, section in theirs.items():
            opted_out = 1 in section["opt_outs"] or section["gpc"] is True
            assert (found.us[number].opted_out, found.us[number].child) == (opted_out, 1 in section["children"]), number
        assert found.us.keys() == theirs.keys()
    assert sections.keys() == {2, *range(6, 28)}
    assert min(sections.values()) > 50
    figure(
        f"GPP strings: {len(strings):,} read as the IAB's package reads them; {refused.total():,} refused by default"
    )


VENDORS = (Vendor(), Vendor(tcf=2), Vendor(tcf=700), Vendor(atp=9), Vendor(purposes_only=True))


def grants(kind: str, text: str) -> list[Any]:
    """What a string lets happen, each entry of which may only become less: flags that it does not deny everybody, that
    it does not deny each vendor, and that it grants each; no objection; no child.
    """
    heard = hear(Consent(**{kind: text}), AT)
    if heard.unread:
        return [frozenset(), *[frozenset()] * 2 * len(VENDORS), False, False]
    said = [say_of(heard, vendor) for vendor in VENDORS]
    return [
        ALL_FLAGS - heard.denied,
        *(ALL_FLAGS - one.denied - heard.denied for one in said),
        *(one.granted for one in said),
        not heard.opted_out,
        not heard.child,
    ]


def judged(kind: str, text: str, whole: list[Any]) -> bool:
    """Whether a string lets no more happen than the whole of it.

    Before March 2026 a string need not name the disclosed vendors: cut off exactly there it is a valid one that denies
    no vendor for not being disclosed. It grants none either, so that the site's own flags have to.
    """
    cut = grants(kind, text)
    if kind == "tcf" and any(cut) and "." not in text and read_tcf(text).created_at < DISCLOSED_SINCE:
        mine = slice(1, 1 + len(VENDORS))
        cut[mine] = [less & more for less, more in zip(cut[mine], whole[mine], strict=True)]
    return all(less <= more for less, more in zip(cut, whole, strict=True))


def test_no_string_lets_more_happen_when_it_is_cut_short(
    made: list[Made], size: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    chosen = random.Random(SEED).sample(made, size(CUT, STRINGS))
    cuts = readable = 0
    for one in chosen:
        kind, text = one["kind"], one["text"]
        whole = grants(kind, text)
        for end in range(len(text)):
            cuts += 1
            readable += not hear(Consent(**{kind: text[:end]}), AT).unread
            assert judged(kind, text[:end], whole), (text, end)
    figure(
        f"consent strings: {cuts:,} truncations of {len(chosen):,} strings, {readable:,} of them read, none grants more"
    )
