"""How personal data is recognised where it should not be: by the name it goes under, and by its shape."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from urllib.parse import unquote


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


#: Words that say personal data, or a secret, wherever they stand in a name: `user_email`, `customer[firstName]`.
#: Up to three words of a name are read together (`date_of_birth`).
TELLING_WORDS = (
    _set(  # contact
        """
        email emails emailaddress mail phone phones phonenumber phoneno telephone tel mobilenumber mobilephone mobileno
        cellphone homephone workphone userphone customerphone billingphone contactphone whatsapp msisdn fax
        telefon telefono telefone telefonnummer handynummer courriel correo
        """
    )
    | _set(  # name
        """
        firstname lastname fullname middlename surname forename givenname familyname maidenname nickname username fname
        lname vorname nachname familienname prenom nomdefamille apellido apellidos cognome sobrenome
        """
    )
    | _set(  # place and birth
        """
        address addresses addressline address1 address2 addr street streetaddress strasse
        dob dateofbirth birth birthday birthdate bday geburtsdatum
        """
    )
    | _set(  # numbers of a person
        """
        ssn socialsecuritynumber nationalid passport passportnumber taxid driverslicense iban creditcard cardnumber cvv
        cvc
        """
    )
    | _set(  # secrets
        """
        password passwd pwd passphrase secret clientsecret token accesstoken idtoken refreshtoken apikey jwt
        """
    )
)

#: Names that say personal data when they are the whole name of a URL parameter, or follow a word for a person.
WHOLE_NAMES = _set(
    """
    name names nom nome nombre zip zipcode postcode postalcode plz mobile cell handy em ph fn ln user login pass auth
    contact person
    """
)

#: Words for a person: `customer_name`, `billing.zip`.
PERSONS = _set(
    """
    user users customer customers client clients contact person member guest visitor patient student employee buyer
    payer owner holder cardholder recipient sender receiver subscriber lead applicant traveler traveller passenger
    billing shipping delivery your my
    """
)

#: Parameters of mailing tools whose value is, or encodes, an address.
MAILING_PARAMETERS = frozenset(("_ke", "vero_id", "mkt_tok"))

#: Found inside words that were run together: `useremail`, `yourfirstname`.
_INSIDE = ("email", "password", "firstname", "lastname", "surname", "phonenumber", "telephone", "creditcard")

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_DASHES = dict.fromkeys((*range(0x2010, 0x2016), 0x2212), "-")
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\[\]-]{0,39}")

_CLASS = r"[^\s@<>\"(),:;\[\]/?&=#\\%s]"
#: An address inside a text. Bounded, so that no text takes long; `logo@2x.png` and `package@1.2.3` are none.
EMAIL = re.compile(
    rf"(?:\"[^\"@]{{1,64}}\"|{_CLASS % ''}{{1,64}})@(?!\dx\.)"
    rf"(?:(?:{_CLASS % '.'}{{1,63}}\.)+[^\W\d_]{_CLASS % '.'}{{1,62}}|\[[0-9A-Fa-f:.]+\])"
)

#: `+` and 7 to 15 digits, with separators or without.
_PHONE_PLUS = re.compile(r"\+[ (]{0,2}[1-9](?:[ ().\-/]{0,3}\d){6,14}(?!\d)")
#: North American, with separators: ten bare digits may as well be an order or a time.
_PHONE_AMERICAN = re.compile(r"(?<![\w.-])(?:1[ .-])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[ .-])\d{3}[ .-]\d{4}(?![\w-])")
#: With a trunk zero and separators: 020 7946 0958, 06 12 34 56 78.
_PHONE_TRUNK = re.compile(r"(?<![\w.-])\(?0\d{1,4}\)?[ /-]\d[\d -]{4,14}\d(?![\w-])")
_DATE_SHAPE = re.compile(r"\d\d[ /-]\d\d[ /-](?:19|20)\d\d(?!\d)")


def telling_name(name: str, parent: str = "", *, parameter: bool = False) -> bool:
    """Whether what goes under this name is personal data or a secret.

    `parent`: the key of the object that it stands in. `parameter`: it is a URL's, where a bare `name` is a person's.
    """
    if _PLAIN_NAME.fullmatch(name) and (not parent or _PLAIN_NAME.fullmatch(parent)):
        return _telling(name, parent, parameter)  # other names could be values that got lost: not to be remembered
    return _telling.__wrapped__(name, parent, parameter)


@lru_cache(maxsize=4096)
def _telling(name: str, parent: str, parameter: bool) -> bool:
    words = _words(name)
    whole = "".join(words)
    if parameter and (whole in WHOLE_NAMES or name.lower() in MAILING_PARAMETERS):
        return True
    if any(word in whole for word in _INSIDE):
        return True
    for size in (1, 2, 3):
        if any("".join(words[at : at + size]) in TELLING_WORDS for at in range(len(words) - size + 1)):
            return True
    return any(_of_a_person(words, _words(parent), size) for size in (1, 2))


def _of_a_person(words: list[str], parent: list[str], size: int) -> bool:
    """`customer_name`, `{"billing": {"postal_code": …}}`: the last words, behind one for a person."""
    if "".join(words[-size:]) not in WHOLE_NAMES or size > len(words):
        return False
    before = words[-size - 1 : -size] or parent
    return any(word in PERSONS for word in before)


def _words(name: str) -> list[str]:
    if not name.isascii():
        name = unicodedata.normalize("NFKD", name)
        name = "".join(character for character in name if not unicodedata.combining(character))
    return [word.lower() for word in _WORD.findall(name)]


def decoded(text: str) -> str:
    """Without percent-encoding, of which there may be several layers, and with full-width signs made plain."""
    for _ in range(4):
        if "%" not in text:
            break
        text = unquote(text)
    return text if text.isascii() else unicodedata.normalize("NFKC", text).translate(_DASHES)


def has_email(text: str) -> bool:
    """Whether an e-mail address is in a text (already `decoded`)."""
    return "@" in text and EMAIL.search(text) is not None


def has_phone(text: str) -> bool:
    """Whether something that can only be a phone number is in a text (already `decoded`)."""
    return any(_phones(text))


def without_personal(text: str, mark: str, *, phones: bool) -> str:
    """The text with addresses (and phone numbers) replaced by `mark`."""
    if "@" in text:
        text = EMAIL.sub(mark, text)
    for found in _phones(text) if phones else ():
        text = text.replace(found, mark)
    return text


def _phones(text: str) -> list[str]:
    if not any(character.isdigit() for character in text):
        return []
    found = [match[0] for form in (_PHONE_PLUS, _PHONE_AMERICAN) for match in form.finditer(text)]
    trunk = (match[0] for match in _PHONE_TRUNK.finditer(text))
    return found + [one for one in trunk if 9 <= sum(map(str.isdigit, one)) <= 12 and not _DATE_SHAPE.match(one)]
