"""The error log as an oracle: what a test did not announce fails it."""

import os
import re

LOUD = re.compile(r"\] \[([\w.-]+):(emerg|alert|crit|error|warn)\] ")
DEADLY = re.compile(r"exit signal (Segmentation|Abort|Bus|Illegal|Floating)|AddressSanitizer|runtime error:|"
                    r"Assertion .* failed|LeakSanitizer")


class ErrorLog:
    def __init__(self, path):
        self.path = path
        self._mark = 0
        self._announced = []

    def text(self, since=0):
        try:
            with open(self.path, "rb") as file:
                file.seek(since)
                return file.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def lines(self):
        """Lines since the test began."""
        return self.text(self._mark).splitlines()

    def size(self):
        return os.path.getsize(self.path) if os.path.exists(self.path) else 0

    def begin(self):
        """A test begins."""
        self._mark = self.size()
        self._announced = []

    def announce(self, *patterns):
        """These regular expressions (or numbers, "CS3005") may match loud lines of this test."""
        self._announced += [re.compile(pattern) for pattern in patterns]

    def matching(self, pattern):
        expression = re.compile(pattern)
        return [line for line in self.lines() if expression.search(line)]

    def unexpected(self):
        """Loud lines nobody announced."""
        return [line for line in self.lines()
                if DEADLY.search(line) or LOUD.search(line) and not any(p.search(line) for p in self._announced)]

    def check(self):
        lines = self.unexpected()
        assert not lines, "the error log has what this test did not announce:\n" + "\n".join(lines[:40])
