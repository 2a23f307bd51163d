"""What is sealed says nothing without its key, and cannot be changed or taken for something else."""

from __future__ import annotations

import json

import pytest

from gateway.privacy.sealing import MARK, NO_KEYS, Keyring, Unopened, name_of, read_key

ONE, TWO = bytes(range(32)), bytes(range(1, 33))
TEXT = json.dumps({"email": "jane@example.com"}).encode()


def test_without_keys_nothing_is_sealed():
    assert NO_KEYS.seal(TEXT, b"a") == TEXT
    assert NO_KEYS.open(TEXT, b"a") == TEXT


def test_opens_with_its_key_alone():
    sealed = Keyring((ONE,)).seal(TEXT, b"a")
    assert sealed.startswith(MARK + name_of(ONE))
    assert b"jane" not in sealed
    assert Keyring((ONE,)).open(sealed, b"a") == TEXT
    with pytest.raises(Unopened, match=name_of(ONE).hex()):
        Keyring((TWO,)).open(sealed, b"a")
    with pytest.raises(Unopened):
        NO_KEYS.open(sealed, b"a")


def test_after_a_rotation_the_old_stays_readable_and_the_new_is_used():
    old = Keyring((ONE,)).seal(TEXT, b"a")
    both = Keyring((TWO, ONE))
    assert both.open(old, b"a") == both.open(both.seal(TEXT, b"a"), b"a") == TEXT
    assert both.seal(TEXT, b"a").startswith(MARK + name_of(TWO))


def test_is_never_sealed_twice_alike():
    keyring = Keyring((ONE,))
    assert keyring.seal(TEXT, b"a") != keyring.seal(TEXT, b"a")


def test_any_change_is_noticed():
    keyring = Keyring((ONE,))
    sealed = keyring.seal(TEXT, b"a")
    for at in range(1, len(sealed)):
        changed = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        with pytest.raises(Unopened):
            keyring.open(changed, b"a")
    for end in range(1, len(sealed)):
        with pytest.raises(Unopened):
            keyring.open(sealed[:end], b"a")
    with pytest.raises(Unopened, match="another event"):
        keyring.open(sealed, b"b")


def test_prints_without_its_keys():
    assert ONE.hex() not in repr(Keyring((ONE,)))
    assert repr(ONE) not in repr(Keyring((ONE,)))


@pytest.mark.parametrize("text", ["", "aa" * 31, "zz" * 32, "YWFh", "ü" * 43])
def test_a_key_is_32_bytes(text):
    with pytest.raises(ValueError, match="32 random bytes"):
        read_key(text)
