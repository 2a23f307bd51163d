"""The HTTP side: routes of a few lines over the flows, and the process that they run in."""
