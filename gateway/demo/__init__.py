"""The demo: mock platforms on loopback, the gateway in front of them, and the example events."""
