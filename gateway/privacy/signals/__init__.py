"""Consent strings, read: pure, strict, and never past a string's end.

What cannot be read is `Unreadable`, whatever is wrong with it; the gate takes that for a denial.
"""

from gateway.privacy.signals.additional import AdditionalConsent, read_additional
from gateway.privacy.signals.bits import Unreadable
from gateway.privacy.signals.gpp import Gpp, read_gpp
from gateway.privacy.signals.tcf import TcString, read_tcf

__all__ = ["AdditionalConsent", "Gpp", "TcString", "Unreadable", "read_additional", "read_gpp", "read_tcf"]
