"""Rows of all tables: versions, indexes, order of modification, and what was true a moment ago."""
from collections import deque

from .odata import edm_class, fold


class Row:
    """One version of a row. Never changed once it is stored, so readers may keep it."""

    __slots__ = ("id", "version", "vals", "pieces")

    def __init__(self, id, version, vals, pieces=None):
        self.id = id
        self.version = version
        self.vals = vals
        self.pieces = {} if pieces is None else pieces


class AsOf:
    """Reads rows as they were at a moment."""

    __slots__ = ("org", "when")

    def __init__(self, org, when):
        self.org, self.when = org, when

    def __call__(self, table, id):
        return self.org.rows[table].as_of(id, self.when)


class Undo:
    """What the transaction under way has changed; None when there is none."""

    __slots__ = ("log",)

    def __init__(self):
        self.log = None


class Rows:
    """The rows of one table."""

    def __init__(self, table, clock, keep, undo):
        self.table = table
        self.undo = undo
        self.clock = clock
        self.now = {}
        self.indexes = {}
        self.unique = {}
        self.recent = {}
        self.last_modified = ""
        self.in_order = True
        self.order = {}
        self.order_kept = True
        self.gone = {}
        self.changes = 0
        self.journal = deque()
        self.history = {}
        self.journalling = True
        self.last_moment = 0.0
        self.keep = keep

    # Writing

    def put(self, row):
        before = self.now.get(row.id)
        self.changes += 1
        if self.journalling:
            self.remember(row.id, before)
        if self.undo.log is not None:
            self.undo.log.append((self, row.id, before))
        self.now[row.id] = row
        self.recent.pop(row.id, None)
        self.recent[row.id] = None
        self.order.pop(row.id, None)
        self.order[row.id] = None
        if self.gone:
            self.gone.pop(row.id, None)
        modified = row.vals.get("modifiedon", "")
        if modified < self.last_modified:
            self.in_order = False
        else:
            self.last_modified = modified
        for name, index in self.indexes.items():
            self.reindex(index, row.id, self.index_value(name, before), self.index_value(name, row))
        for columns, index in self.unique.items():
            self.reindex(index, row.id, self.key_of(columns, before), self.key_of(columns, row))

    def delete(self, id, version=None):
        """`version` is the number of this deletion for those who track changes; None = nobody learns of it."""
        before = self.now.get(id)
        if before is None:
            return None
        self.changes += 1
        if self.journalling:
            self.remember(id, before)
        if self.undo.log is not None:
            self.undo.log.append((self, id, before))
        del self.now[id]
        self.recent.pop(id, None)
        self.order.pop(id, None)
        if version is not None:
            self.gone[id] = (version, self.clock())
            if len(self.gone) > 200000:
                del self.gone[next(iter(self.gone))]
        for name, index in self.indexes.items():
            self.reindex(index, id, self.index_value(name, before), None)
        for columns, index in self.unique.items():
            self.reindex(index, id, self.key_of(columns, before), None)
        return before

    def restore(self, id, before):
        """Takes the newest change of a row back as if it had never been."""
        after = self.now.pop(id, None)
        self.changes += 1
        self.recent.pop(id, None)
        self.order.pop(id, None)
        self.gone.pop(id, None)
        if self.journal and self.journal[-1][1] == id:
            self.journal.pop()
            past = self.history[id]
            past.pop()
            if not past:
                del self.history[id]
        if before is not None:
            self.now[id] = before
            self.recent[id] = self.order[id] = None
            self.in_order = self.order_kept = False
        for name, index in self.indexes.items():
            self.reindex(index, id, self.index_value(name, after), self.index_value(name, before))
        for columns, index in self.unique.items():
            self.reindex(index, id, self.key_of(columns, after), self.key_of(columns, before))

    @staticmethod
    def reindex(index, id, old, new):
        if old == new:
            return
        if old is not None:
            ids = index.get(old)
            if ids is not None:
                ids.pop(id, None)
                if not ids:
                    del index[old]
        if new is not None:
            index.setdefault(new, {})[id] = None

    # Indexes

    def index_value(self, name, row):
        v = None if row is None else row.vals.get(name)
        if v is None:
            return None
        return fold(v) if edm_class(self.table.columns[name].type) == "text" else v

    def key_of(self, columns, row):
        """Rows with a null in the key are in no index: uniqueness does not hold for them."""
        if row is None:
            return None
        parts = tuple(self.index_value(c, row) for c in columns)
        return None if None in parts else parts

    def index(self, name):
        """The index of a column, made when a query first needs it."""
        found = self.indexes.get(name)
        if found is None:
            found = self.indexes[name] = {}
            for row in self.now.values():
                v = self.index_value(name, row)
                if v is not None:
                    found.setdefault(v, {})[row.id] = None
        return found

    def key_index(self, columns):
        columns = tuple(columns)
        found = self.unique.get(columns)
        if found is None:
            found = self.unique[columns] = {}
            for row in self.now.values():
                key = self.key_of(columns, row)
                if key is not None:
                    found.setdefault(key, {})[row.id] = None
        return found

    def modified_since(self, bound):
        """Ids modified at or after the bound, newest first."""
        if not self.in_order:
            self.sort()
        out = []
        for id in reversed(self.recent):
            if self.now[id].vals.get("modifiedon", "") < bound[:19]:
                break
            out.append(id)
        return out

    def sort(self):
        """Seeds and a clock set back leave rows out of order; put right when a query needs it."""
        def when(id):
            return self.now[id].vals.get("modifiedon", "")
        self.recent = dict.fromkeys(sorted(self.recent, key=when))
        last = next(reversed(self.recent), None)
        self.last_modified = when(last) if last else ""
        self.in_order = True

    def changed_after(self, version, when=None):
        """Rows with a higher version by version, and (id, version) of deletions, as of now or of `when`."""
        if not self.order_kept:
            self.order = dict.fromkeys(sorted(self.order, key=lambda id: self.now[id].version))
            self.order_kept = True
        rows = []
        late = self.changed_since(when) if when is not None else {}
        for id in reversed(self.order):
            row = self.now[id]
            if row.version <= version:
                break
            if id not in late:
                rows.append(row)
        rows.extend(row for row in late.values() if row is not None and row.version > version)
        rows.sort(key=lambda row: row.version)
        gone = [(id, at) for id, (at, moment) in self.gone.items()
                if at > version and (when is None or moment <= when)]
        return rows, sorted(gone, key=lambda one: one[1])

    # The past

    def remember(self, id, before):
        moment = self.last_moment = max(self.last_moment, self.clock())
        self.journal.append((moment, id, before))
        self.history.setdefault(id, deque()).append((moment, before))
        oldest = moment - self.keep()
        while self.journal and self.journal[0][0] < oldest:
            gone = self.journal.popleft()[1]
            past = self.history[gone]
            past.popleft()
            if not past:
                del self.history[gone]

    def as_of(self, id, when):
        row = self.now.get(id)
        for moment, before in reversed(self.history.get(id, ())):
            if moment <= when:
                break
            row = before
        return row

    def changed_since(self, when):
        """id -> the row as it was then, for all that changed since."""
        out = {}
        for moment, id, before in reversed(self.journal):
            if moment <= when:
                break
            out[id] = before
        return out
