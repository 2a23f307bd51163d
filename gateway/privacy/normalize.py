"""One function per match-key rule: a raw value in, the exact text that a platform hashes out.

Each takes `(value, place)` and returns the normalised text, or `None` when the value cannot be normalised: a wrong
digest matches nobody, or somebody else, so it is never made. Every text is in Unicode NFC, so that a decomposed `é`
gives the digest of a composed one. Functions are pure and total: no input raises. `RULES` has them by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import TypeAlias

from gateway.privacy import phones, places
from gateway.privacy.spelling import compact, invisible, letters, lowered, trimmed, words


@dataclass(frozen=True, slots=True)
class Place:
    """Where a phone number, a state or a postcode belongs."""

    #: ISO 3166-1 alpha-2 in upper case, `None` when unknown.
    country: str | None = None


NOWHERE = Place()

RuleFunction: TypeAlias = Callable[[str, Place], str | None]

#: What scripts write when a variable had no value. A digest of it would make one person of all visitors.
NO_VALUES = frozenset(("undefined", "null", "nan", "[object object]"))

#: Words for a gender, in lower case without spaces and punctuation.
GENDERS = {
    **dict.fromkeys(("f", "female", "fem", "feminine", "woman", "girl"), "f"),
    **dict.fromkeys(("m", "male", "masc", "masculine", "man", "boy"), "m"),
    **dict.fromkeys(("n", "nb", "enby", "nonbinary", "neutral", "diverse"), "n"),
}

#: Before a given name, and after a family name, as separate words.
HONORIFICS = frozenset(("mr", "mrs", "ms", "dr"))
SUFFIXES = frozenset(
    ("jr", "sr", "2nd", "3rd", "ii", "iii", "iv", "v", "vi", "cpa", "dc", "dds", "vm", "jd", "md", "phd")
)

#: The domains whose mailboxes ignore dots and what follows a plus.
GMAIL = ("gmail.com", "googlemail.com")

_EMAIL_ASCII = re.compile(r"[A-Za-z0-9._%+'-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]+")
_EMAIL = re.compile(r"[^\s@<>()\[\]\\,;:\"\x00-\x1f\x7f]+@[^\s@<>()\[\]\\,;:\"\x00-\x1f\x7f]+")
_DATES = (
    re.compile(r"(?P<y>\d{4})-(?P<m>\d{1,2})-(?P<d>\d{1,2})(?:[T ].*)?", re.ASCII | re.DOTALL),
    re.compile(r"(?P<y>\d{4})([/.])(?P<m>\d{1,2})\2(?P<d>\d{1,2})", re.ASCII),
    re.compile(r"(?P<y>\d{4})(?P<m>\d{2})(?P<d>\d{2})", re.ASCII),
)
_DATE_YEAR_LAST = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4})", re.ASCII)
_ZIP_PLUS_4 = re.compile(r"(\d{5})[ -]*(\d{4})?", re.ASCII)


def email_plain(value: str, place: Place = NOWHERE) -> str | None:
    """Trimmed, lower case; dots and `+tag` kept. One `@`, no blanks, both sides there."""
    if _EMAIL_ASCII.fullmatch(value):  # nearly always
        return value.lower()
    text = lowered(trimmed(value))
    if not _EMAIL.fullmatch(text) or not (text.isascii() or not any(map(invisible, text))):
        return None
    domain = text.rpartition("@")[2]
    return None if domain[0] == "." or domain[-1] == "." or ".." in domain else text


def email_gmail(value: str, place: Place = NOWHERE) -> str | None:
    """As `email_plain`; at gmail.com and googlemail.com also without `+tag` and dots before the `@`."""
    text = email_plain(value)
    if text is None or not text.endswith(GMAIL):
        return text
    local, _, domain = text.rpartition("@")
    if domain not in GMAIL:
        return text
    local = local.partition("+")[0].replace(".", "")
    return f"{local}@{domain}" if local else None


def phone_e164(value: str, place: Place) -> str | None:
    """`+`, country code, number: digits only. `00` is a `+`; a trunk zero goes; the country is never guessed."""
    return phones.e164(value, place.country)


def phone_digits(value: str, place: Place) -> str | None:
    """As `phone_e164`, without the `+`."""
    text = phones.e164(value, place.country)
    return None if text is None else text[1:]


def name_spaced(value: str, place: Place = NOWHERE) -> str | None:
    """Lower case without punctuation; accents kept; one blank between words."""
    return " ".join(words(value)) or None


def name_compact(value: str, place: Place = NOWHERE) -> str | None:
    """Lower case without punctuation and blanks; accents kept."""
    return compact(value) or None


def name_verbatim(value: str, place: Place = NOWHERE) -> str | None:
    """Trimmed, lower case, one blank between words; punctuation kept."""
    return " ".join(lowered(trimmed(value)).split()) or None


def given_name_google(value: str, place: Place = NOWHERE) -> str | None:
    """As `name_spaced`, without mr, mrs, ms, dr in front."""
    found = words(value)
    while found and found[0] in HONORIFICS:
        del found[0]
    return " ".join(found) or None


def family_name_google(value: str, place: Place = NOWHERE) -> str | None:
    """As `name_spaced`, without jr, sr, ii, phd … behind; the whole name stays where it is nothing else."""
    found = words(value)
    while len(found) > 1 and found[-1] in SUFFIXES:
        del found[-1]
    return " ".join(found) or None


def gender_fm(value: str, place: Place = NOWHERE) -> str | None:
    """`f` or `m`, from words too; anything else is left out."""
    code = gender_fmn(value)
    return None if code == "n" else code


def gender_fmn(value: str, place: Place = NOWHERE) -> str | None:
    """`f`, `m` or `n` (non-binary), from words too."""
    return GENDERS.get(compact(value))


def date_yyyymmdd(value: str, place: Place = NOWHERE) -> str | None:
    """`YYYYMMDD`, from that, ISO 8601, or day and month before the year where they cannot be mistaken; from 1900."""
    text = value.strip()
    for form in _DATES:
        if match := form.fullmatch(text):
            return _date(match["y"], match["m"], match["d"])
    if match := _DATE_YEAR_LAST.fullmatch(text):
        first, second = int(match[1]), int(match[3])
        if second > 12 or first == second:
            return _date(match[4], first, second)
        if first > 12:
            return _date(match[4], second, first)
    return None


def _date(year: str, month: str | int, day: str | int) -> str | None:
    try:
        when = date(int(year), int(month), int(day))
    except ValueError:
        return None
    return when.strftime("%Y%m%d") if when.year >= 1900 else None


def city_letters(value: str, place: Place = NOWHERE) -> str | None:
    """Lower case without blanks, punctuation and digits; accents kept."""
    return letters(value) or None


def city_compact(value: str, place: Place = NOWHERE) -> str | None:
    """Lower case without blanks and punctuation; accents kept."""
    return compact(value) or None


def state_code(value: str, place: Place = NOWHERE) -> str | None:
    """United States: the two-letter code in lower case, from the name too. Elsewhere: as `city_compact`.

    An ISO 3166-2 code (`US-CA`, `DE-BY`) loses its country. Without a country, American names are still read.
    """
    text = compact(value)
    country = place.country or "US"
    if "-" in value and len(text) > 2 and value.strip()[:3].lower() == country.lower() + "-":
        text = text[2:]
    if country == "US":
        text = places.US_STATES.get(text, text)
        if place.country and text not in places.US_STATE_CODES:
            return None
    return text or None


def zip_us5(value: str, place: Place = NOWHERE) -> str | None:
    """Lower case without blanks and punctuation; United States: the first five digits."""
    text = compact(value)
    if place.country in places.ZIP_COUNTRIES:
        return text[:5] if _ZIP_PLUS_4.fullmatch(text) else None
    if place.country is None and "-" in value and _ZIP_PLUS_4.fullmatch(value.strip()):
        return text[:5]
    return text or None


def zip_compact(value: str, place: Place = NOWHERE) -> str | None:
    """Lower case without blanks and punctuation."""
    return compact(value) or None


def zip_google(value: str, place: Place = NOWHERE) -> str | None:
    """Trimmed, for sending in the clear. United States: `94045` or `94045-1234`."""
    text = " ".join(trimmed(value).split())
    if place.country not in places.ZIP_COUNTRIES:
        return text or None
    match = _ZIP_PLUS_4.fullmatch(text)
    if match is None:
        return None
    return f"{match[1]}-{match[2]}" if match[2] else match[1]


def country_upper(value: str, place: Place = NOWHERE) -> str | None:
    """ISO 3166-1 alpha-2 in upper case, from alpha-3 and English names too."""
    return places.country_code(value)


def country_lower(value: str, place: Place = NOWHERE) -> str | None:
    """ISO 3166-1 alpha-2 in lower case, from alpha-3 and English names too."""
    code = places.country_code(value)
    return None if code is None else code.lower()


def street_plain(value: str, place: Place = NOWHERE) -> str | None:
    """Lower case without symbols, one blank between words."""
    return " ".join(words(value)) or None


def id_trimmed(value: str, place: Place = NOWHERE) -> str | None:
    """Trimmed, case kept: it must be what the browser pixel hashes. `undefined` and `null` are no ids."""
    text = trimmed(value)
    return None if not text or text.lower() in NO_VALUES else text


def id_lowercase(value: str, place: Place = NOWHERE) -> str | None:
    """As `id_trimmed`, in lower case."""
    text = id_trimmed(value)
    return None if text is None else lowered(text)


def madid_lowercase(value: str, place: Place = NOWHERE) -> str | None:
    """As `id_lowercase`; the all-zero id of a device that limits tracking is none."""
    text = id_lowercase(value)
    return None if text is None or not text.strip("0-") else text


def plain_email(value: str) -> str | None:
    """An ordinary address that is not Google's, on which the rules for addresses agree."""
    if not _EMAIL_ASCII.fullmatch(value):
        return None
    text = value.lower()
    return None if text.endswith(GMAIL) else text


