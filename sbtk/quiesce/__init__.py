"""Write activity, and the wait for a window without it."""
