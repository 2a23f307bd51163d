"""What sites already send, as canonical events: one module for each format. Pure, and with no rule of its own."""
