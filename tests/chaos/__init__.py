"""A package, so that the installation whose parts are killed ends after its last test."""
