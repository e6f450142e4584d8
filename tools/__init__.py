"""Scripts of the project: samples, pictures, system packages."""
