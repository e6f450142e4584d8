"""The software copy manager: block and tape logical units, and the engine that copies."""
