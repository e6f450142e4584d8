"""What to copy, as data: selection, layout, command lists, cost and check. Touches no device."""
