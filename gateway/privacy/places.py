"""Countries and states by the names people type, as the codes that platforms want."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from babel import Locale
from babel.core import get_global

#: In CLDR's list of territories, but no country of ISO 3166-1 (`XK`, Kosovo, is used by everybody and stays).
NOT_COUNTRIES = frozenset(("AC", "CP", "DG", "EA", "EU", "EZ", "IC", "QO", "TA", "UN", "XA", "XB", "ZZ"))

#: Names that CLDR's English list does not have, without spaces and punctuation.
COUNTRY_ALIASES = {
    "uk": "GB",
    "greatbritain": "GB",
    "england": "GB",
    "scotland": "GB",
    "wales": "GB",
    "northernireland": "GB",
    "unitedkingdomofgreatbritainandnorthernireland": "GB",
    "unitedstatesofamerica": "US",
    "theunitedstates": "US",
    "america": "US",
    "uae": "AE",
    "bolivarianrepublicofvenezuela": "VE",
    "bosnia": "BA",
    "brasil": "BR",
    "burma": "MM",
    "myanmar": "MM",
    "caboverde": "CV",
    "czechrepublic": "CZ",
    "democraticrepublicofthecongo": "CD",
    "republicofthecongo": "CG",
    "deutschland": "DE",
    "easttimor": "TL",
    "espana": "ES",
    "holland": "NL",
    "thenetherlands": "NL",
    "hongkong": "HK",
    "italia": "IT",
    "ivorycoast": "CI",
    "korea": "KR",
    "republicofkorea": "KR",
    "macao": "MO",
    "macau": "MO",
    "macedonia": "MK",
    "osterreich": "AT",
    "palestine": "PS",
    "republicofireland": "IE",
    "russianfederation": "RU",
    "schweiz": "CH",
    "slovakrepublic": "SK",
    "suisse": "CH",
    "swaziland": "SZ",
    "turkey": "TR",
    "vatican": "VA",
    "vietnam": "VN",
}

#: States, the district, territories and military posts of the United States, by name without spaces.
US_STATES = {
    "alabama": "al",
    "alaska": "ak",
    "americansamoa": "as",
    "arizona": "az",
    "arkansas": "ar",
    "armedforcesamericas": "aa",
    "armedforceseurope": "ae",
    "armedforcespacific": "ap",
    "california": "ca",
    "colorado": "co",
    "connecticut": "ct",
    "delaware": "de",
    "districtofcolumbia": "dc",
    "florida": "fl",
    "georgia": "ga",
    "guam": "gu",
    "hawaii": "hi",
    "idaho": "id",
    "illinois": "il",
    "indiana": "in",
    "iowa": "ia",
    "kansas": "ks",
    "kentucky": "ky",
    "louisiana": "la",
    "maine": "me",
    "maryland": "md",
    "massachusetts": "ma",
    "michigan": "mi",
    "minnesota": "mn",
    "mississippi": "ms",
    "missouri": "mo",
    "montana": "mt",
    "nebraska": "ne",
    "nevada": "nv",
    "newhampshire": "nh",
    "newjersey": "nj",
    "newmexico": "nm",
    "newyork": "ny",
    "northcarolina": "nc",
    "northdakota": "nd",
    "northernmarianaislands": "mp",
    "ohio": "oh",
    "oklahoma": "ok",
    "oregon": "or",
    "pennsylvania": "pa",
    "puertorico": "pr",
    "rhodeisland": "ri",
    "southcarolina": "sc",
    "southdakota": "sd",
    "tennessee": "tn",
    "texas": "tx",
    "utah": "ut",
    "vermont": "vt",
    "virginia": "va",
    "usvirginislands": "vi",
    "virginislands": "vi",
    "washington": "wa",
    "washingtondc": "dc",
    "westvirginia": "wv",
    "wisconsin": "wi",
    "wyoming": "wy",
}
US_STATE_CODES = frozenset(US_STATES.values())

#: Countries of ISO 3166-1 that use United States ZIP codes.
ZIP_COUNTRIES = frozenset(("US", "AS", "GU", "MP", "PR", "UM", "VI"))


@lru_cache(maxsize=2048)
def country_code(value: str) -> str | None:
    """ISO 3166-1 alpha-2 in upper case, from alpha-2, alpha-3 or an English name; `None` if it is none of them."""
    if len(value) > 100:
        return None
    text = _letters(value)
    if len(text) == 2 and text != "uk":
        return text.upper() if text.upper() in _codes() else None
    if len(text) == 3 and text != "uae":
        aliases = get_global("territory_aliases").get(text.upper(), ())
        return aliases[0] if len(aliases) == 1 and aliases[0] in _codes() else None
    return COUNTRY_ALIASES.get(text) or _names().get(text)


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    """Letters of the English name → alpha-2."""
    territories = ((str(code), str(name)) for code, name in Locale.parse("en").territories.items())
    return {_letters(name): code for code, name in territories if len(code) == 2 and code not in NOT_COUNTRIES}


@lru_cache(maxsize=1)
def _codes() -> frozenset[str]:
    return frozenset(_names().values())


def _letters(value: str) -> str:
    """Lower case without accents, and letters only, so that spellings of one name meet."""
    plain = unicodedata.normalize("NFKD", value.replace("&", " and ")).casefold()
    return "".join(character for character in plain if character.isalpha())
