"""Deleting with all that hangs on a row, bringing it back, merging two rows, teams that belong to a record."""
from .errors import ApiError, bad_argument
from .store import Row

MERGEABLE = ("account", "contact", "lead")


def dependants(org, table, row):
    """(child table, column, row) of everything that refers to the row."""
    for child, col in org.schema.references.get(table.name, ()):
        rows = org.rows[child.name]
        for id in list(rows.index(col.name).get(row.id, ())):
            one = rows.now.get(id)
            if one is None or one is row:
                continue
            if len(col.targets) > 1 and one.vals.get(col.name + "@", col.targets[0]) != table.name:
                continue
            yield child, col, one


def delete(org, table, row, actor, strict=True):
    """Deletes the row, what belongs to it too, and the links to it; `strict` respects restricting relations."""
    with org.atomic():
        gone = []
        remove(org, table, row, actor, strict, gone, set())
    org.trash[(table.name, row.id)] = gone
    if len(org.trash) > 100000:
        org.trash.pop(next(iter(org.trash)))


def remove(org, table, row, actor, strict, gone, seen):
    if (table.name, row.id) in seen or row.id not in org.rows[table.name].now:
        return
    seen.add((table.name, row.id))
    gone.append((table, row))
    for child, col, one in dependants(org, table, row):
        if col.cascade == "delete":
            remove(org, child, one, actor, strict, gone, seen)
        elif col.cascade == "restrict" and strict and (child.name, one.id) not in seen:
            raise ApiError(405, "0x80040227", "The object you tried to delete is associated with another object "
                           "and cannot be deleted.")
        elif (child.name, one.id) not in seen:
            one = org.rows[child.name].now[one.id]
            org.update(child, one, {col.name: None, col.name + "@": None} if len(col.targets) > 1
                       else {col.name: None}, actor, checked=False)
    org.rows[table.name].delete(row.id, next(org.versions))
    org.tell("Delete", table, row.id, (), row, None, actor)


def restore(org, table, id):
    """Undeletes a row with what was deleted because of it; None when it is not in the bin."""
    kept = org.trash.pop((table.name, id), None)
    if kept is None:
        return None
    for kind, old in kept:
        if old.id in org.rows[kind.name].now:
            raise ValueError("%s %s exists again" % (kind.name, old.id))
        version = next(org.versions)
        vals = dict(old.vals, versionnumber=version, modifiedon=org.now_text())
        org.rows[kind.name].put(Row(old.id, version, vals))
    return org.rows[table.name].now[id]


def merge(org, table, target, loser, content, actor):
    """The loser is closed and points to the target; what pointed to the loser points to the target."""
    if table.name not in MERGEABLE:
        raise bad_argument("Rows of the table %s cannot be merged." % table.name)
    if target.id == loser.id:
        raise bad_argument("A row cannot be merged with itself.")
    for row in (target, loser):
        if row.vals.get("statecode", 0) != 0:
            raise bad_argument("The %s with Id = %s is not active and cannot be merged." % (table.name, row.id))
    with org.atomic():
        if content:
            org.update(table, target, content, actor)
        for child, col, one in list(dependants(org, table, loser)):
            if col.name == "masterid":
                continue
            one = org.rows[child.name].now[one.id]
            changes = {col.name: target.id}
            if len(col.targets) > 1:
                changes[col.name + "@"] = table.name
            if child is table and one.id == target.id:
                changes = {col.name: None}
            org.update(child, one, changes, actor, checked=False)
        loser = org.rows[table.name].now[loser.id]
        state, status = (2, 7) if table.name == "lead" else (1, 2)
        org.update(table, loser, {"merged": True, "masterid": target.id, "statecode": state, "statuscode": status},
                   actor, checked=False)


# Teams of a record


def record_team(org, kind, id, template):
    rows = org.rows["team"]
    for one in rows.index("regardingobjectid").get(id, ()):
        vals = rows.now[one].vals
        if vals.get("teamtemplateid") == template and vals.get("teamtype") == 1 \
                and vals.get("regardingobjectid@") == kind:
            return rows.now[one]
    return None


def join_record_team(org, user, kind, id, template, actor):
    """The id of the access team, made when its first member joins."""
    with org.atomic():
        team = record_team(org, kind, id, template)
        if team is None:
            team = org.create(org.schema.tables["team"], org.new_id(), {
                "name": "%s+%s" % (id, template), "teamtype": 1, "systemmanaged": True, "teamtemplateid": template,
                "regardingobjectid": id, "regardingobjectid@": kind, "administratorid": actor.user,
                "businessunitid": org.unit}, actor, checked=False)
        join(org, team.id, user, actor)
    return team.id


def leave_record_team(org, user, kind, id, template):
    team = record_team(org, kind, id, template)
    if team is not None:
        leave(org, team.id, user)
    return team and team.id


def membership(org, team, user):
    rows = org.rows["teammembership"]
    for one in rows.index("teamid").get(team, ()):
        if rows.now[one].vals.get("systemuserid") == user:
            return one
    return None


def join(org, team, user, actor):
    if membership(org, team, user) is None:
        org.create(org.schema.tables["teammembership"], org.new_id(), {"teamid": team, "systemuserid": user}, actor,
                   checked=False)


def leave(org, team, user):
    one = membership(org, team, user)
    if one is not None:
        org.rows["teammembership"].delete(one, next(org.versions))
    return one is not None
