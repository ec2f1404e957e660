"""The parts of the Partner Center simulator; tests/sandbox/partner-center puts them together."""
