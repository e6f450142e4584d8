"""What was backed up, and where it is: a database that can be made again from the media."""