def plain_name(value: str) -> str | None:
    """One word of ASCII letters that is no title: every rule for names only makes it lower case."""
    if not (value.isascii() and value.isalpha()):
        return None
    text = value.lower()
    return None if text in HONORIFICS else text


def plain_id(value: str) -> str | None:
    """An id that is trimmed and in lower case already."""
    return value if value.isascii() and value == value.strip().lower() and id_trimmed(value) else None


@dataclass(frozen=True, slots=True)
class Rule:
    """A named way to normalise a value. What it does stands in the docstring of its function."""

    function: RuleFunction
    #: Keys of `user_data` that it is for.
    keys: tuple[str, ...]
    #: What a value must be: completes "expected …" in a warning.
    expects: str
    #: The page that asks for it.
    source: str
    #: (raw, country, normalised).
    examples: tuple[tuple[str, str | None, str | None], ...]

    @property
    def name(self) -> str:
        """What plugins and gateway.toml call it."""
        return self.function.__name__

    @property
    def about(self) -> str:
        """What it does, in a sentence or two."""
        return (self.function.__doc__ or "").partition("\n")[0]


META = "https://developers.facebook.com/docs/marketing-api/conversions-api/parameters/customer-information-parameters"
GOOGLE = "https://developers.google.com/data-manager/api/devguides/concepts/formatting"
PINTEREST = "https://developers.pinterest.com/docs/api/v5/events-create/"
TIKTOK = "https://github.com/segmentio/action-destinations/tree/main/packages/destination-actions/src/destinations/tiktok-conversions"
TIKTOK_APP = "https://github.com/segmentio/action-destinations/tree/main/packages/destination-actions/src/destinations/tiktok-app-events"

