"""The package version, read by the build and by `recovery-nb --version`."""

__version__ = "0.1.0"
