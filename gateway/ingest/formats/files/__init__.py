"""Files of rows as canonical events: which column means what, and how a cell is read. Pure."""
