"""Documents by id, with enough history to answer reads as of a moment ago."""

from collections import deque

KEEP = 10.0


class Store:
    """Every put or delete is journalled with the document before it; history older than twice the lag (at least ten seconds)
    is forgotten. Documents are shared, never copied, so whoever reads must not change them."""

    def __init__(self, sim, name, indexes=()):
        self.sim = sim
        self.name = name
        self._now = {}
        self._journal = deque()
        self._history = {}
        self._indexes = {field: {} for field in indexes}
        self._steady = sim.clock.steady
        sim.stores[name] = self

    def __len__(self):
        return len(self._now)

    def __contains__(self, key):
        return key in self._now

    # Present state

    def get(self, key):
        return self._now.get(key)

    def values(self):
        return list(self._now.values())

    def find(self, field, value):
        """Documents whose indexed field has this value."""
        return [self._now[key] for key in self._indexes[field].get(value, ())]

    def put(self, key, document):
        before = self._now.get(key)
        self._remember(key, before)
        self._now[key] = document
        for field, index in self._indexes.items():
            old, new = before.get(field) if before else None, document.get(field)
            if before is not None and old != new:
                self._unindex(index, old, key)
            if before is None or old != new:
                index.setdefault(new, {})[key] = None
        return document

    def delete(self, key):
        before = self._now.get(key)
        if before is None:
            return None
        self._remember(key, before)
        del self._now[key]
        for field, index in self._indexes.items():
            self._unindex(index, before.get(field), key)
        return before

    def clear(self):
        for key in list(self._now):
            self.delete(key)

    # As readers of the API see it

    def read(self, key):
        lag = self.sim.lag_seconds
        return self._now.get(key) if lag <= 0 else self.as_of(key, self._steady() - lag)

    def scan(self):
        lag = self.sim.lag_list_seconds
        if lag <= 0:
            return list(self._now.values())
        return self._overlay(self._changed(self._steady() - lag), self._now)

    def find_lagged(self, field, value):
        lag = self.sim.lag_list_seconds
        if lag <= 0:
            return self.find(field, value)
        found = self._overlay(self._changed(self._steady() - lag), self._indexes[field].get(value, ()))
        return [document for document in found if document.get(field) == value]

    def as_of(self, key, when):
        document = self._now.get(key)
        for changed, before in reversed(self._history.get(key, ())):
            if changed <= when:
                break
            document = before
        return document

    def _overlay(self, changed, keys):
        result = []
        for key in keys:
            document = changed.pop(key) if key in changed else self._now[key]
            if document is not None:
                result.append(document)
        result.extend(document for document in changed.values() if document is not None)
        return result

    def _changed(self, when):
        """What every key changed since `when` was then (None = it was not there)."""
        changed = {}
        for moment, key, before in reversed(self._journal):
            if moment <= when:
                break
            changed[key] = before
        return changed

    def _remember(self, key, before):
        now = self._steady()
        self._journal.append((now, key, before))
        self._history.setdefault(key, deque()).append((now, before))
        self._forget(now - max(KEEP, 2 * max(self.sim.lag_seconds, self.sim.lag_list_seconds)))

    def _forget(self, when):
        journal = self._journal
        while journal and journal[0][0] < when:
            key = journal.popleft()[1]
            history = self._history[key]
            history.popleft()
            if not history:
                del self._history[key]

    @staticmethod
    def _unindex(index, value, key):
        keys = index.get(value)
        if keys is not None:
            keys.pop(key, None)
            if not keys:
                del index[value]
