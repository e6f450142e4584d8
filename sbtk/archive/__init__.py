"""The archive: a pax tar whose data blocks a data mover copies (docs/archive-format.md).

No I/O here: what is written comes out as bytes and addresses, what is read comes in through a
callback.
"""
