"""Rows of one sObject: those that live, those in the recycle bin, indexes, and what was true a moment ago."""
from collections import deque

from .values import fold


class Rows:
    """A row is a dict of its values, never changed once it is stored."""

    def __init__(self, table, clock, keep):
        self.table = table
        self.clock = clock
        self.keep = keep
        self.now = {}
        self.bin = {}
        self.gone = {}
        self.indexes = {}
        self.recent = {}
        self.ordered = True
        self.newest = ""
        self.journal = deque()
        self.journalling = True
        self.undo = None
        self.count = 0

    # Writing

    def put(self, id, vals):
        before = self.now.get(id)
        if self.journalling:
            self.remember(id, before)
        if self.undo is not None:
            self.undo.append((self, id, before, self.bin.get(id)))
        self.now[id] = vals
        self.reindex(id, before, vals)
        self.moved(id, vals)

    def remove(self, id, last):
        """Into the recycle bin; `last` is the row as it lies there, None = for good."""
        before = self.now.get(id)
        if self.journalling:
            self.remember(id, before)
        if self.undo is not None:
            self.undo.append((self, id, before, self.bin.get(id)))
        del self.now[id]
        self.recent.pop(id, None)
        self.reindex(id, before, None)
        if last is not None:
            self.bin[id] = last

    def take_out(self, id, vals):
        """Back out of the bin."""
        if self.undo is not None:
            self.undo.append((self, id, None, self.bin.get(id)))
        if self.journalling:
            self.remember(id, None)
        self.bin.pop(id, None)
        self.now[id] = vals
        self.reindex(id, None, vals)
        self.moved(id, vals)

    def restore(self, id, live, binned):
        """Undoes what was done to a row last."""
        after = self.now.pop(id, None)
        self.bin.pop(id, None)
        self.recent.pop(id, None)
        if live is not None:
            self.now[id] = live
            self.recent[id] = None
            self.ordered = False
            self.gone.pop(id, None)
        if binned is not None:
            self.bin[id] = binned
        if self.journal and self.journal[-1][1] == id:
            self.journal.pop()
        self.reindex(id, after, live)

    def moved(self, id, vals):
        when = vals.get("SystemModstamp", "")
        self.recent.pop(id, None)
        self.recent[id] = None
        if when < self.newest:
            self.ordered = False
        else:
            self.newest = when

    # Indexes

    def reindex(self, id, before, after):
        for name, index in self.indexes.items():
            old = fold(before.get(name)) if before is not None else None
            new = fold(after.get(name)) if after is not None else None
            if old == new:
                continue
            if old is not None:
                found = index.get(old)
                if found is not None:
                    found.pop(id, None)
                    if not found:
                        del index[old]
            if new is not None:
                index.setdefault(new, {})[id] = None

    def index(self, name):
        """The index of a field, made when it is first needed."""
        index = self.indexes.get(name)
        if index is None:
            index = self.indexes[name] = {}
            for id, vals in self.now.items():
                value = fold(vals.get(name))
                if value is not None:
                    index.setdefault(value, {})[id] = None
        return index

    def find(self, name, value):
        return [self.now[id] for id in self.index(name).get(fold(value), ())]

    def since(self, bound):
        """Rows whose SystemModstamp is at or after the bound, newest first."""
        if not self.ordered:
            def when(id):
                return self.now[id].get("SystemModstamp", "")
            self.recent = dict.fromkeys(sorted(self.recent, key=when))
            last = next(reversed(self.recent), None)
            self.newest = when(last) if last else ""
            self.ordered = True
        out = []
        for id in reversed(self.recent):
            vals = self.now[id]
            if vals.get("SystemModstamp", "") < bound:
                break
            out.append(vals)
        return out

    # The past

    def remember(self, id, before):
        now = self.clock()
        journal = self.journal
        journal.append((now, id, before))
        oldest = now - self.keep()
        while journal[0][0] < oldest:
            journal.popleft()

    def changed_since(self, when):
        """id -> the row as it was then (None = it was not there), for all that changed since."""
        out = {}
        for moment, id, before in reversed(self.journal):
            if moment <= when:
                break
            out[id] = before
        return out

    def as_of(self, id, when):
        vals = self.now.get(id)
        for moment, changed, before in reversed(self.journal):
            if moment <= when:
                break
            if changed == id:
                vals = before
        return vals

    def all_as_of(self, when):
        changed = self.changed_since(when)
        out = [changed[id] if id in changed else vals for id, vals in self.now.items()]
        out = [vals for vals in out if vals is not None]
        out.extend(vals for id, vals in changed.items() if vals is not None and id not in self.now)
        return out
