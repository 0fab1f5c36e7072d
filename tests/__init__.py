"""The tests. A package by name, since a dependency installs one called `tests` too."""
