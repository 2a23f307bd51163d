"""A platform at its worst, on real sockets, and a suite that holds a destination against all that it does.

    TestAcmeUnderFire = under_fire(ACME, {"account": "7", "token": "made-up"})

Each behaviour is a row of `BEHAVIOURS`: what the server does to the connection, and what may be made of it. The suite
needs the `test` extra and nothing else; every server stops at the end of its test.
"""

from gateway.demo.hostile.behaviours import BEHAVIOURS, Behaviour
from gateway.demo.hostile.platform import HostilePlatform
from gateway.demo.hostile.suite import PURCHASE, check, under_fire

__all__ = ["BEHAVIOURS", "PURCHASE", "Behaviour", "HostilePlatform", "check", "under_fire"]
