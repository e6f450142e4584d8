"""Plans carried out: backup, restore, verify, extract; everything they tell is an event."""
