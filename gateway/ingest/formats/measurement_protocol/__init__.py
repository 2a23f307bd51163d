"""GA4's formats: the Measurement Protocol, and the requests that its tag sends from browsers."""