_EMAIL_KEY, _PHONE_KEY, _IDS = ("email",), ("phone",), ("external_id",)
_NAMES = ("first_name", "last_name")
_ADDRESS = "an e-mail address: one @, no blanks"
_NUMBER = "a phone number with its country code (+1 …), digits and separators only"
_TEXT = "a text with letters or digits in it"
_COUNTRY = "an ISO 3166-1 code or an English country name"
_POSTCODE = "a postcode; in the US 5 or 9 digits"
_ID = "an id, not empty and not a word for no value"

#: Every rule by name.
RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule(email_plain, _EMAIL_KEY, _ADDRESS, META, ((" John_Smith@gmail.com ", None, "john_smith@gmail.com"),)),
        Rule(email_gmail, _EMAIL_KEY, _ADDRESS, GOOGLE, (("Jo.Doe+shop@gmail.com", None, "jodoe@gmail.com"),)),
        Rule(phone_digits, _PHONE_KEY, _NUMBER, META, (("(650)555-1212", "US", "16505551212"),)),
        Rule(phone_e164, _PHONE_KEY, _NUMBER, GOOGLE, (("0044 (0)113 496 0987", None, "+441134960987"),)),
        Rule(name_spaced, _NAMES, _TEXT, META, (("Mary-Ann  O'Hara", None, "maryann ohara"),)),
        Rule(name_compact, _NAMES, _TEXT, TIKTOK, (("Mary Ann", None, "maryann"),)),
        Rule(name_verbatim, _NAMES, _TEXT, PINTEREST, ((" O'Brien ", None, "o'brien"),)),
        Rule(given_name_google, ("first_name",), "a given name", GOOGLE, (("Mrs. Joan", None, "joan"),)),
        Rule(family_name_google, ("last_name",), _TEXT, GOOGLE, (("O'Brien Jr.", None, "obrien"),)),
        Rule(gender_fm, ("gender",), "female or male", META, (("Female", None, "f"), ("x", None, None))),
        Rule(gender_fmn, ("gender",), "female, male or non-binary", PINTEREST, (("Non-binary", None, "n"),)),
        Rule(date_yyyymmdd, ("date_of_birth",), "YYYY-MM-DD or YYYYMMDD", META, (("2/16/1997", None, "19970216"),)),
        Rule(city_letters, ("city",), "a name with letters in it", META, (("São Paulo", None, "sãopaulo"),)),
        Rule(city_compact, ("city",), _TEXT, TIKTOK, (("Quartier 6", None, "quartier6"),)),
        Rule(state_code, ("state",), "a state; in the US one of its states", META, (("California", "US", "ca"),)),
        Rule(zip_us5, ("zip",), _POSTCODE, META, (("94035-1234", "US", "94035"),)),
        Rule(zip_compact, ("zip",), _TEXT, TIKTOK, (("SW1A 1AA", "GB", "sw1a1aa"),)),
        Rule(zip_google, ("zip",), _POSTCODE, GOOGLE, ((" 94045-1234", "US", "94045-1234"),)),
        Rule(country_lower, ("country",), _COUNTRY, META, (("United States", None, "us"),)),
        Rule(country_upper, ("country",), _COUNTRY, GOOGLE, (("gbr", None, "GB"),)),
        Rule(street_plain, ("street",), _TEXT, GOOGLE, (("1600 Amphitheatre Pkwy.", None, "1600 amphitheatre pkwy"),)),
        Rule(id_trimmed, _IDS, _ID, META, ((" User-42 ", None, "User-42"),)),
        Rule(id_lowercase, (*_IDS, "pin_unauth"), _ID, PINTEREST, ((" Cust-42 ", None, "cust-42"),)),
        Rule(madid_lowercase, ("madid",), "an advertising id, not all zeros", TIKTOK_APP, (("AB-1", None, "ab-1"),)),
    )
}

#: Match key → what all these rules make of an ordinary value, `None` of one that they may write differently. It only
#: saves asking each of them.
AGREED: dict[str, tuple[Callable[[str], str | None], frozenset[str]]] = {
    "email": (plain_email, frozenset({"email_plain", "email_gmail"})),
    "first_name": (plain_name, frozenset({"name_spaced", "name_compact", "name_verbatim", "given_name_google"})),
    "last_name": (plain_name, frozenset({"name_spaced", "name_compact", "name_verbatim", "family_name_google"})),
    "external_id": (plain_id, frozenset({"id_trimmed", "id_lowercase"})),
}
