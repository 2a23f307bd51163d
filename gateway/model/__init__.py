"""The words of the gateway as frozen values. Imports nothing but the standard library."""
