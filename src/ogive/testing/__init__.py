"""Conformance suites: subclass one, give a factory, and your plug-in gets the whole contract."""
