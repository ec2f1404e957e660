"""A call on its way in and an answer on its way out."""
import re
from functools import lru_cache

PREFERENCE = re.compile(r'\s*([^=,;\s]+)\s*(?:=\s*(?:"([^"]*)"|([^,;]*)))?\s*(?:,|;|\Z)')
JSON = "application/json; odata.metadata=minimal"


class Answer:
    __slots__ = ("status", "body", "headers", "type", "entity")

    def __init__(self, status, body="", headers=None, type=JSON, entity=None):
        self.status = status
        self.body = body
        self.headers = headers or {}
        self.type = type
        self.entity = entity


class Prefs:
    """The Prefer header."""

    def __init__(self, text):
        self.representation = False
        self.annotations = None
        self.page = None
        self.track = False
        for m in PREFERENCE.finditer(text):
            name, value = m.group(1).lower(), m.group(2) if m.group(2) is not None else m.group(3)
            if name == "return":
                self.representation = (value or "").strip().lower() == "representation"
            elif name == "odata.include-annotations":
                self.annotations = tuple(p.strip() for p in (value or "").split(","))
            elif name == "odata.maxpagesize" and (value or "").strip().isdigit():
                self.page = int(value)
            elif name == "odata.track-changes":
                self.track = True

    def wants(self, annotation):
        """Patterns are taken in order; one with a leading minus takes annotations away."""
        out = False
        for pattern in self.annotations or ():
            keep = not pattern.startswith("-")
            pattern = pattern.lstrip("-")
            if pattern == "*" or pattern == annotation or (
                    pattern.endswith("*") and annotation.startswith(pattern[:-1].rstrip("."))):
                out = keep
        return out

    def applied(self, *names):
        out = []
        if "return" in names and self.representation:
            out.append("return=representation")
        if "track" in names and self.track:
            out.append("odata.track-changes")
        if "page" in names and self.page:
            out.append("odata.maxpagesize=%d" % self.page)
        if self.annotations is not None:
            out.append('odata.include-annotations="%s"' % ",".join(self.annotations))
        return {"Preference-Applied": ",".join(out)} if out else {}


@lru_cache(1024)
def preferences(text):
    return Prefs(text)


class Call:
    """One request on its way through."""

    __slots__ = ("method", "path", "query", "headers", "body", "root", "root_origin", "actor", "prefs", "label",
                 "options", "aliases")

    def __init__(self, method, path, query, headers, body, root, actor):
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.root = self.root_origin = root
        self.actor = actor
        self.prefs = preferences(headers.get("Prefer", ""))
        self.label = path
